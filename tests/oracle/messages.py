"""The rows that a message holds, told slowly and by other means than landing has: Python's own json, Arrow's own reader, and the published schemas.

python messages.py FILE FIRST   prints the columns of each Arrow stream in a file of them, from the FIRST on: a line of JSON for each
"""

from __future__ import annotations

import json
import math
import re
import resource
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
#: docs/other-writers.md, "Limits".
_AHEAD_MS, _MOST_ROWS, _MOST_JSON_ROWS = 24 * 3_600_000, 2_000_000, 300_000
#: A longer text is none of a row.
_TEXT_BYTES = 64 * 1024
#: The instants of what has happened, and what the columns of a row say of each other (docs/reference.md).
_HAPPENED = {"readings": ("ts_ms",), "jobs": ("start_ms", "end_ms")}
_RULES: Mapping[str, Any] = {
    "readings": lambda row: (row["energy_mj"] is None) != (row["power_mw"] is None),
    "jobs": lambda row: row["end_ms"] is None or row["start_ms"] < row["end_ms"],
}
#: What stands in the lake for what a row leaves unsaid, but for a reading's method, which goes by whether it is an energy, and a job's event_ms.
_UNSAID: Mapping[str, dict[str, object]] = {
    "readings": {"device_kind": "other", "epoch": "0", "boundary": "component", "simulated": False},
    "jobs": {"lease_ms": 180_000, "simulated": False},
}
_METHOD = {True: "counter", False: "integrated"}
#: What Arrow's types are called that a column's values may have, whether they stand there or are referred to.
_ARROW = {"string": r"string|large_string|string_view", "integer": r"u?int\d+", "number": r"u?int\d+|halffloat|float|double", "boolean": "bool"}
_REFERRED = r"dictionary<values=(\w+),.*|run_end_encoded<run_ends: int\d+, values: (\w+)>"
#: Room for the process that reads what Arrow may be led astray by.
_ROOM_BYTES = 4 * 2**30

Row = tuple[object, ...]


@cache
def published(kind: str) -> tuple[tuple[str, dict[str, Any], bool], ...]:
    """(name, schema, whether it is needed) of each column of a kind."""
    schema = json.loads((_SCHEMAS / f"{kind}.json").read_text())
    return tuple((name, column, name in schema["required"]) for name, column in schema["properties"].items())


def json_rows(kind: str, body: bytes, appended_ms: int) -> Counter[Row]:
    """The rows, by the columns of their kind, that a JSON message holds and that may land."""
    # what is no UTF-8 may stand in what is left out, and nowhere else: as a lone surrogate it is no good text
    text = body.strip().decode("utf-8", "surrogateescape")
    try:
        told = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Counter()
    rows = told if isinstance(told, list) else [told]
    if len(rows) > _MOST_JSON_ROWS:
        return Counter()
    # in JSON an empty text is as good as none
    return _good(kind, ({name: None if row.get(name) == "" else row.get(name) for name, _, _ in published(kind)} for row in rows if isinstance(row, dict)),
                 appended_ms)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def arrow_rows(kind: str, bodies: Sequence[bytes], appended_ms: int, folder: Path) -> list[Counter[Row]]:
    """The same of each of these Arrow messages, read in a process of its own in a folder; one that ends the process is as good as no stream."""
    file = folder / "messages"
    file.write_bytes(b"".join(struct.pack("<I", len(body)) + body for body in bodies))
    found: list[Counter[Row]] = []
    while len(found) < len(bodies):
        read = subprocess.run([sys.executable, __file__, str(file), str(len(found))], capture_output=True, check=False)
        told = [line for line in read.stdout.splitlines(keepends=True) if line.endswith(b"\n")]
        found += [_of_columns(kind, json.loads(line), appended_ms) for line in told]
        # it dies by a signal; whatever else ends it is a fault of this oracle
        assert read.returncode <= 0, read.stderr.decode()
        if read.returncode:
            found.append(Counter())
    assert len(found) == len(bodies)
    return found


def _of_columns(kind: str, told: list[tuple[str, str, list[Any]]] | None, appended_ms: int) -> Counter[Row]:
    """told: (name, Arrow's type, values) of each column; None of what is no stream."""
    if not told:
        return Counter()
    given = Counter(name for name, _, _ in told)
    by_name = {name: (kind_of, values) for name, kind_of, values in told}
    whole = {}
    for name, schema, _ in published(kind):
        type_name, values = by_name.get(name, ("null", [None] * len(told[0][2])))
        if (referred := re.fullmatch(_REFERRED, type_name)) is not None:
            type_name = referred[1] or referred[2]
        if given[name] > 1 or not re.fullmatch(f"{_ARROW[_type(schema)]}|null", type_name):
            return Counter()
        whole[name] = values
    return _good(kind, (dict(zip(whole, row, strict=True)) for row in zip(*whole.values(), strict=True)), appended_ms)


def _good(kind: str, rows: Iterable[dict[str, Any]], appended_ms: int) -> Counter[Row]:
    """The rows that break no limit, as they are in the lake."""
    return Counter(tuple(_landed(kind, row, appended_ms).values()) for row in map(_whole_numbers(kind), rows) if _holds(kind, row, appended_ms))


def _whole_numbers(kind: str) -> Any:
    """Makes 5.0 the 5 that it is in JSON, where a column is of whole numbers."""
    whole = {name for name, schema, _ in published(kind) if _type(schema) == "integer"}

    def made(row: dict[str, Any]) -> dict[str, Any]:
        return {name: int(value) if name in whole and isinstance(value, float) and value.is_integer() else value for name, value in row.items()}

    return made


def _holds(kind: str, row: Mapping[str, Any], appended_ms: int) -> bool:
    return (all(_is_value(row[name], schema) if row[name] is not None else not needed for name, schema, needed in published(kind))
            and all(row[name] is None or row[name] <= appended_ms + _AHEAD_MS for name in _HAPPENED[kind])
            and bool(_RULES[kind](row))
            and all(row[name] != "" for name, _, needed in published(kind) if needed))


def _is_value(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether it is one of the column; it is given."""
    wanted = _type(schema)
    if wanted == "boolean":
        return isinstance(value, bool)
    if wanted == "string":
        return isinstance(value, str) and _is_text(value) and value in schema.get("enum", [value]) and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, bool) or not isinstance(value, int if wanted == "integer" else int | float) or not math.isfinite(value):
        return False
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def _is_text(value: str) -> bool:
    return "\0" not in value and not re.search("[\ud800-\udfff]", value) and len(value.encode()) <= _TEXT_BYTES


def _type(schema: Mapping[str, Any]) -> str:
    """The name of a column's type, without that it may be left out."""
    named = schema["type"]
    return str(named if isinstance(named, str) else named[0])


def _landed(kind: str, row: dict[str, Any], appended_ms: int) -> dict[str, Any]:
    """A good row with what it leaves unsaid."""
    unsaid = {**_UNSAID[kind], **({"method": _METHOD[row["energy_mj"] is not None]} if kind == "readings" else {"event_ms": appended_ms})}
    return {name: unsaid.get(name) if value is None else value for name, value in row.items()}


def _streams(file: Path, first: int) -> Iterator[bytes]:
    data, at, number = file.read_bytes(), 0, 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        if number >= first:
            yield data[at + 4 : at + 4 + length]
        at, number = at + 4 + length, number + 1


def _columns(body: bytes) -> list[tuple[str, str, list[Any]]] | None:
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(body) as stream:
            batches = []
            for batch in stream:
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, stream.schema)
        if table.num_rows > _MOST_ROWS:
            return None
        return [(field.name, str(field.type), column.to_pylist()) for field, column in zip(table.schema, table.columns, strict=True)]
    except Exception:  # foreign bytes: Arrow raises its own errors and half of Python's, and any of them says that this is no stream
        return None


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM_BYTES, _ROOM_BYTES))
    for each in _streams(Path(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(_columns(each), default=repr), flush=True)
