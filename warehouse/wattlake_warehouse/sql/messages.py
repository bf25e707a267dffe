"""What parent and child say to each other, one JSON object a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from wattlake_warehouse.sql.limits import Limits


class Setup(msgspec.Struct, frozen=True):
    """The child's first line: which lake, the copy of its catalogue, a folder of its own, and its bounds."""

    lake: str
    copy: str
    scratch: str
    limits: Limits


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child is locked in and the lake is open. landlock: version in force, 0 if the kernel has none."""

    landlock: int


class Question(msgspec.Struct, frozen=True):
    """One statement."""

    sql: str


class Columns(msgspec.Struct, frozen=True, tag="columns"):
    """The result's column names."""

    names: list[str]


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Some rows of the result."""

    rows: list[list[Any]]


class End(msgspec.Struct, frozen=True, tag="end"):
    """The result is complete, or cut at the row limit."""

    cut: bool


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The statement was refused (usage) or failed."""

    what: str
    next_step: str
    usage: bool = False


Answer = Ready | Columns | Rows | End | Failure


def plain(value: Any) -> Any:
    """A value as JSON can carry it: times and exact decimals as text, bytes in hex, NaN and infinity as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value)


def plain_rows(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows of a bounded batch, ready for JSON."""
    return [[plain(value) for value in row] for row in rows]
