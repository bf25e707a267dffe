"""One record of a log as somebody reads it: where it stands, what it says of itself, its first rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from wattlake_agents.log.payload import PayloadReader, Row
from wattlake_contracts.amount import amount
from wattlake_contracts.record import Record

#: What of a row is shown on a line.
_LINE = 240
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder(enc_hook=str).encode


@dataclass
class Entry:
    """A record, or what should have been one.

    partition: of a file log its name; on Kafka topic/number. time_ms: the record's own; logged_ms: the broker's, None in a file log.
    rows: how many it holds, None where not known; first: the first of them. reason: why it is no record, or cannot be read.
    signed_with: the public key that it says it is signed with, which nobody has checked.
    """

    partition: str
    offset: int
    time_ms: int
    size_bytes: int
    logged_ms: int | None = None
    id: str = ""
    kind: str = ""
    version: str = ""
    content_type: str = ""
    rows: int | None = None
    first: list[Row] = field(default_factory=list)
    reason: str = ""
    signed_with: str = ""

    @property
    def order(self) -> tuple[int, str, int]:
        """By when it came, then by place."""
        return (self.time_ms if self.logged_ms is None else self.logged_ms, self.partition, self.offset)

    def line(self) -> str:
        """As a line of JSON."""
        return _encode({
            "time": _instant(self.time_ms), **({"logged": _instant(self.logged_ms)} if self.logged_ms is not None else {}),
            "partition": self.partition, "offset": self.offset, "id": self.id or None, "kind": self.kind or None, "version": self.version or None,
            "content_type": self.content_type or None, "bytes": self.size_bytes, "rows": self.rows, "first": self.first, "reason": self.reason or None,
            **({"signed_with": self.signed_with} if self.signed_with else {}),
        }).decode()

    def text(self) -> str:
        """As people read it: a line of what it is, and a line for each row."""
        when = _instant(self.time_ms if not self.reason or self.logged_ms is None else self.logged_ms)
        rows = "" if self.rows is None else f"  {amount(self.rows, 'row')}"
        named = f"  {self.kind} {self.version}  {self.id}" if self.kind else ""
        lines = [f"{when}  {self.partition} @ {self.offset}{named}{rows}  {self.size_bytes} B{'  signed' if self.signed_with else ''}"]
        if self.reason:
            lines.append(f"    cannot be read: {self.reason}")
        for row in self.first:
            text = "  ".join(f"{name}={_value(value)}" for name, value in row.items() if value is not None)
            lines.append("    " + (text if len(text) <= _LINE else text[: _LINE - 1] + "…"))
        if self.first and self.rows is not None and self.rows > len(self.first):
            lines.append(f"    … {self.rows - len(self.first)} more")
        return "\n".join(map(_harmless, lines))


def entry_of(partition: str, offset: int, record: Record, reader: PayloadReader, count: int, logged_ms: int | None = None) -> Entry:
    """The entry of a record. count: how many rows of it are wanted."""
    rows, first, reason = reader.first_rows(record, count)
    meta = record.meta
    return Entry(partition, offset, record.appended_ms, len(record.payload), logged_ms, record.ce_id, meta.kind, meta.version, meta.content_type,
                 rows, first, reason)


def _instant(ms: int) -> str:
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return f"{ms} ms"


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value and not set(value) & set(" =\"'") else _encode(value).decode()


def _harmless(text: str) -> str:
    """Without what a terminal would take for a command: anybody may have written it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
