"""Checks of single rows against the contract: what is decided without any other record.

The good path costs a few nanoseconds a row: aggregates (least, greatest, null count, distinct
values) tell whether a column holds anything wrong at all, and only then masks are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.column import MAX_TEXT_BYTES, Column, Type
from wattlake_contracts.kind import AHEAD_MS, Kind, Rule
from wattlake_contracts.kinds import REJECTS
from wattlake_pipelines.arrow_schema import conform, kind_schema


class Checked(NamedTuple):
    """The outcome of a check.

    good: the rows that hold, with exactly the columns of the kind, in the order they came.
    bad_index: positions, in the table given, of those that do not, ascending (int64).
    reasons: why, one string for each of bad_index; several faults of a row are joined by "; ".
    """

    good: pa.Table
    bad_index: np.ndarray
    reasons: pa.Array


class Written(NamedTuple):
    """How a column was written where it came from, so that reasons speak of that.

    name: its name there. text: the cells as they stood (string, one per row). bound: a stored bound
    as one would write it there, with its unit.
    """

    name: str
    text: pa.Array | pa.ChunkedArray
    bound: Callable[[float], str]


def check(table: pa.Table, kind: Kind, appended_ms: pa.Array | pa.ChunkedArray | int | None = None,
          written: Mapping[str, Written] | None = None, faults: Sequence[pa.Array] = ()) -> Checked:
    """Split the rows of a decoded table into good ones and bad ones with their reasons.

    table: columns of the kind with their Arrow types; absent ones count as null, unknown ones are
    ignored. appended_ms: when each row's record was written down (ms; one for all, or one a row);
    an instant of what has happened later than that by more than a day is a wrong clock. None: not checked. written: for
    the reasons, how columns were called and written in a file. faults: found by others already, each
    a reason where a row has one, else null.
    ValueError if a column has another type than the contract says.
    """
    table = conform(table, kind_schema(kind))
    terms = written or {}
    faults = [*faults, *(found for c in kind.columns for found in _column_faults(table.column(c.name), c, terms.get(c.name)))]
    if kind.name != REJECTS.name:
        faults += [found for c in kind.columns if c.type is Type.STRING for found in _length_fault(table.column(c.name), c, terms.get(c.name))]
    faults += [found for rule in kind.rules if (found := _rule_fault(table, kind, rule, terms)) is not None]
    if appended_ms is not None:
        for name in kind.happened:
            found = _clock_fault(table.column(name), terms[name].name if name in terms else name, appended_ms)
            faults += [found] if found is not None else []
    if not faults:
        return Checked(table, np.empty(0, dtype=np.int64), pa.array([], pa.string()))
    reasons = joined(faults)
    any_bad = np.zeros(table.num_rows, dtype=bool)
    for fault in faults:
        any_bad |= _numpy(fault.is_valid())
    bad = np.flatnonzero(any_bad)
    return Checked(table.filter(pa.array(~any_bad)), bad, _plain(reasons.take(pa.array(bad))))


def within_bounds(columns: Mapping[str, np.ndarray], kind: Kind, appended_ms: int) -> bool:
    """Whether all values of these integer columns are within the contract's bounds, and no `ts_ms` runs ahead.

    columns: without nulls. appended_ms: of the earliest record. False says no more than that some
    row may be bad: `check` tells which, and why.
    """
    for name, values in columns.items():
        column = kind.column(name)
        if len(values) and ((column.minimum is not None and values.min() < column.minimum) or (column.maximum is not None and values.max() > column.maximum)):
            return False
    ts_ms = columns.get("ts_ms")
    return ts_ms is None or not len(ts_ms) or bool(ts_ms.max() <= appended_ms + AHEAD_MS)


def joined(faults: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """Several columns of reasons as one: those of a row joined by "; ", null where a row has none."""
    result = _plain(faults[0])
    # two at a time: Arrow's own joining of many leaves out rows that are all null
    for fault in map(_plain, faults[1:]):
        result = pc.coalesce(pc.binary_join_element_wise(result, fault, "; "), result, fault)
    return result


def _column_faults(values: pa.ChunkedArray, column: Column, written: Written | None) -> list[pa.ChunkedArray]:
    """For each fault of a column a string array: the reason where a row has it, else null."""
    found = []
    name = written.name if written else column.name
    if column.required and values.null_count:
        found.append(_say(values.is_null(), f"{name} is missing"))
    if values.null_count == len(values):
        return found
    if column.type is Type.STRING:
        if _has_nul(values):
            wrong = pc.fill_null(pc.match_substring(values, "\0"), False)
            found.append(_say(wrong, f"{name} holds a NUL character, which ends a text in the lake's catalogue"))
        if column.choices:
            found += _choice_fault(values, column)
        elif column.required and pc.min(pc.binary_length(values)).as_py() == 0:
            found.append(_say(pc.equal(values, ""), f"{name} is empty"))
        if column.reserved_start:
            found += _start_fault(values, column, name)
        if column.reserved_ending:
            found += _ending_fault(values, column, name)
    elif column.type is not Type.BOOL:
        found += _bound_faults(values, column, written)
    return found


def _has_nul(values: pa.ChunkedArray) -> bool:
    """Whether any text holds a NUL: looked for in the bytes of all at once, as almost none ever does."""
    for chunk in values.chunks:
        _, ends, data = chunk.buffers()
        if len(chunk) and data is not None:
            # a buffer that came over the wire may end with bytes that are no offset
            span = np.frombuffer(ends, np.int32, count=chunk.offset + len(chunk) + 1)[chunk.offset :]
            used = np.frombuffer(data, np.uint8)[span[0] : span[-1]]
            if used.size and used.min() == 0:
                return True
    return False


def _length_fault(values: pa.ChunkedArray, column: Column, written: Written | None) -> list[pa.ChunkedArray]:
    # almost always all texts together are shorter than the limit, or each one is looked at for a nanosecond
    if values.nbytes <= MAX_TEXT_BYTES or (pc.max(lengths := pc.binary_length(values)).as_py() or 0) <= MAX_TEXT_BYTES:
        return []
    wrong = pc.fill_null(pc.greater(lengths, MAX_TEXT_BYTES), False)
    return [_say(wrong, f"{written.name if written else column.name} is a text of ", lengths, f" bytes, over the limit of {MAX_TEXT_BYTES}")]


def _choice_fault(values: pa.ChunkedArray, column: Column) -> list[pa.ChunkedArray]:
    allowed = pa.array(column.choices, pa.string())
    plain = _plain(values)
    distinct = plain.slice(0, 1) if _is_constant(plain) else pc.unique(plain).drop_null()
    if pc.all(pc.is_in(distinct, value_set=allowed)).as_py() is not False:
        return []
    wrong = pc.and_(values.is_valid(), pc.invert(pc.is_in(values, value_set=allowed)))
    return [_say(wrong, f"{column.name} is '", values, f"', not one of {', '.join(column.choices)}")]


def _ending_fault(values: pa.ChunkedArray, column: Column, name: str) -> list[pa.ChunkedArray]:
    # texts come plain: to look at each one's end takes a sixth of the time that it takes to find the distinct ones
    wrong = pc.ends_with(values, column.reserved_ending)
    if not pc.any(wrong).as_py():
        return []
    return [_say(pc.fill_null(wrong, False), f"a {name} name may not end in {column.reserved_ending}: '", values, "' (the facts use that ending)")]


def _start_fault(values: pa.ChunkedArray, column: Column, name: str) -> list[pa.ChunkedArray]:
    wrong = pc.starts_with(values, column.reserved_start)
    if not pc.any(wrong).as_py():
        return []
    return [_say(pc.fill_null(wrong, False), f"a {name} name may not begin with {column.reserved_start}: '", values, "' (reports call so what has none)")]


def _is_constant(values: pa.Array) -> bool:
    """Whether every value is the first one: two comparisons of memory, far cheaper than hashing.

    False is no answer: the values may still be equal (nulls are not looked at).
    """
    count = len(values)
    if not count or values.null_count:
        return False
    # foreign buffers may have any length beyond what is used
    ends = np.frombuffer(values.buffers()[1], dtype=np.int32, count=count + 1, offset=4 * values.offset)
    width = int(ends[1] - ends[0])
    if not width or int(ends[-1] - ends[0]) != width * count or not np.all(np.diff(ends) == width):
        return False
    data = np.frombuffer(values.buffers()[2], dtype=np.uint8)[ends[0] : ends[-1]]
    return bool(np.array_equal(data[width:], data[:-width]))


def _bound_faults(values: pa.ChunkedArray, column: Column, written: Written | None) -> list[pa.ChunkedArray]:
    found = []
    unit = f" {column.unit}" if column.unit else ""
    if column.type is Type.FLOAT and pc.all(pc.is_finite(values)).as_py() is False:
        finite = pc.is_finite(values)
        found.append(_say(pc.invert(finite), f"{column.name} is ", values, ", not a finite number"))
        values = pc.if_else(finite, values, pa.scalar(None, values.type))
    bounds = pc.min_max(values)
    for limit, reached, beyond, word in (
        (column.minimum, bounds["min"].as_py(), pc.less, "below the minimum of"),
        (column.maximum, bounds["max"].as_py(), pc.greater, "above the maximum of"),
    ):
        if limit is None or reached is None:
            continue
        bound = int(limit) if column.type is Type.INT else limit
        if reached < bound if beyond is pc.less else reached > bound:
            wrong, hint = beyond(values, pa.scalar(bound, values.type)), _hint(column, beyond is pc.less)
            if written:
                found.append(_say(wrong, f"{written.name} is ", written.text, f", {word} {written.bound(bound)}{hint}"))
            else:
                found.append(_say(wrong, f"{column.name} is ", values, f"{unit}, {word} {bound}{unit}{hint}"))
    return found


def _hint(column: Column, low: bool) -> str:
    if not any(i.time for i in column.inputs):
        return ""
    return " (are these seconds? write milliseconds)" if low else " (are these micro- or nanoseconds? write milliseconds)"


def _rule_fault(table: pa.Table, kind: Kind, rule: Rule, written: Mapping[str, Written]) -> pa.ChunkedArray | None:
    """The reason where a row breaks the rule, else null; None if no row does."""
    columns = [table.column(name) for name in rule.columns]
    if rule.form in {"ordered", "at_most"}:
        first, second = columns
        beyond = pc.greater_equal if rule.form == "ordered" else pc.greater
        wrong = pc.fill_null(beyond(first, second), False)
        if not pc.any(wrong).as_py():
            return None
        told = [written.get(n) or Written(n, c, str) for n, c in zip(rule.columns, columns, strict=True)]
        return _say(wrong, f"{rule.reason}: {told[0].name} is ", told[0].text, f" and {told[1].name} is ", told[1].text)
    given = [len(c) - c.null_count for c in columns]
    rows = table.num_rows
    if rule.form == "any_of":
        if rows in given:
            return None
        wrong = ~np.logical_or.reduce([_numpy(c.is_valid()) for c in columns])
    elif rule.form == "one_of":
        if sum(given) == rows and rows in given:
            return None
        wrong = np.sum([_numpy(c.is_valid()) for c in columns], axis=0) != 1
    else:
        raise ValueError(f"unknown form of rule {rule.form!r} in kind {kind.name}")
    names = [written[n].name if n in written else n for n in rule.columns]
    return _say(pa.array(wrong), f"{rule.reason} ({', '.join(names)})") if wrong.any() else None


def _clock_fault(ts: pa.ChunkedArray, name: str, appended_ms: pa.Array | pa.ChunkedArray | int) -> pa.ChunkedArray | None:
    latest = pc.max(ts).as_py()
    scalar = isinstance(appended_ms, int)
    earliest = appended_ms if scalar else pc.min(appended_ms).as_py()
    if latest is None or earliest is None or latest <= earliest + AHEAD_MS:
        return None
    base = pa.scalar(appended_ms, pa.int64()) if scalar else appended_ms
    late = pc.fill_null(pc.greater(ts, pc.add(base, AHEAD_MS)), False)
    if not pc.any(late).as_py():
        return None
    shown = pa.array([appended_ms] * len(ts), pa.int64()) if scalar else appended_ms
    return _say(late, f"{name} is ", ts, " ms, more than 24 h after its record was written down (", shown,
                " ms): its clock is wrong, or what it tells of has not happened yet")


def _say(where: pa.Array | pa.ChunkedArray, *parts: str | pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """A string array: the parts joined where the mask is true, null elsewhere. Nulls in a part read as nothing."""
    mask = pa.chunked_array([_plain(where)])
    if all(isinstance(p, str) for p in parts):
        return pc.if_else(mask, pa.scalar("".join(str(p) for p in parts)), pa.scalar(None, pa.string()))
    # only the rows concerned are written out, the rest stays null
    shown = [p if isinstance(p, str) else pc.fill_null(pc.if_else(mask, _plain(p).cast(pa.string()), ""), "") for p in parts]
    return pc.if_else(mask, pc.binary_join_element_wise(*shown, ""), pa.scalar(None, pa.string()))


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous array."""
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _numpy(mask: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.asarray(_plain(mask).to_numpy(zero_copy_only=False), dtype=bool)
