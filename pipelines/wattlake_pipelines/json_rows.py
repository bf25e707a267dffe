"""Rows of JSON records whose size is known before they are made objects, and those that say whole numbers in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from wattlake_contracts.column import Type
from wattlake_contracts.kind import Kind

_QUOTE, _COMMA = 0x22, 0x2C
#: So much is looked at in one go: what that takes fits in the processor's cache.
_CHUNK_BYTES = 1 << 18


def more_rows(text: bytes, limit: int) -> bool:
    """Whether the JSON array has more than `limit` elements (at least 1).

    What is no JSON is counted as far as it is some. Few bytes are looked at one by one: where there are
    fewer commas than that altogether, none is.
    """
    if text.count(b",") < limit:
        return False
    # an escaped quote ends no text; a backslash stands nowhere else
    text = text.replace(rb"\\", b"__").replace(rb"\"", b"__")
    commas = quotes = depth = 0
    for start in range(0, len(text), _CHUNK_BYTES):
        byte = np.frombuffer(text, np.uint8, min(_CHUNK_BYTES, len(text) - start), start)
        quoted = np.cumsum(byte == _QUOTE) + quotes
        outside = quoted % 2 == 0
        # [ and { differ in one bit, as do ] and }
        bracket = byte | 0x20
        deep = np.cumsum(((bracket == 0x7B) & outside).astype(np.int8) - ((bracket == 0x7D) & outside), dtype=np.int64) + depth
        commas += int(np.count_nonzero((byte == _COMMA) & outside & (deep == 1)))
        if commas >= limit:
            return True
        quotes, depth = int(quoted[-1]), int(deep[-1])
    return False


def whole_numbers(row: Mapping[str, msgspec.Raw], kind: Kind) -> dict[str, Any]:
    """What a row says in the columns of its kind, with 5.0 as 5 in integer columns: JSON knows one kind of number.

    An array or object, which no column takes, comes out empty, however much it holds.
    """
    found: dict[str, Any] = {}
    for column in kind.columns:
        if (raw := row.get(column.name)) is None:
            continue
        first = begin(raw)
        value = [] if first == b"[" else {} if first == b"{" else msgspec.json.decode(raw)
        found[column.name] = int(value) if column.type is Type.INT and isinstance(value, float) and value.is_integer() else value
    return found


def begin(raw: msgspec.Raw) -> bytes:
    """The byte that a value begins with."""
    return bytes(memoryview(raw)[:1])


def names_at_most(raw: msgspec.Raw) -> int:
    """More names than this stand in no object of these bytes."""
    return bytes(raw).count(b":")
