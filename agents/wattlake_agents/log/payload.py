"""The rows in a record's payload, as far as somebody wants to see them."""

from __future__ import annotations

import io
from itertools import islice
from typing import Any

import msgspec

from wattlake_contracts.kind import accepts
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import ARROW, Record

Row = dict[str, Any]


def first_rows(record: Record, count: int) -> tuple[int | None, list[Row], str]:
    """(rows in all, the first of them, why it cannot be read or ''). Rows in all is None where that is not known."""
    meta = record.meta
    if meta.kind not in KINDS:
        return None, [], f"this version knows no kind {meta.kind[:100]!r}"
    if why := accepts(meta.version):
        return None, [], why
    try:
        return (*(_arrow if meta.content_type.partition(";")[0].strip().lower() == ARROW else _json)(bytes(record.payload), count), "")
    except Exception as error:  # what a payload of somebody else holds is unknown; what is wrong with it is shown
        return None, [], f"its payload cannot be read: {str(error)[:300] or type(error).__name__}"


def _json(payload: bytes, count: int) -> tuple[int, list[Row]]:
    found = msgspec.json.decode(payload)
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("neither a JSON object nor an array of objects")
    return len(rows), rows[:count]


def _arrow(payload: bytes, count: int) -> tuple[int, list[Row]]:
    import nanoarrow as na
    from nanoarrow.ipc import InputStream

    total, rows = 0, list[Row]()
    with InputStream.from_readable(io.BytesIO(payload)) as stream:
        for batch in na.ArrayStream(stream):
            total += len(batch)
            rows += islice(batch.iter_py(), count - len(rows))
    return total, rows
