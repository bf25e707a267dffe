"""`wattlake account`: find what is dirty, make it anew, commit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.account.day_elements import day_elements, stage_references
from wattlake_pipelines.account.dirty import find_dirty
from wattlake_pipelines.account.element import DayElement
from wattlake_pipelines.account.pipeline import account_pipeline
from wattlake_pipelines.account.references import gather
from wattlake_pipelines.account.spread import SpreadElement
from wattlake_pipelines.account.spread_elements import accounted_until, landed_until, spread_elements
from wattlake_pipelines.arrow_schema import conform, table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, stage


@dataclass(frozen=True)
class Accounted:
    """What accounting did. opened: raw files that were read."""

    elements: int
    rows: int
    opened: tuple[str, ...]


def account(committer: Committer, *, options: Sequence[str] = (), until_ms: int | None = None,
            progress: Callable[[int, int], None] | None = None) -> Accounted:
    """Account for all that has changed since the last time, in one commit; nothing to do, no commit.

    until_ms: embodied emissions accrue to here instead of the data's watermark. progress: hears
    (elements of work done, elements of work) now and then.
    """
    connection = committer.connection
    watermark = until_ms if until_ms is not None else landed_until(connection)
    if not connection.execute(f"SELECT count(*) FROM {ALIAS}.dirty").fetchall()[0][0] and watermark == accounted_until(connection):
        return Accounted(0, 0, ())
    with committer.attempt() as (attempt, staging):
        return _account(committer, staging, attempt, watermark, options, progress)


def _account(committer: Committer, staging: Path, attempt: str, watermark: int, options: Sequence[str],
             progress: Callable[[int, int], None] | None) -> Accounted:
    connection = committer.connection
    now = gather(connection)
    dirty = find_dirty(connection, now)
    stage_references(connection, staging, now, dirty)
    elements: list[DayElement | SpreadElement] = [
        *day_elements(committer, staging, dirty), *spread_elements(connection, committer.lake, staging, now, dirty, watermark)]
    parts = account_pipeline(elements, staging, attempt, options, progress) if elements else []
    made = [f for part in parts for f in part.files]
    books = [_book(name, rows, staging, attempt) for name, rows in (
        ("accounted_jobs", now.jobs), ("accounted_places", now.places), ("accounted_devices", now.devices), ("accounted_items", now.items))]
    files = (*(f for f in made if f.rows), *(f for f in books if f.rows))
    committer.commit(Manifest(
        "account", attempt, files, replaced=tuple(dict.fromkeys((f.table, f.day_ms, f.shard) for f in (*made, *books))),
        consumed=dirty.consumed, watermark_ms=watermark, rows=sum(f.rows for f in made)))
    return Accounted(len(elements), sum(f.rows for f in made), tuple(sorted({o for part in parts for o in part.opened})))


def _book(name: str, rows: pa.Table, staging: Path, attempt: str) -> StagedFile:
    return stage(name, conform(rows, table_schema(TABLES[name])), staging, f"{attempt}.parquet", day_ms=0, shard=0)
