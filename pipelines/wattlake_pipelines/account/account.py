"""`wattlake account`: find what is dirty, make it anew, commit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS, DAY_MS, HOUR_MS
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.account.changes import changed_spans
from wattlake_pipelines.account.context import find_context
from wattlake_pipelines.account.dirty import Dirty, find_dirty
from wattlake_pipelines.account.element import DayElement, RawGroup
from wattlake_pipelines.account.network import network_factors
from wattlake_pipelines.account.pipeline import account_pipeline
from wattlake_pipelines.account.references import FOREVER_MS, References, gather, grid_in_force
from wattlake_pipelines.account.spread import SpreadElement
from wattlake_pipelines.arrow_schema import conform, table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, stage
from wattlake_pipelines.land.read_range import shard_of

#: How many days one element of embodied accounting makes: a day alone would be all overhead.
_EMBODIED_DAYS = 64


@dataclass(frozen=True)
class Accounted:
    """What accounting did. opened: raw files that were read."""

    elements: int
    rows: int
    opened: tuple[str, ...]


def account(committer: Committer, *, options: Sequence[str] = (), until_ms: int | None = None) -> Accounted:
    """Account for all that has changed since the last time, in one commit; nothing to do, no commit.

    until_ms: embodied emissions accrue to here instead of the data's watermark.
    """
    connection = committer.connection
    if not connection.execute(f"SELECT count(*) FROM {ALIAS}.dirty").fetchall()[0][0]:
        return Accounted(0, 0, ())
    now = gather(connection)
    dirty = find_dirty(connection, now)
    attempt = uuid4().hex[:12]
    staging = committer.staging(attempt)
    watermark = until_ms if until_ms is not None else _watermark(connection)
    _stage_references(connection, staging, now, dirty)
    elements: list[DayElement | SpreadElement] = [
        *_days(committer, staging, dirty), *_spread(connection, staging, now, dirty, watermark)]
    parts = account_pipeline(elements, staging, attempt, options) if elements else []
    made = [f for part in parts for f in part.files]
    books = [_book(name, rows, staging, attempt) for name, rows in (
        ("accounted_jobs", now.jobs), ("accounted_places", now.places), ("accounted_devices", now.devices), ("accounted_items", now.items))]
    files = (*(f for f in made if f.rows), *(f for f in books if f.rows))
    committer.commit(Manifest(
        "account", attempt, files, replaced=tuple(dict.fromkeys((f.table, f.day_ms, f.shard) for f in (*made, *books))),
        consumed=dirty.consumed, watermark_ms=watermark, rows=sum(f.rows for f in made)))
    return Accounted(len(elements), sum(f.rows for f in made), tuple(sorted({o for part in parts for o in part.opened})))


def _watermark(connection: duckdb.DuckDBPyConnection, stage_name: str = "land") -> int:
    row = connection.execute(f"SELECT max(watermark_ms) FROM {ALIAS}.commits WHERE stage = ?", [stage_name]).fetchone()
    return -1 if row is None or row[0] is None else int(row[0])


def _book(name: str, rows: pa.Table, staging: Path, attempt: str) -> StagedFile:
    return stage(name, conform(rows, table_schema(TABLES[name])), staging, f"{attempt}.parquet", day_ms=0, shard=0)


def _stage_references(connection: duckdb.DuckDBPyConnection, staging: Path, now: References, dirty: Dirty) -> None:
    """Write what the workers read: reference data in force, as far as the dirty hours need it."""
    hours = dirty.emissions["hour_ms"].to_numpy()
    low, high = (int(hours.min()), int(hours.max()) + HOUR_MS) if len(hours) else (0, 0)
    direct, marginal = grid_in_force(connection, low, high)
    tables = {
        "jobs": now.jobs, "places": now.places, "devices": now.devices, "sites": now.sites, "direct": direct, "marginal": marginal,
        "items": now.items, "zone_cuts": connection.execute("FROM zone_cuts WHERE cut_ms > ? AND cut_ms < ?", [low, high]).to_arrow_table(),
        "place_cuts": connection.execute("FROM place_cuts").to_arrow_table(),
    }
    for name, rows in tables.items():
        pq.write_table(rows, staging / f"{name}.parquet")


def _days(committer: Committer, staging: Path, dirty: Dirty) -> list[DayElement]:
    """One element per shard and day that has dirty hours."""
    connection = committer.connection
    nodes = pc.unique(dirty.emissions["node"]).to_pylist()
    shards = pa.table({"node": pa.array(nodes, pa.string()), "shard": pa.array([shard_of(n, committer.shards) for n in nodes], pa.int64())})
    energy = dirty.energy.append_column("day_ms", pa.array(dirty.energy["hour_ms"].to_numpy() // DAY_MS * DAY_MS))
    emissions = dirty.emissions.append_column("day_ms", pa.array(dirty.emissions["hour_ms"].to_numpy() // DAY_MS * DAY_MS))
    context = find_context(connection, energy)
    tables = {"emissions": emissions, "energy": energy, "edges": context.edges, "opened": context.opened}
    parts = {name: _by_shard_and_day(rows, shards) for name, rows in tables.items()}
    groups = _raw_groups(committer)
    old = {name: {(d, s): p for p, d, s, _ in _files(connection, name)} for name in ("fact_energy", "fact_emissions")}
    elements = []
    for shard, day in sorted(parts["emissions"]):
        name = f"day-{shard}-{day}"
        rows = {suffix: parts[suffix].get((shard, day), table.slice(0, 0)) for suffix, table in tables.items()}
        for suffix, table in rows.items():
            pq.write_table(table.drop_columns(["day_ms"]), staging / f"{name}.{suffix}")
        hours = pc.unique(rows["opened"]["hour_ms"]).to_pylist()
        elements.append(DayElement(
            name, shard, day, tuple(sorted((g for h in hours for g in groups.get((shard, h), ())), key=lambda g: (g.path, g.group))),
            _absolute(committer, old["fact_energy"].get((day, shard))), _absolute(committer, old["fact_emissions"].get((day, shard))),
            int(committer.about.get("long_gap_ms", "300000"))))
    return elements


def _by_shard_and_day(rows: pa.Table, shards: pa.Table) -> dict[tuple[int, int], pa.Table]:
    """The rows of each (shard, day_ms), in their order."""
    shard = shards["shard"].combine_chunks().take(pc.index_in(rows["node"], shards["node"].combine_chunks()).combine_chunks()).to_numpy()
    day = rows["day_ms"].to_numpy()
    order = np.lexsort((day, shard))
    placed, shard, day = rows.take(pa.array(order)), shard[order], day[order]
    edges = np.flatnonzero(np.append(True, (shard[1:] != shard[:-1]) | (day[1:] != day[:-1]))) if len(order) else order
    ends = np.append(edges[1:], len(order))
    return {(int(shard[a]), int(day[a])): placed.slice(a, b - a) for a, b in zip(edges.tolist(), ends.tolist(), strict=False)}


def _raw_groups(committer: Committer) -> dict[tuple[int, int], list[RawGroup]]:
    """The row groups of raw readings of each (shard, hour)."""
    groups: dict[tuple[int, int], list[RawGroup]] = {}
    for path, _, shard, listed in _files(committer.connection, "raw_readings"):
        for group, hour in enumerate(int(h) for h in listed.split(",")):
            groups.setdefault((shard, hour), []).append(RawGroup(str(committer.lake / path), group, hour))
    return groups


def _files(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, int, int, str]]:
    return connection.execute(f"SELECT path, day_ms, shard, hours_ms FROM {ALIAS}.files WHERE table_name = ? ORDER BY path", [table]).fetchall()


def _absolute(committer: Committer, path: str | None) -> str:
    return str(committer.lake / path) if path else ""


def _spread(connection: duckdb.DuckDBPyConnection, staging: Path, now: References, dirty: Dirty, watermark: int) -> list[SpreadElement]:
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
    days = _embodied_days(connection, now, watermark)
    elements += [SpreadElement("embodied", tuple(days[i : i + _EMBODIED_DAYS]), watermark) for i in range(0, len(days), _EMBODIED_DAYS)]
    return elements


def _stage_rows(connection: duckdb.DuckDBPyConnection, staging: Path, name: str, table: str) -> bool:
    rows = connection.execute(f'SELECT * FROM {ALIAS}."{table}"').to_arrow_table()
    pq.write_table(rows, staging / f"{name}.parquet")
    return bool(rows.num_rows)


def _embodied_days(connection: duckdb.DuckDBPyConnection, now: References, watermark: int) -> list[int]:
    """Days on which embodied emissions accrue otherwise than the facts have it."""
    if now.items.num_rows == 0 or watermark < 0:
        return []
    before = _watermark(connection, "account")
    old_items = connection.execute(f"SELECT * FROM {ALIAS}.accounted_items").to_arrow_table()
    old_jobs = connection.execute(f"SELECT * FROM {ALIAS}.accounted_jobs").to_arrow_table()
    payload = ["device", "sku", "machine_sku", "acquired_on_ms", "retired_on_ms", "valid_from_ms", "valid_to_ms", "embodied_ug", "life_years", "version",
               "estimated", "component_of", "simulated"]
    old_lives, lives = _lives(old_items), _lives(now.items)
    spans = [*changed_spans(old_lives, lives, "node", payload), *changed_spans(old_jobs, now.jobs, "node", ["job", "device", "share_ppm"])]
    if before != watermark:
        spans.append(("", min(before, watermark), max(before, watermark)))
    # an inventory that dates nothing accrues nothing: then no day is concerned
    starts = [pc.min(table["start_ms"]).as_py() for table in (old_lives, lives)]
    first = min((int(v) for v in starts if v is not None), default=watermark)
    last = watermark
    days: set[int] = set()
    for _, start, end in spans if first < watermark else []:
        low, high = max(start, first) // DAY_MS, -(-min(end, last) // DAY_MS)
        days.update(d * DAY_MS for d in range(low, high))
    later = f"SELECT DISTINCT day_ms FROM {ALIAS}.files WHERE table_name = 'fact_embodied' AND day_ms > ?"
    gone = {d for (d,) in connection.execute(later, [watermark]).fetchall()}
    return sorted(days | gone)


def _lives(items: pa.Table) -> pa.Table:
    """The items with the span in which each may accrue; an item whose beginning nobody knows has one day to say so."""
    start = pc.max_element_wise(items["acquired_on_ms"], items["valid_from_ms"], skip_nulls=True)
    unknown = pa.scalar(FOREVER_MS, pa.int64())
    end = pc.min_element_wise(items["retired_on_ms"], items["valid_to_ms"], unknown, skip_nulls=True)
    known = start.is_valid()
    return items.append_column("start_ms", pc.fill_null(start, 0)).append_column("end_ms", end).filter(known)
