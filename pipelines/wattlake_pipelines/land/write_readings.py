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
from wattlake_pipelines.lake.manifest import READING_STATISTICS, StagedFile, file_sha256, parquet_options, stage
from wattlake_pipelines.land.bounds import reading_bounds
from wattlake_pipelines.land.piece import ReadingPiece
from wattlake_pipelines.land.runs import ATTRIBUTES, Ints, codes, gather_index
from wattlake_pipelines.land.seen import fresh

_SERIES = ("node", "device", "epoch")
#: A reading has one of the two. All else has a value in every row, and says so: that spares a level of encoding.
_EITHER = ("energy_mj", "power_mw")


class Scratch:
    """Arrays that are used again for every hour: memory touched for the first time costs more than the work on it."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def of(self, name: str, size: int, kind: type[np.generic]) -> np.ndarray:
        """An array of this size with anything in it; the one given before under the name is gone."""
        held = self._arrays.get(name)
        if held is None or len(held) < size or held.dtype != kind:
            held = self._arrays[name] = np.empty(max(size, 1) * 9 // 8, kind)
        return held[:size]


@dataclass(frozen=True)
class _Sorted:
    """The runs of a shard in their final order, by hour, series and time.

    pieces: (ts_ms, value) of the rows. piece, start, lengths: where each run's rows lie. hour, series:
    of each run. text, record: its rows in `texts` and `records`.
    """

    pieces: list[tuple[Ints, Ints]]
    piece: Ints
    start: Ints
    lengths: Ints
    hour: Ints
    series: Ints
    text: Ints
    record: Ints
    texts: pa.Table
    records: pa.Table


def write_readings(pieces: Sequence[ReadingPiece], seen: pa.Table, folder: Path, attempt: str, shard: int, batch: int,
                   events: Sequence[str] = ()) -> list[StagedFile]:
    """Stage the shard's raw_readings files, one per day, and one reading_bounds file.

    Rows are sorted by hour, node, device, epoch and time; one row group per hour, so that
    accounting an hour reads that hour. Records seen before (see `fresh`), or twice here, are left out.
    """
    sorted_rows = _sort(pieces, seen, events)
    if len(sorted_rows.hour) == 0:
        return []
    scratch = Scratch()
    files, bounds = [], []
    day = sorted_rows.hour // DAY_MS * DAY_MS
    for one in np.unique(day).tolist():
        name = f"{one}-{shard}-{attempt}.parquet"
        path = folder / RAW_READINGS.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        begin, end = np.searchsorted(day, [one, one + 1])
        hours = np.unique(sorted_rows.hour[begin:end])
        rows, found = _write_day(sorted_rows, hours, path, batch, scratch)
        bounds += found
        files.append(StagedFile(RAW_READINGS.name, name, str(path), rows, path.stat().st_size, file_sha256(path), one, shard, tuple(hours.tolist())))
    files.append(stage(READING_BOUNDS.name, pa.concat_tables(bounds), folder, f"{shard}-{attempt}.parquet"))
    return files


def _sort(pieces: Sequence[ReadingPiece], seen: pa.Table, events: Sequence[str]) -> _Sorted:
    """The runs of all fresh records of all pieces, in order; nothing here looks at every row."""
    records = pa.concat_tables([p.records for p in pieces])
    texts = pa.concat_tables([p.runs.texts for p in pieces])
    record_base = np.cumsum([0, *(p.records.num_rows for p in pieces)])
    text_base = np.cumsum([0, *(p.runs.texts.num_rows for p in pieces)])
    record = np.concatenate([p.record_of + base for p, base in zip(pieces, record_base, strict=False)])
    text = np.concatenate([p.runs.text + base for p, base in zip(pieces, text_base, strict=False)])
    piece = np.repeat(np.arange(len(pieces)), [len(p.runs.starts) for p in pieces])
    start, lengths = (np.concatenate([getattr(p.runs, name) for p in pieces]) for name in ("starts", "lengths"))
    first = np.concatenate([p.runs.ts_ms[p.runs.starts] for p in pieces])
    hour = first // HOUR_MS * HOUR_MS
    series = _series_codes(texts)[text]
    order = np.lexsort((first, series, hour))
    order = order[fresh(records, seen, events)[record[order]]]
    return _Sorted([(p.runs.ts_ms, p.runs.value) for p in pieces], piece[order], start[order], lengths[order], hour[order], series[order],
                   text[order], record[order], texts.combine_chunks(), records.select(["boot", "seq"]).combine_chunks())


def _series_codes(attributes: pa.Table) -> Ints:
    """One integer per (node, device, epoch), in their order."""
    code = np.zeros(attributes.num_rows, np.int64)
    for name in _SERIES:
        part, distinct = codes(attributes[name])
        code = code * len(distinct) + part
        # keep the numbers small, so that three factors cannot overflow
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _write_day(rows: _Sorted, hours: np.ndarray, path: Path, batch: int, scratch: Scratch) -> tuple[int, list[pa.Table]]:
    writer, count, bounds = None, 0, []
    try:
        for hour in hours.tolist():
            begin, end = (int(i) for i in np.searchsorted(rows.hour, [hour, hour + 1]))
            table, series_starts = _hour_table(rows, slice(begin, end), scratch)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, **parquet_options(table.schema, READING_STATISTICS))
            writer.write_table(table, row_group_size=table.num_rows)
            count += table.num_rows
            bounds.append(reading_bounds(table, series_starts, hour, batch))
    finally:
        if writer is not None:
            writer.close()
    return count, bounds


def _hour_table(rows: _Sorted, hour: slice, scratch: Scratch) -> tuple[pa.Table, Ints]:
    """(rows of one hour in the contract's order of columns, where each series begins).

    Strings are dictionaries, looked up once per run. The columns lie in `scratch` until the next hour.
    """
    lengths = rows.lengths[hour]
    count = int(lengths.sum())
    ts_ms, value = _gathered(rows, hour, count, scratch)
    of_row = np.repeat(np.arange(len(lengths)), lengths)
    series = rows.series[hour]
    begins = np.cumsum(lengths) - lengths
    new = np.flatnonzero(np.diff(series, prepend=-1))
    inside = np.ones(len(lengths), bool)
    inside[new] = False
    # within a run time does not fall: only where a run begins before the last of its series ended are rows out of order
    if (inside[1:] & (ts_ms[begins[1:]] < ts_ms[begins[1:] - 1])).any():
        order = np.lexsort((ts_ms, series[of_row]))
        ts_ms, value, of_row = ts_ms[order], value[order], of_row[order]
    texts, records = rows.texts.take(pa.array(rows.text[hour])), rows.records.take(pa.array(rows.record[hour]))
    is_power = texts["power"].to_numpy()
    made = {"ts_ms": pa.array(ts_ms), **_values(value, is_power, of_row)}
    for name in RAW_READINGS.names:
        if name not in made:
            source = (texts if name in ATTRIBUTES else records)[name].combine_chunks()
            made[name] = _repeated(source, of_row, scratch.of(name, count, np.int32 if pa.types.is_string(source.type) else np.int64))
    return pa.Table.from_arrays(list(map(made.__getitem__, RAW_READINGS.names)), schema=pa.schema(
        [pa.field(name, made[name].type, nullable=name in _EITHER) for name in RAW_READINGS.names])), begins[new]


def _gathered(rows: _Sorted, hour: slice, count: int, scratch: Scratch) -> tuple[Ints, Ints]:
    """(ts_ms, value) of the rows of an hour, run after run."""
    piece, start, lengths = rows.piece[hour], rows.start[hour], rows.lengths[hour]
    # the stretch of each piece that the hour's runs lie in, one after the other: pieces are small, so at most a little too much is copied
    moved = np.empty_like(start)
    parts: list[tuple[int, int, int]] = []
    size = 0
    for number in np.unique(piece).tolist():
        mine = piece == number
        low, high = int(start[mine].min()), int((start[mine] + lengths[mine]).max())
        moved[mine] = start[mine] - low + size
        parts.append((number, low, high))
        size += high - low
    index = gather_index(moved, lengths, np.arange(len(moved)))
    found = []
    for column, name in enumerate(("ts_ms", "value")):
        source = scratch.of("piece", size, np.int64)
        at = 0
        for number, low, high in parts:
            source[at : at + high - low] = rows.pieces[number][column][low:high]
            at += high - low
        found.append(np.take(source, index, out=scratch.of(name, count, np.int64), mode="clip"))
    return found[0], found[1]


def _values(value: Ints, is_power: np.ndarray, of_row: np.ndarray) -> dict[str, pa.Array]:
    """The columns energy_mj and power_mw: each row has one of them, as its run says."""
    if is_power.any() and not is_power.all():
        power = is_power[of_row]
        return {"energy_mj": pa.array(value, mask=power), "power_mw": pa.array(value, mask=~power)}
    none = pa.Array.from_buffers(pa.int64(), len(value), [pa.py_buffer(bytes(-(-len(value) // 8))), pa.py_buffer(value)], len(value))
    return {"energy_mj": none, "power_mw": pa.array(value)} if is_power.any() else {"energy_mj": pa.array(value), "power_mw": none}


def _repeated(values: pa.Array, of_row: np.ndarray, room: np.ndarray) -> pa.Array:
    """The value of each row's run; strings stay a dictionary. room: where the result may lie."""
    if pa.types.is_string(values.type):
        encoded = values.dictionary_encode()
        if len(encoded.dictionary) == 1:
            room.fill(0)
        else:
            np.take(encoded.indices.to_numpy(), of_row, out=room, mode="clip")
        return pa.DictionaryArray.from_arrays(pa.array(room), encoded.dictionary, safe=False)
    if pa.types.is_boolean(values.type):
        return pa.array(values.to_numpy(zero_copy_only=False)[of_row])
    return pa.array(np.take(values.to_numpy(), of_row, out=room, mode="clip"))
