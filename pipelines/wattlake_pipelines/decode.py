"""From a record of the log to a table of its kind's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.column import Column, Type
from wattlake_contracts.kind import Kind, accepts, is_newer
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import ARROW, JSON, Record, control_character
from wattlake_pipelines.arrow_bounds import TooMuchError, refuse_swollen
from wattlake_pipelines.arrow_schema import ARROW_TYPES, kind_schema
from wattlake_pipelines.json_rows import begin, more_rows, names_at_most, whole_numbers
from wattlake_pipelines.json_words import json_words
from wattlake_pipelines.part import Part, part_of
from wattlake_pipelines.row_reject import TOLD_ROWS, RowReject

#: A record is at most 1 MB on the file log; a broker may be set to allow more, but not without end.
MAX_PAYLOAD_BYTES = 16 * 2**20
#: Rows that cost no bytes (null or run-length columns) must not be able to fill the memory.
MAX_ROWS = 2_000_000
#: A row of JSON may be three bytes, and is an object of hundreds; one that says something has sixty at least.
MAX_JSON_ROWS = 300_000
#: An object of more names is not looked at for those that are not known.
_MANY_NAMES = 10_000
#: Nor packed bodies, whose columns are bounded by this all together; nor short references to a long text.
MAX_UNPACKED_BYTES, MAX_TEXT_BYTES = 64 * 2**20, 256 * 2**20
#: Said of a record that waits for a later version.
KEPT = "It is kept whole in set_aside"
#: How much of a bad JSON row is kept as its body.
MAX_BODY_BYTES = 64 * 1024


class DecodeError(Exception):
    """The record as a whole cannot be used. reason: what is wrong, in words for `rejects`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotYetError(DecodeError):
    """The record is of a kind or version that only a later Wattlake knows."""


class Decoded(NamedTuple):
    """A record's rows.

    part: the rows that could be read, exactly the columns of the kind with their Arrow types; not
    yet checked against the contract's bounds. rows: the number of each in the record (int64).
    rejects: the others. unknown: columns that the kind does not have, which are left out, and in how
    many rows each stands.
    """

    part: Part
    rows: np.ndarray
    rejects: list[RowReject]
    unknown: Mapping[str, int]

    @property
    def table(self) -> pa.Table:
        """The rows that could be read, as a table of their own."""
        return self.part.table


class _Rows(NamedTuple):
    """The same while the rows are structs yet."""

    structs: list[Any]
    rows: np.ndarray
    rejects: list[RowReject]
    unknown: Mapping[str, int]


def decode(record: Record) -> Decoded:
    """The rows of a record; DecodeError, and nothing else, if it cannot be used whatever its bytes are."""
    kind = _kind(record)
    content_type = _content_type(record)
    if content_type == ARROW:
        return _arrow(record.payload, kind)
    if content_type == JSON:
        return _json(record.payload, kind)
    raise DecodeError(f"content type {record.meta.content_type!r} is neither {ARROW} nor {JSON}")


def readable(kind: str, version: str) -> bool:
    """Whether this version knows how to read records of a kind and version."""
    return kind in KINDS and accepts(version) is None


def _kind(record: Record) -> Kind:
    meta = record.meta
    if len(record.payload) > MAX_PAYLOAD_BYTES:
        raise DecodeError(f"payload of {len(record.payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    kind, why = KINDS.get(meta.kind), accepts(meta.version)
    if kind is not None and why is None:
        return kind
    why = f"unknown kind {meta.kind!r}" if kind is None else why
    # what cannot be written down in the lake cannot wait there
    if (kind is None or is_newer(meta.version)) and control_character(meta.version + meta.content_type) is None:
        raise NotYetError(f"{why}: a newer Wattlake has sent it, or it is misspelt. {KEPT}: upgrade Wattlake here, and the next landing takes it up")
    raise DecodeError(f"{why}")


def _content_type(record: Record) -> str:
    return record.meta.content_type.partition(";")[0].strip().lower()


def _arrow(payload: bytes | memoryview, kind: Kind) -> Decoded:
    try:
        refuse_swollen(pa.py_buffer(payload), MAX_ROWS, MAX_UNPACKED_BYTES)
        with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
            names = stream.schema.names
            batches = []
            for batch in stream:
                batch.validate(full=True)
                batches.append(batch)
            source = pa.Table.from_batches(batches, schema=stream.schema)
    except TooMuchError as error:
        raise DecodeError(str(error)) from error
    except Exception as error:  # foreign bytes: Arrow raises its own errors, OSError, ValueError, UnicodeError, MemoryError …
        raise DecodeError(f"not an Arrow IPC stream: {_short(error)}") from error
    columns = []
    for column in kind.columns:
        target = ARROW_TYPES[column.type]
        if names.count(column.name) > 1:
            raise DecodeError(f"column {column.name} stands there twice")
        if column.name not in names:
            columns.append(pa.nulls(source.num_rows, target))
            continue
        values = source.column(names.index(column.name))
        columns.append(values if values.type == target else _converted(values, column, target))
    table = pa.Table.from_arrays(columns, schema=_schema(kind.name))
    return Decoded(part_of(table), np.arange(table.num_rows), [], dict.fromkeys(set(names) - known_names(kind.name), table.num_rows))


def _converted(values: pa.ChunkedArray, column: Column, target: pa.DataType) -> pa.ChunkedArray:
    """A column of another type than the contract's, converted where no value changes; DecodeError if it cannot be."""
    given = values.type
    try:
        _refuse_swollen(values, column)
        if pa.types.is_run_end_encoded(given):
            values = pa.chunked_array([pc.run_end_decode(c) for c in values.chunks], given.value_type)
        elif pa.types.is_dictionary(given):
            values = values.cast(given.value_type)
        inner = values.type
        if inner == target:
            return values
        if pa.types.is_null(inner) or _may_become(inner, column):
            return values.cast(target)
        if pa.types.is_timestamp(inner) and any(i.time for i in column.inputs):
            if inner.tz is None:
                raise DecodeError(f"column {column.name} is a timestamp with no zone; write UTC or epoch ms")
            # finer than a millisecond is cut off, as the contract has no finer time
            return values.cast(pa.timestamp("ms", inner.tz), safe=inner.unit == "s").cast(target)
    except DecodeError:
        raise
    except Exception as error:  # overflow or text that is none: said by Arrow in several classes
        raise DecodeError(f"column {column.name} is {given} and does not fit {target}: {_short(error)}") from error
    raise DecodeError(f"column {column.name} is {given}, not {target}")


def _refuse_swollen(values: pa.ChunkedArray, column: Column) -> None:
    """DecodeError if a text column that names its values by reference would unpack to far more than it came as."""
    inner = values.type.value_type if pa.types.is_dictionary(values.type) or pa.types.is_run_end_encoded(values.type) else values.type
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)):
        return
    lengths = [_longest(chunk) for chunk in values.chunks]
    if (size := max(lengths, default=0) * len(values)) > MAX_TEXT_BYTES:
        raise DecodeError(f"column {column.name} would unpack to as much as {size} bytes")


def _longest(chunk: pa.Array) -> int:
    values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk.values if pa.types.is_run_end_encoded(chunk.type) else chunk
    return pc.max(pc.binary_length(values.cast(pa.large_string()))).as_py() or 0


def _may_become(given: pa.DataType, column: Column) -> bool:
    if column.type is Type.STRING:
        return bool(pa.types.is_large_string(given) or pa.types.is_string_view(given))
    if column.type is Type.INT:
        return bool(pa.types.is_integer(given))
    if column.type is Type.FLOAT:
        return bool(pa.types.is_floating(given) or pa.types.is_integer(given))
    return False


_PYTHON_TYPES: dict[Type, Any] = {
    Type.STRING: str, Type.INT: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)], Type.FLOAT: float, Type.BOOL: bool,
}


# the caches go by name, for to hash a kind is to walk through all its columns
@cache
def known_names(name: str) -> frozenset[str]:
    """The columns of a kind."""
    return frozenset(c.name for c in KINDS[name].columns)


@cache
def _struct(name: str, *, strict: bool = False) -> type[msgspec.Struct]:
    kind = KINDS[name]
    fields = [(f"c{i}", _PYTHON_TYPES[c.type] | None, None) for i, c in enumerate(kind.columns)]
    # the fields have neutral names, for a column may be called as a method of Struct
    names = {f"c{i}": c.name for i, c in enumerate(kind.columns)}
    return msgspec.defstruct(f"Row_{kind.name}", fields, rename=names, gc=False, forbid_unknown_fields=strict)


@cache
def _decoder(name: str, *, strict: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[_struct(name, strict=strict)])  # type: ignore[misc]  # the struct is made from the contract at run time


@cache
def _schema(name: str) -> pa.Schema:
    return kind_schema(KINDS[name])


_raw_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_all(records: Sequence[Record]) -> list[Decoded | DecodeError]:
    """decode() of each record, its error in its place; JSON records of one kind are turned into columns together."""
    made: list[Decoded | DecodeError] = []
    waiting: dict[str, list[tuple[int, _Rows]]] = {}
    for number, record in enumerate(records):
        try:
            kind = _kind(record)
            if _content_type(record) == JSON:
                waiting.setdefault(kind.name, []).append((number, _json_structs(record.payload, kind)))
                made.append(DecodeError("no rows"))
            else:
                made.append(decode(record))
        except DecodeError as error:
            # one that was raised holds this frame, and with it every record, until Python looks for cycles
            made.append(type(error)(error.reason))
    for name, found in waiting.items():
        for number, decoded in _together(found, KINDS[name]):
            made[number] = decoded
    return made


def _together(found: list[tuple[int, _Rows]], kind: Kind) -> Iterator[tuple[int, Decoded | DecodeError]]:
    try:
        whole = _table([row for _, made in found for row in made.structs], kind)
    except DecodeError:
        # one of them cannot be used: find out which
        for number, made in found:
            try:
                yield number, Decoded(part_of(_table(made.structs, kind)), *made[1:])
            except DecodeError as error:
                yield number, DecodeError(error.reason)
        return
    at = 0
    for number, made in found:
        yield number, Decoded(Part(whole, at, len(made.structs)), *made[1:])
        at += len(made.structs)


def _json(payload: bytes | memoryview, kind: Kind) -> Decoded:
    made = _json_structs(payload, kind)
    return Decoded(part_of(_table(made.structs, kind)), *made[1:])


def _json_structs(payload: bytes | memoryview, kind: Kind) -> _Rows:
    text = bytes(payload).strip()
    if text[:1] != b"[":
        text = b"[" + text + b"]"
    if more_rows(text, MAX_JSON_ROWS):
        raise DecodeError(f"more than {MAX_JSON_ROWS} rows in one JSON record")
    for strict in (True, False):
        try:
            rows = _decoder(kind.name, strict=strict).decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
        return _Rows(rows, np.arange(len(rows)), [], {} if strict else _unknown_fields(_raw_rows(text), kind))
    return _json_rows(text, kind)


def _unknown_fields(raws: Iterable[msgspec.Raw], kind: Kind) -> dict[str, int]:
    """The fields that the kind does not have, and in how many rows each stands."""
    found = Counter(chain.from_iterable(map(_names, raws)))
    return {name: count for name, count in found.items() if name not in known_names(kind.name)}


def _names(raw: msgspec.Raw) -> Iterable[str]:
    """The names in an object, which is passed over unread where a row has fields that are not known: it may be no text."""
    if names_at_most(raw) > _MANY_NAMES:
        return ("(more names than are looked at)",)
    try:
        return _raw_object(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ("(a name that cannot be read)",)


def _json_rows(text: bytes, kind: Kind) -> _Rows:
    """Row by row, where reading all at once failed: only the bad rows are left out."""
    try:
        raws = _raw_rows(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(_not_json(error)) from error
    struct = _struct(kind.name)
    one = msgspec.json.Decoder(struct).decode
    rows, numbers, good, others = [], [], [], 0
    rejects: list[RowReject] = []
    for number, raw in enumerate(raws):
        if len(rejects) > TOLD_ROWS and begin(raw) != b"{":
            # said already, and to find out what exactly is wrong takes a hundred times as long
            others += 1
            continue
        try:
            try:
                row = one(raw)
            except msgspec.ValidationError:
                if begin(raw) != b"{" or names_at_most(raw) > _MANY_NAMES:
                    raise
                row = msgspec.convert(whole_numbers(_raw_object(raw), kind), struct)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            if len(rejects) > TOLD_ROWS:
                others += 1
            else:
                rejects.append(RowReject(number, _cut(json_words(error)), bytes(raw)[:MAX_BODY_BYTES].decode("utf-8", "replace")))
        else:
            rows.append(row)
            numbers.append(number)
            good.append(raw)
    if others:
        rejects[-1] = rejects[-1]._replace(others=others)
    return _Rows(rows, np.array(numbers, dtype=np.int64), rejects, _unknown_fields(good, kind))


def _table(rows: list[Any], kind: Kind) -> pa.Table:
    columns = []
    for i, column in enumerate(kind.columns):
        values = [getattr(row, f"c{i}") for row in rows]
        if column.type is Type.STRING:
            # "" is as good as not given
            values = [value or None for value in values]
        try:
            columns.append(pa.array(values, ARROW_TYPES[column.type]))
        except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
            raise DecodeError(f"column {column.name}: {_short(error)}") from error
    return pa.Table.from_arrays(columns, schema=_schema(kind.name))


def _short(error: BaseException) -> str:
    """What an error says, on one line; msgspec's paths name columns as they came."""
    return _cut(" ".join(str(error).split()) or type(error).__name__)


def _not_json(error: BaseException) -> str:
    return "JSON that is nested too deep" if isinstance(error, RecursionError) else f"not JSON: {_cut(json_words(error))}"


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
