"""The elements of work that are not days of readings, each only if something that it rests on has changed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS, DAY_MS
from wattlake_pipelines.account.changes import changed_spans
from wattlake_pipelines.account.dirty import Dirty
from wattlake_pipelines.account.network import network_factors
from wattlake_pipelines.account.references import FOREVER_MS, References, grid_in_force
from wattlake_pipelines.account.spread import SpreadElement

#: Embodied facts lie in files of so long: machines live for years, and a file a day would be thousands.
_EMBODIED_FILE_MS = 32 * DAY_MS


def landed_until(connection: duckdb.DuckDBPyConnection) -> int:
    """The latest instant that any landed row knows of: the data's watermark; -1 if nothing has one."""
    return _watermark(connection, "SELECT max(watermark_ms) FROM lake.commits WHERE stage = 'land'")


def accounted_until(connection: duckdb.DuckDBPyConnection) -> int:
    """To where embodied emissions accrue in the facts as they are; -1 if they do not."""
    return _watermark(connection, "SELECT watermark_ms FROM lake.commits WHERE stage = 'account' ORDER BY batch DESC LIMIT 1")


def _watermark(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql.replace("lake.", f"{ALIAS}.")).fetchone()
    return -1 if row is None or row[0] is None else int(row[0])


def spread_elements(connection: duckdb.DuckDBPyConnection, lake: Path, staging: Path, now: References, dirty: Dirty, until_ms: int) -> list[SpreadElement]:
    """Elements for what is not readings, each only if something it rests on has changed."""
    elements = []
    if dirty.causes & {"jobs", "nodes"}:
        pq.write_table(now.job_events, staging / "job_events.parquet")
        pq.write_table(connection.execute(f"SELECT * FROM {ALIAS}.raw_nodes WHERE event = 'inventory'").to_arrow_table(), staging / "inventory.parquet")
        elements.append(SpreadElement("dimensions"))
    if dirty.causes & {"transfers", "sites", "grid"} and _stage_rows(connection, staging, "transfers", "raw_transfers"):
        pq.write_table(network_factors(), staging / "network.parquet")
        low, high = connection.execute(f"SELECT min(ts_ms), max(ts_ms) + 1 FROM {ALIAS}.raw_transfers").fetchall()[0]
        pq.write_table(grid_in_force(connection, low, high)[0], staging / "transfer_grid.parquet")
        elements.append(SpreadElement("transfers"))
    if "serving" in dirty.causes and _stage_rows(connection, staging, "serving", "raw_serving"):
        elements.append(SpreadElement("serving"))
    return elements + _embodied(connection, lake, _embodied_days(connection, now, until_ms), until_ms)


def _embodied(connection: duckdb.DuckDBPyConnection, lake: Path, days: list[int], until_ms: int) -> list[SpreadElement]:
    """One element per file that holds any of these days."""
    found = connection.execute(f"SELECT day_ms, path FROM {ALIAS}.files WHERE table_name = 'fact_embodied'").fetchall()
    old = {start: str(lake / path) for start, path in found}
    by_file: dict[int, list[int]] = {}
    for day in days:
        by_file.setdefault(day // _EMBODIED_FILE_MS * _EMBODIED_FILE_MS, []).append(day)
    return [SpreadElement("embodied", tuple(held), until_ms, start, old.get(start, "")) for start, held in sorted(by_file.items())]


def _stage_rows(connection: duckdb.DuckDBPyConnection, staging: Path, name: str, table: str) -> bool:
    rows = connection.execute(f'SELECT * FROM {ALIAS}."{table}"').to_arrow_table()
    pq.write_table(rows, staging / f"{name}.parquet")
    return bool(rows.num_rows)


def _embodied_days(connection: duckdb.DuckDBPyConnection, now: References, until_ms: int) -> list[int]:
    """Days on which embodied emissions accrue otherwise than the facts have it."""
    if now.items.num_rows == 0 or until_ms < 0:
        return []
    before = accounted_until(connection)
    old_items = connection.execute(f"SELECT * FROM {ALIAS}.accounted_items").to_arrow_table()
    old_jobs = connection.execute(f"SELECT * FROM {ALIAS}.accounted_jobs").to_arrow_table()
    payload = ["device", "sku", "machine_sku", "acquired_on_ms", "retired_on_ms", "valid_from_ms", "valid_to_ms", "embodied_ug", "life_years", "version",
               "estimated", "component_of", "simulated"]
    old_lives, lives = _lives(old_items), _lives(now.items)
    spans = [*changed_spans(old_lives, lives, "node", payload), *changed_spans(old_jobs, now.jobs, "node", ["job", "device", "share_ppm"])]
    if before != until_ms:
        spans.append(("", min(before, until_ms), max(before, until_ms)))
    # an inventory that dates nothing accrues nothing: then no day is concerned
    starts = [pc.min(table["start_ms"]).as_py() for table in (old_lives, lives)]
    first = min((int(v) for v in starts if v is not None), default=until_ms)
    days: set[int] = set()
    for _, start, end in spans if first < until_ms else []:
        low, high = max(start, first) // DAY_MS, -(-min(end, until_ms) // DAY_MS)
        days.update(d * DAY_MS for d in range(low, high))
    # what accrued beyond the end, if that has come nearer, goes
    days.update(range(max(until_ms, first) // DAY_MS * DAY_MS, before, DAY_MS))
    return sorted(days)


def _lives(items: pa.Table) -> pa.Table:
    """The items with the span in which each may accrue; an item whose beginning nobody knows has one day to say so."""
    start = pc.max_element_wise(items["acquired_on_ms"], items["valid_from_ms"], skip_nulls=True)
    unknown = pa.scalar(FOREVER_MS, pa.int64())
    end = pc.min_element_wise(items["retired_on_ms"], items["valid_to_ms"], unknown, skip_nulls=True)
    known = start.is_valid()
    return items.append_column("start_ms", pc.fill_null(start, 0)).append_column("end_ms", end).filter(known)
