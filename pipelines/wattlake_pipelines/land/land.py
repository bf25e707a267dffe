"""`wattlake land`: round by round, until the log holds nothing that has not landed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest
from wattlake_pipelines.land.pipeline import SEEN_FILE, land_pipeline
from wattlake_pipelines.land.seen import SCHEMA as SEEN_SCHEMA
from wattlake_pipelines.land.source import FileSource, Range, Source


@dataclass(frozen=True)
class Landed:
    """What landing did. rows: accepted rows of all kinds. rejects: rows and records that could not be used."""

    rounds: int
    records: int
    rows: int
    rejects: int


def land(committer: Committer, log: Source | Path, *, round_bytes: int, pieces: int = 1, options: Sequence[str] = (),
         progress: Callable[[int, int], None] | None = None, max_rounds: int | None = None) -> Landed:
    """Land what the log (a folder is a file log) holds beyond what has landed already.

    round_bytes: how much of the log one round (one commit) takes. pieces: into how many ranges each
    segment is cut at least. progress: hears (records, rows) after each round.
    """
    rounds = records = rows = rejects = 0
    source = FileSource(log) if isinstance(log, Path) else log
    while max_rounds is None or rounds < max_rounds:
        found = committer.query(f"SELECT partition, next_offset FROM {ALIAS}.log_positions WHERE log = ?", [source.identity]).fetchall()
        ranges = source.plan(dict(found), round_bytes, pieces)
        if not ranges:
            break
        made = land_round(committer, ranges, options)
        rounds, records = rounds + 1, records + sum(r.end - r.start for r in ranges)
        rows, rejects = rows + made.rows, rejects + made.rejects
        if progress is not None:
            progress(records, rows)
    return Landed(rounds, records, rows, rejects)


def land_round(committer: Committer, ranges: Sequence[Range], options: Sequence[str]) -> Manifest:
    """Land these ranges in one commit; give its manifest."""
    with committer.attempt() as (attempt, staging):
        manifest = _land(committer, ranges, staging, attempt, options)
        committer.commit(manifest)
    return manifest


def _land(committer: Committer, ranges: Sequence[Range], staging: Path, attempt: str, options: Sequence[str]) -> Manifest:
    seen = committer.query(f"SELECT node, boot, from_seq, to_seq FROM {ALIAS}.seen").to_arrow_table().cast(SEEN_SCHEMA)
    pq.write_table(seen, staging / SEEN_FILE)
    parts = land_pipeline(ranges, committer.shards, staging, attempt, committer.next_batch(), options)
    files = tuple(f for p in parts for f in p.files)
    return Manifest(
        "land", attempt, files,
        replaced=tuple((f.table, f.day_ms, f.shard) for f in files if f.table == "seen"),
        positions=_spans(ranges),
        dirty=tuple(d for p in parts for d in p.dirty),
        watermark_ms=max((p.watermark_ms for p in parts), default=-1),
        rows=sum(p.rows for p in parts), rejects=sum(p.rejects for p in parts))


def _spans(ranges: Sequence[Range]) -> tuple[tuple[str, str, int, int], ...]:
    """(log, partition, from, to) per partition: its ranges follow each other, so their hull is what they cover."""
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    for r in ranges:
        start, end = spans.get((r.log, r.partition), (r.start - r.gone, r.start))
        spans[r.log, r.partition] = (min(start, r.start - r.gone), max(end, r.end))
    return tuple((log, partition, start, end) for (log, partition), (start, end) in spans.items())
