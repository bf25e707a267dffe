"""The outermost readings of each counter and hour."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from wattlake_contracts.tables import READING_BOUNDS

#: On each side: whether a reading is an outlier depends on its neighbour, so one would not do.
EDGE_READINGS = 2


def edge_rows(ts_ms: np.ndarray, series_starts: np.ndarray) -> np.ndarray:
    """Row numbers of the readings with the two first and two last distinct ts of each series.

    ts_ms: not falling within a series. series_starts: first row of each series, ascending, from 0.
    """
    count = len(ts_ms)
    lengths = np.diff(series_starts, append=count)
    ends = series_starts + lengths
    repeated = np.zeros(count, bool)
    repeated[1:] = ts_ms[1:] == ts_ms[:-1]
    repeated[series_starts] = False
    if not repeated.any():
        offsets = np.arange(EDGE_READINGS)
        front = np.minimum(series_starts[:, None] + offsets, ends[:, None] - 1)
        back = np.maximum(ends[:, None] - 1 - offsets, series_starts[:, None])
        return np.unique(np.concatenate([front.ravel(), back.ravel()]))
    rank = np.cumsum(~repeated)
    first = np.repeat(rank[series_starts], lengths)
    last = np.repeat(rank[ends - 1], lengths)
    return np.flatnonzero((rank - first < EDGE_READINGS) | (last - rank < EDGE_READINGS))


def reading_bounds(hour: pa.Table, series_starts: np.ndarray, hour_ms: int, batch: int) -> pa.Table:
    """The reading_bounds rows of one hour's sorted raw readings; counters and powers of a name are series apart."""
    power = hour["power_mw"].combine_chunks()
    if power.null_count in (0, len(power)):
        chosen = edge_rows(hour["ts_ms"].to_numpy(), series_starts)
    else:
        is_power = power.is_valid().to_numpy(zero_copy_only=False)
        series = np.repeat(np.arange(len(series_starts)), np.diff(series_starts, append=len(power)))
        parts = []
        for rows in (np.flatnonzero(~is_power), np.flatnonzero(is_power)):
            starts = np.flatnonzero(np.diff(series[rows], prepend=-1))
            parts.append(rows[edge_rows(hour["ts_ms"].to_numpy()[rows], starts)])
        chosen = np.sort(np.concatenate(parts))
    taken = hour.select([c.name for c in READING_BOUNDS.columns if c.name in hour.column_names]).take(pa.array(chosen))
    plain = [column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column for column in taken.columns]
    made = pa.table(plain, names=taken.column_names)
    made = made.append_column("hour_ms", pa.array(np.full(len(chosen), hour_ms)))
    return made.append_column("batch", pa.array(np.full(len(chosen), batch))).select(list(READING_BOUNDS.names))
