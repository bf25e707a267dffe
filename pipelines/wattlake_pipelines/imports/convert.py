"""Text columns of an import file to rows of the kind, and the rows that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.column import Column, Input, Type
from wattlake_contracts.kind import Kind
from wattlake_pipelines.arrow_schema import ARROW_TYPES, kind_schema
from wattlake_pipelines.imports.defaults import fill
from wattlake_pipelines.imports.instants import instants
from wattlake_pipelines.imports.numbers import real, whole
from wattlake_pipelines.rowcheck import Written, check, joined

Matched = Mapping[str, tuple[Column, Input]]

#: No name is longer, and so a block of rows can always be cut to the size of a record.
LONGEST_TEXT = 1000
#: Of a cell at fault, what its reason shows.
_SHOWN = 80

_TRUE, _FALSE = pa.array(["true", "1", "yes"]), pa.array(["false", "0", "no"])


class Converted(NamedTuple):
    """Rows of the kind: table (stored names, types and units) and at, the number in the chunk of each (int64).

    faults: for the rows that a cell could not be read of, their numbers and reasons.
    """

    table: pa.Table
    at: np.ndarray
    faulty: np.ndarray
    faults: pa.Array


def convert(text: pa.Table, matched: Matched, kind: Kind) -> Converted:
    """Read every cell; a row with one that cannot be read is left out. Bounds are not checked yet."""
    columns: dict[str, pa.Array] = {}
    faults = []
    for name, (column, given) in matched.items():
        cells = text.column(name).combine_chunks()
        values, why = _read(cells, column, given)
        columns[column.name] = values
        if why is not None:
            shown = pc.fill_null(pc.utf8_slice_codeunits(cells, 0, _SHOWN), "")
            faults.append(pc.binary_join_element_wise(f"{name} '", shown, "' ", why, ""))
    arrays = [columns.get(c.name, pa.nulls(text.num_rows, ARROW_TYPES[c.type])) for c in kind.columns]
    table = fill(pa.Table.from_arrays(arrays, schema=kind_schema(kind)), kind)
    every = np.arange(text.num_rows)
    if not faults:
        return Converted(table, every, every[:0], pa.array([], pa.string()))
    bad = np.logical_or.reduce([f.is_valid().to_numpy(zero_copy_only=False) for f in faults])
    return Converted(table.filter(pa.array(~bad)), every[~bad], every[bad], joined(faults).filter(pa.array(bad)))


def split(text: pa.Table, matched: Matched, kind: Kind, converted: Converted) -> Converted:
    """Check the rows that could be read against the contract; those at fault join the others."""
    rows = text if len(converted.at) == text.num_rows else text.take(pa.array(converted.at))
    written = {c.name: Written(name, rows.column(name), partial(_bound, c, i)) for name, (c, i) in matched.items()}
    checked = check(converted.table, kind, None, written)
    if not len(checked.bad_index):
        return converted
    keep = np.ones(len(converted.at), dtype=bool)
    keep[checked.bad_index] = False
    faulty = np.concatenate([converted.faulty, converted.at[checked.bad_index]])
    order = np.argsort(faulty, kind="stable")
    faults = pa.concat_arrays([converted.faults, checked.reasons]).take(pa.array(order))
    return Converted(checked.good, converted.at[keep], faulty[order], faults)


def _read(cells: pa.Array, column: Column, given: Input) -> tuple[pa.Array, pa.Array | None]:
    if given.time:
        return instants(cells)
    if column.type is Type.INT:
        return whole(cells, given.scale)
    if column.type is Type.FLOAT:
        return real(cells, given.scale)
    if column.type is Type.BOOL:
        return _flags(cells)
    return _texts(cells)


def _flags(cells: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    lower = pc.utf8_lower(cells)
    yes, no = pc.is_in(lower, value_set=_TRUE), pc.is_in(lower, value_set=_FALSE)
    known = pc.or_(yes, no)
    values = pc.if_else(known, yes, pa.scalar(None, pa.bool_()))
    if values.null_count == cells.null_count:
        return values, None
    return values, pc.if_else(pc.or_(known, cells.is_null()), pa.scalar(None, pa.string()), "is neither true nor false")


def _texts(cells: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    nothing = pa.scalar(None, pa.string())
    control = pc.fill_null(pc.match_substring_regex(cells, r"[\x00-\x1f\x7f]"), False)
    long = pc.fill_null(pc.greater(pc.binary_length(cells), LONGEST_TEXT), False)
    if not pc.any(pc.or_(control, long)).as_py():
        return cells, None
    why = pc.if_else(control, "holds a line break or another control character (was a quote left open?)", nothing)
    return cells, pc.if_else(long, f"is longer than {LONGEST_TEXT} bytes (was a quote left open?)", why)


def _bound(column: Column, given: Input, bound: float) -> str:
    """A bound as one would write it in the file."""
    if given.time:
        return datetime.fromtimestamp(bound / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if given.scale != 1:
        return f"{float(Decimal(bound) / Decimal(repr(given.scale))):.12g}"
    return f"{bound} {column.unit}".rstrip()
