"""As much of what is dirty as one commit of a follower accounts for, the newest days first: what is new must not wait for a past that was told late."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.layout import ALIAS, DAY_MS, HOUR_MS
from wattlake_pipelines.account.dirty import EMISSIONS, ENERGY, Dirty
from wattlake_pipelines.land.read_range import shard_of

#: What a day takes beside its readings, in readings: some 30 ms, at six million a second.
DAY_READINGS = 200_000

#: (cause, key, from, to), as a manifest has them.
Mark = tuple[str, str, int, int]


def portion(connection: duckdb.DuckDBPyConnection, dirty: Dirty, shards: int, readings: int) -> tuple[Dirty, tuple[Mark, ...]]:
    """(what to account for now, marks for the rest). readings: about how many the days of now may hold; the newest is taken in any case."""
    if not dirty.emissions.num_rows:
        return dirty, ()
    shard, day = _place(dirty.emissions, shards)
    held = connection.execute(
        f"""SELECT shard, day_ms, sum("rows")::BIGINT FROM {ALIAS}.files WHERE table_name = 'raw_readings' GROUP BY ALL""").fetchall()
    rows_of = {(int(s), int(d)): int(rows) for s, d, rows in held}
    # a day takes what its elements do, one for each shard
    places = np.unique(np.stack((day, shard)), axis=1)
    weights = np.array([max(DAY_READINGS, rows_of.get((s, d), 0)) for d, s in places.T.tolist()])
    days, first = np.unique(places[0], return_index=True)
    newest_first = np.cumsum(np.add.reduceat(weights, first)[::-1])
    count = max(1, int(np.searchsorted(newest_first, readings, side="right")))
    if count >= len(days):
        return dirty, ()
    now = days[-count:]
    energy, emissions = (_mask(rows, now) for rows in (dirty.energy, dirty.emissions))
    marks = (*_marks(ENERGY, dirty.energy.filter(pc.invert(energy))), *_marks(EMISSIONS, dirty.emissions.filter(pc.invert(emissions))))
    return replace(dirty, energy=dirty.energy.filter(energy), emissions=dirty.emissions.filter(emissions)), marks


def _place(rows: pa.Table, shards: int) -> tuple[np.ndarray, np.ndarray]:
    """(shard, day) of each row."""
    node = rows["node"].combine_chunks().dictionary_encode()
    of_node = np.array([shard_of(name, shards) for name in node.dictionary.to_pylist()], np.int64)
    return of_node[node.indices.to_numpy()], _day(rows)


def _day(rows: pa.Table) -> np.ndarray:
    day: np.ndarray = rows["hour_ms"].to_numpy() // DAY_MS * DAY_MS
    return day


def _mask(rows: pa.Table, days: np.ndarray) -> pa.Array:
    return pa.array(np.isin(_day(rows), days))


def _marks(cause: str, rows: pa.Table) -> list[Mark]:
    """One for each run of hours of a node. rows: ordered by node and hour."""
    if not rows.num_rows:
        return []
    node, hour = rows["node"].combine_chunks().dictionary_encode(), rows["hour_ms"].to_numpy()
    index = node.indices.to_numpy()
    starts = np.flatnonzero(np.append(True, (np.diff(index) != 0) | (np.diff(hour) != HOUR_MS)))
    ends = np.append(starts[1:], len(hour)) - 1
    names = node.dictionary.take(node.indices.take(pa.array(starts))).to_pylist()
    return [(cause, name, low, high + HOUR_MS) for name, low, high in zip(names, hour[starts].tolist(), hour[ends].tolist(), strict=True)]
