"""The pieces of one shard → one sorted Parquet file per day, and the bounds of each counter and hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_contracts.tables import RAW_READINGS, READING_BOUNDS
from wattlake_pipelines.lake.manifest import StagedFile, file_sha256, parquet_options, stage
from wattlake_pipelines.land.bounds import reading_bounds
from wattlake_pipelines.land.piece import ReadingPiece
from wattlake_pipelines.land.runs import ATTRIBUTES, Ints, Runs, codes, gather_index
from wattlake_pipelines.land.seen import fresh

_SERIES = ("node", "device", "epoch")
_VALUES = ("ts_ms", "energy_mj", "power_mw")


@dataclass(frozen=True)
class _Sorted:
    """Rows in their final order, and the stretches of one origin in it.

    index: row numbers in that order. hour, series: per stretch. attributes, identity: one row per
    stretch. lengths: rows of each.
    """

    values: dict[str, pa.Array]
    index: Ints
    lengths: Ints
    hour: Ints
    series: Ints
    attributes: pa.Table
    identity: pa.Table


def write_readings(pieces: Sequence[ReadingPiece], seen: pa.Table, folder: Path, attempt: str, shard: int, batch: int) -> list[StagedFile]:
    """Stage the shard's raw_readings files, one per day, and one reading_bounds file.

    Rows are sorted by hour, node, device, epoch and time; one row group per hour, so that
    accounting an hour reads that hour. Records seen before, or twice here, are left out.
    """
    runs, records, record_of = _joined(pieces, seen)
    if len(runs.starts) == 0:
        return []
    sorted_rows = _sort(runs, records, record_of)
    files, bounds = [], []
    day = sorted_rows.hour // DAY_MS * DAY_MS
    for one in np.unique(day).tolist():
        name = f"{one}-{shard}-{attempt}.parquet"
        path = folder / RAW_READINGS.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        begin, end = np.searchsorted(day, [one, one + 1])
        hours = np.unique(sorted_rows.hour[begin:end])
        rows, found = _write_day(sorted_rows, hours, path, batch)
        bounds += found
        files.append(StagedFile(RAW_READINGS.name, name, str(path), rows, path.stat().st_size, file_sha256(path), one, shard, tuple(hours.tolist())))
    files.append(stage(READING_BOUNDS.name, pa.concat_tables(bounds), folder, f"{shard}-{attempt}.parquet"))
    return files


def _joined(pieces: Sequence[ReadingPiece], seen: pa.Table) -> tuple[Runs, pa.Table, Ints]:
    """The runs of all fresh records of all pieces, the records, and the record of each run."""
    records = pa.concat_tables([p.records for p in pieces])
    row_base = np.cumsum([0, *(p.runs.rows.num_rows for p in pieces)])
    record_base = np.cumsum([0, *(p.records.num_rows for p in pieces)])
    record_of = np.concatenate([p.record_of + base for p, base in zip(pieces, record_base, strict=False)])
    whole = Runs(
        pa.concat_tables([p.runs.rows for p in pieces]), pa.concat_tables([p.runs.attributes for p in pieces]),
        np.concatenate([p.runs.starts + base for p, base in zip(pieces, row_base, strict=False)]),
        np.concatenate([p.runs.lengths for p in pieces]))
    keep = np.flatnonzero(fresh(records, seen)[record_of])
    return whole.select(keep), records, record_of[keep]


def _sort(runs: Runs, records: pa.Table, record_of: Ints) -> _Sorted:
    values = {name: runs.rows[name].combine_chunks() for name in _VALUES}
    ts = values["ts_ms"].to_numpy()
    starts, lengths, parent, hour = _cut_at_hours(runs, ts)
    series = _series_codes(runs.attributes)[parent]
    order = np.lexsort((ts[starts], series, hour))
    index = gather_index(starts, lengths, order)
    lengths = lengths[order]
    if not _in_order(ts[index], lengths, hour[order], series[order]):
        # a message out of order, or two that lap: sort the rows themselves
        of_row = np.repeat(order, lengths)
        by_row = np.lexsort((ts[index], series[of_row], hour[of_row]))
        index, of_row = index[by_row], of_row[by_row]
        begins = np.flatnonzero(np.diff(of_row, prepend=-1))
        order, lengths = of_row[begins], np.diff(begins, append=len(index))
    origin = parent[order]
    return _Sorted(values, index, lengths, hour[order], series[order], runs.attributes.take(pa.array(origin)),
                   records.select(["boot", "seq"]).take(pa.array(record_of[origin])))


def _series_codes(attributes: pa.Table) -> Ints:
    """One integer per (node, device, epoch), in their order."""
    code = np.zeros(attributes.num_rows, np.int64)
    for name in _SERIES:
        part, distinct = codes(attributes[name])
        code = code * len(distinct) + part
        # keep the numbers small, so that three factors cannot overflow
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _cut_at_hours(runs: Runs, ts: np.ndarray) -> tuple[Ints, Ints, Ints, Ints]:
    """(starts, lengths, parent run, hour): runs cut where the hour changes, so that each lies in one hour."""
    starts, lengths = runs.starts, runs.lengths
    hours = ts[starts] // HOUR_MS * HOUR_MS
    if _covers(runs):
        # a run may hold instants in any order, so its first and last row do not tell
        whole = np.minimum.reduceat(ts, starts) // HOUR_MS == np.maximum.reduceat(ts, starts) // HOUR_MS
    else:
        whole = np.zeros(len(starts), bool)
    if whole.all():
        return starts, lengths, np.arange(len(starts)), hours
    split = np.flatnonzero(~whole)
    index = gather_index(starts, lengths, split)
    parent = np.repeat(split, lengths[split])
    hour = ts[index] // HOUR_MS * HOUR_MS
    begins = np.flatnonzero((np.diff(hour, prepend=-1) != 0) | (np.diff(parent, prepend=-1) != 0))
    return (np.concatenate([starts[whole], index[begins]]), np.concatenate([lengths[whole], np.diff(begins, append=len(index))]),
            np.concatenate([np.flatnonzero(whole), parent[begins]]), np.concatenate([hours[whole], hour[begins]]))


def _covers(runs: Runs) -> bool:
    """Whether the runs lie one after the other and take all rows, as reduceat needs it."""
    return bool(runs.starts[0] == 0 and (runs.starts[1:] == runs.starts[:-1] + runs.lengths[:-1]).all()
                and runs.starts[-1] + runs.lengths[-1] == runs.rows.num_rows)


def _in_order(ts: np.ndarray, lengths: Ints, hour: Ints, series: Ints) -> bool:
    """Whether time does not fall within any (hour, series) of the ordered rows."""
    falls = ts[1:] < ts[:-1]
    new = np.flatnonzero((np.diff(hour) != 0) | (np.diff(series) != 0))
    falls[np.cumsum(lengths)[new] - 1] = False
    return not bool(falls.any())


def _write_day(rows: _Sorted, hours: np.ndarray, path: Path, batch: int) -> tuple[int, list[pa.Table]]:
    row_ends = np.cumsum(rows.lengths)
    writer, count, bounds = None, 0, []
    try:
        for hour in hours.tolist():
            begin, end = np.searchsorted(rows.hour, [hour, hour + 1])
            first = int(row_ends[begin - 1]) if begin else 0
            table = _hour_table(rows, slice(int(begin), int(end)), rows.index[first : int(row_ends[end - 1])])
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, **parquet_options(table.schema))
            writer.write_table(table, row_group_size=table.num_rows)
            count += table.num_rows
            new = np.flatnonzero(np.diff(rows.series[begin:end], prepend=-1))
            series_starts = (row_ends[begin:end] - rows.lengths[begin:end] - first)[new]
            bounds.append(reading_bounds(table, series_starts, hour, batch))
    finally:
        if writer is not None:
            writer.close()
    return count, bounds


def _hour_table(rows: _Sorted, stretches: slice, index: Ints) -> pa.Table:
    """The rows of one hour in the contract's order of columns; strings as dictionaries, made once per stretch."""
    at, lengths = pa.array(index), rows.lengths[stretches]
    made = {}
    for name in RAW_READINGS.names:
        if name in rows.values:
            made[name] = rows.values[name].take(at)
        else:
            source = rows.attributes if name in ATTRIBUTES else rows.identity
            made[name] = _repeated(source[name].slice(stretches.start, stretches.stop - stretches.start).combine_chunks(), lengths)
    return pa.table(made)


def _repeated(values: pa.Array, lengths: Ints) -> pa.Array:
    """Each value as often as its stretch is long; strings stay a dictionary."""
    if pa.types.is_string(values.type):
        encoded = values.dictionary_encode()
        return pa.DictionaryArray.from_arrays(pa.array(np.repeat(encoded.indices.to_numpy(), lengths)), encoded.dictionary)
    return pa.array(np.repeat(values.to_numpy(zero_copy_only=False), lengths))
