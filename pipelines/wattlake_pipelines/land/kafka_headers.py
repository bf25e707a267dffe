"""The headers of messages, as Kafka writes them, and the records that they make of messages.

An agent's messages differ in the number and the time that their headers tell, and in nothing else. So headers are compared
with those of a message of the same writer that were read before: where all bytes but these two are the same, so is the rest of the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.kafkalog.message import OURS, Place, UnreadableError, checked, from_checked, instant_ms, ours
from wattlake_contracts.record import Meta, Record

#: How many forms are remembered; each is some hundred bytes.
_FORMS = 4096
#: Each costs Python a hundred bytes, and a writer two.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Sealed:
    """The value of a message, and its headers as they came: their number and, of each, its name and value with their lengths before them."""

    value: bytes | None
    headers: bytes

    def __len__(self) -> int:
        """kafka-python asks for it."""
        return len(self.value or b"")


@dataclass(frozen=True, slots=True)
class _Form:
    """Headers of a record of ours but for its number and its time. head, gap, tail: the bytes before, between and after them."""

    head: bytes
    gap: bytes
    tail: bytes
    time_at: int
    meta: Meta

    def seq(self, headers: bytes) -> bytes:
        """The digits of the number in headers of the same length; empty if they are not of this form."""
        low = len(self.head)
        high = self.time_at - len(self.gap)
        seq = headers[low:high]
        return seq if seq.isdigit() and headers.startswith(self.head) and headers.endswith(self.tail) and headers[high : self.time_at] == self.gap else b""


class Headers:
    """Makes records of messages of a range. It remembers the forms of the writers that it has met."""

    def __init__(self) -> None:
        self._forms: dict[tuple[str, bytes | None, int], _Form] = {}

    def record(self, place: Place, key: bytes | None, message: Sealed) -> Record:
        """The record that a message is, as message.from_message makes it; UnreadableError if it is none."""
        value = checked(key, message.value)
        kind = place.topic, key, len(message.headers)
        form = self._forms.get(kind)
        if form is not None and (seq := form.seq(message.headers)):
            said = message.headers[form.time_at : len(message.headers) - len(form.tail)]
            return Record(form.meta, int(seq), instant_ms(said.decode(errors="replace"), place.timestamp_ms), value)
        headers, places = read_headers(message.headers)
        if (record := ours(place, value, headers)) is None:
            return from_checked(place, key, value, headers)
        # a signature is another in each message
        if len(headers) == len(OURS):
            self._learn(kind, message.headers, places, record)
        return record

    def _learn(self, kind: tuple[str, bytes | None, int], headers: bytes, places: list[tuple[int, int]], record: Record) -> None:
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        (id_at, id_end), (time_at, time_end) = places[OURS.index("ce_id")], places[OURS.index("ce_time")]
        seq_at = headers.rindex(b"/", id_at, id_end) + 1
        self._forms[kind] = _Form(headers[:seq_at], headers[id_end:time_at], headers[time_end:], time_at, record.meta)


def read_headers(headers: bytes) -> tuple[list[tuple[str, bytes | None]], list[tuple[int, int]]]:
    """(name and value of each, where the values lie); UnreadableError if that is not what the bytes are."""
    from kafka.record.util import decode_varint

    try:
        count, at = decode_varint(headers, 0)
        if count > _MOST:
            raise UnreadableError(f"a message with {count} headers is over the limit of {_MOST}")
        if count < 0:
            raise UnreadableError(f"its headers cannot be read: {count} of them")
        found: list[tuple[str, bytes | None]] = []
        places: list[tuple[int, int]] = []
        for _ in range(count):
            size, at = decode_varint(headers, at)
            if not 0 <= size <= len(headers) - at:
                raise UnreadableError(f"its headers cannot be read: a name of {size} bytes")
            name, at = headers[at : at + size], at + size
            size, at = decode_varint(headers, at)
            if size > len(headers) - at:
                raise UnreadableError(f"its headers cannot be read: a value of {size} bytes")
            end = at + max(size, 0)
            found.append((name.decode(), headers[at:end] if size >= 0 else None))
            places.append((at, end))
            at = end
    except UnicodeDecodeError as error:
        raise UnreadableError("the name of a header is not UTF-8") from error
    except (ValueError, IndexError) as error:
        raise UnreadableError(f"its headers cannot be read: {error}") from error
    if at != len(headers):
        raise UnreadableError(f"its headers cannot be read: they end {len(headers) - at} bytes before the message does")
    return found, places
