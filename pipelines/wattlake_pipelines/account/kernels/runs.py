"""Readings as runs: stretches of rows with the same key and attributes, found without work on strings per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_pipelines.account.kernels.ranges import Bools, Ints, distinct
from wattlake_pipelines.account.kernels.texts import BLOCK, Coded, code_strings, text_changes, without_nulls

_TEXTS = ("node", "device", "epoch", "device_kind", "method", "boundary")


@dataclass(frozen=True)
class Runs:
    """Readings in their order. ts_ms and value (mJ of a counter, mW of a power) are per reading, all else per run."""

    ts_ms: Ints
    value: Ints
    start: Ints
    text: dict[str, Coded]
    simulated: Bools
    power: Bools


def find_runs(readings: pa.Table) -> Runs:
    """The runs of a table with the columns of raw_readings (texts plain or dictionary-encoded), in any order."""
    if not readings.num_rows:
        none, empty = np.zeros(0, np.int64), np.zeros(0, bool)
        return Runs(none, none, none, dict.fromkeys(_TEXTS, Coded(none, pa.array([], pa.string()))), empty, empty)
    energy = readings.column("energy_mj")
    missing = energy.null_count
    if missing == 0:
        value, given = energy, None
    elif missing == len(energy):
        value, given = readings.column("power_mw"), None
    else:
        value, given = pc.coalesce(energy, readings.column("power_mw")), pc.is_valid(energy)
    columns = [*(readings.column(name) for name in _TEXTS), readings.column("simulated"), *([] if given is None else [given])]
    keys = pa.table(columns, names=[str(i) for i in range(len(columns))])
    starts, picked, row = [], [], 0
    for batch in keys.to_batches():
        if not batch.num_rows:
            continue
        arrays = [without_nulls(column) for column in batch.columns]
        at = _changes(arrays)
        starts.append(at + row)
        picked.append([_pick(array, at) for array in arrays])
        row += batch.num_rows
    by_column = list(zip(*picked, strict=True))
    flags = [np.concatenate([array.to_numpy(zero_copy_only=False) for array in chunks]) for chunks in by_column[len(_TEXTS):]]
    power = ~flags[1] if given is not None else np.full(len(flags[0]), missing > 0)
    return Runs(
        _flat(readings.column("ts_ms")), _flat(value), np.concatenate(starts),
        {name: code_strings(list(by_column[i])) for i, name in enumerate(_TEXTS)}, flags[0], power,
    )


def _flat(column: pa.ChunkedArray) -> Ints:
    """int64 values as one numpy array; not copied where they are one chunk."""
    if column.num_chunks == 1:
        return np.asarray(column.chunk(0).to_numpy())
    return np.concatenate([np.zeros(0, np.int64), *(chunk.to_numpy() for chunk in column.chunks)])


def _pick(array: pa.Array, at: Ints) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        return pa.DictionaryArray.from_arrays(array.indices.take(pa.array(at)), array.dictionary)
    return array.take(pa.array(at))


def _changes(arrays: list[pa.Array]) -> Ints:
    """The rows that differ from the one before in any of the arrays; row 0 is one."""
    rows = len(arrays[0])
    compared: list[npt.NDArray[np.generic]] = []
    found = [np.zeros(1, np.int64)]
    for array in arrays:
        if pa.types.is_dictionary(array.type):
            if len(array.dictionary) > 1:
                compared.append(array.indices.to_numpy())
        elif pa.types.is_boolean(array.type):
            if 0 < array.true_count < rows:
                compared.append(array.to_numpy(zero_copy_only=False))
        else:
            found.append(text_changes(array))
    if compared:
        for low in range(0, rows - 1, BLOCK):
            high = min(low + BLOCK, rows - 1)
            new = np.zeros(high - low, bool)
            for values in compared:
                new |= values[low + 1:high + 1] != values[low:high]
            if new.any():
                found.append(np.flatnonzero(new) + (low + 1))
    return distinct(*found)
