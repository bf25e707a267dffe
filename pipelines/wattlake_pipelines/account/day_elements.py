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
from wattlake_pipelines.account.element import DayElement, RawGroup, Stretch, hand_over
from wattlake_pipelines.account.references import References, grid_in_force
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.read_range import shard_of

#: So many readings are accounted for at once: what a worker holds in memory grows with them, and not with a day's.
ROWS_AT_ONCE = 500_000


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
    days = _by_shard_and_part(dirty.emissions.append_column("part_ms", _part(dirty.emissions, np.int64(DAY_MS))), shards)
    energy = dirty.energy.append_column("part_ms", _part(dirty.energy, _stretches_ms(connection, dirty.energy, shards)))
    context = find_context(connection, energy)
    parts = {name: _by_shard_and_part(rows, shards) for name, rows in {"energy": energy, "edges": context.edges, "opened": context.opened}.items()}
    none = {"energy": energy.slice(0, 0), "edges": context.edges.slice(0, 0), "opened": context.opened.slice(0, 0)}
    groups = _raw_groups(committer)
    stretches: dict[tuple[int, int], list[Stretch]] = {}
    for shard, part in sorted(parts["energy"]):
        name = f"hours-{shard}-{part}"
        rows = {suffix: parts[suffix].get((shard, part), none[suffix]) for suffix in none}
        for suffix, table in rows.items():
            hand_over(table.drop_columns(["part_ms"]), staging / f"{name}.{suffix}")
        hours = pc.unique(rows["opened"]["hour_ms"]).to_pylist()
        raw = sorted((g for h in hours for g in groups.get((shard, h), ())), key=lambda g: (g.path, g.group))
        stretches.setdefault((shard, part // DAY_MS * DAY_MS), []).append(Stretch(name, tuple(raw)))
    old = {name: {(d, s): p for p, d, s, _ in _files(connection, name)} for name in ("fact_energy", "fact_emissions")}
    elements = []
    for shard, day in sorted(days):
        name = f"day-{shard}-{day}"
        hand_over(days[shard, day].drop_columns(["part_ms"]), staging / f"{name}.emissions")
        elements.append(DayElement(
            name, shard, day, tuple(stretches.get((shard, day), ())),
            _absolute(committer, old["fact_energy"].get((day, shard))), _absolute(committer, old["fact_emissions"].get((day, shard))),
            int(committer.about.get("long_gap_ms", "300000"))))
    return elements


def _part(rows: pa.Table, length_ms: np.ndarray | np.int64) -> pa.Array:
    """The beginning of the part of its day that each row's hour lies in. length_ms: of the parts, that of each row or of all."""
    hour = rows["hour_ms"].to_numpy()
    day = hour // DAY_MS * DAY_MS
    return pa.array(day + (hour - day) // length_ms * length_ms)


def _stretches_ms(connection: duckdb.DuckDBPyConnection, energy: pa.Table, shards: pa.Table) -> np.ndarray:
    """How long a stretch of its hours may be at each row's shard and day, for one to hold about ROWS_AT_ONCE readings: whole hours, a day at most."""
    asked = pa.table({"place": np.arange(energy.num_rows), "shard": _shard(energy, shards), "day_ms": energy["hour_ms"].to_numpy() // DAY_MS * DAY_MS})
    connection.register("asked_in", asked)
    found = connection.execute(f"""
        SELECT coalesce(f.readings, 0) AS readings FROM asked_in
        LEFT JOIN (SELECT shard, day_ms, sum("rows")::BIGINT AS readings FROM {ALIAS}.files WHERE table_name = 'raw_readings' GROUP BY ALL) f
        USING (shard, day_ms) ORDER BY place""").fetchnumpy()["readings"]
    connection.unregister("asked_in")
    pieces = np.maximum(1, -(-np.asarray(found, np.int64) // ROWS_AT_ONCE))
    hours: np.ndarray = np.maximum(1, DAY_MS // HOUR_MS // pieces)
    return hours * HOUR_MS


def _shard(rows: pa.Table, shards: pa.Table) -> np.ndarray:
    """The shard of each row's node."""
    found: np.ndarray = shards["shard"].combine_chunks().take(pc.index_in(rows["node"], shards["node"].combine_chunks()).combine_chunks()).to_numpy()
    return found


def _by_shard_and_part(rows: pa.Table, shards: pa.Table) -> dict[tuple[int, int], pa.Table]:
    """The rows of each (shard, part_ms), in their order."""
    shard, part = _shard(rows, shards), rows["part_ms"].to_numpy()
    order = np.lexsort((part, shard))
    placed, shard, part = rows.take(pa.array(order)), shard[order], part[order]
    edges = np.flatnonzero(np.append(True, (shard[1:] != shard[:-1]) | (part[1:] != part[:-1]))) if len(order) else order
    ends = np.append(edges[1:], len(order))
    return {(int(shard[a]), int(part[a])): placed.slice(a, b - a) for a, b in zip(edges.tolist(), ends.tolist(), strict=False)}


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
