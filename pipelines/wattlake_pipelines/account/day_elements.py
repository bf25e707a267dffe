"""The elements of work that open readings or derive emissions: one per shard and day that has dirty hours."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS, DAY_MS, HOUR_MS
from wattlake_pipelines.account.context import find_context
from wattlake_pipelines.account.dirty import Dirty
from wattlake_pipelines.account.element import DayElement, RawGroup, hand_over
from wattlake_pipelines.account.references import References, grid_in_force
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.read_range import shard_of


def stage_references(connection: duckdb.DuckDBPyConnection, staging: Path, now: References, dirty: Dirty) -> None:
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


def day_elements(committer: Committer, staging: Path, dirty: Dirty) -> list[DayElement]:
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
            hand_over(table.drop_columns(["day_ms"]), staging / f"{name}.{suffix}")
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
