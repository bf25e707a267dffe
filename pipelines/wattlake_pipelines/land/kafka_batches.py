"""kafka-python's batches of messages, read within bounds: whoever may write must not be able to end or to fill the one who lands.

`install` puts these classes where kafka-python's own are, which unpack whatever comes as a whole. The value of a message that is polled within
`bounded` is `Sealed`: its headers are read by whoever makes a record of it. What is over a bound, or is no batch or message at all, comes as a message whose
value is `Refused`; those around it come as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from wattlake_contracts.kafkalog.message import UnreadableError
from wattlake_pipelines.decode import MAX_PAYLOAD_BYTES
from wattlake_pipelines.land.kafka_headers import Sealed, read_headers
from wattlake_pipelines.land.unpack import UnpackError, unpack

#: A writer's batch is some 100 KB before it is packed, and 1 MB where it is set to be large.
BATCH_BYTES = 64 * 2**20
#: When so much has been unpacked, a poll comes back with what it has; what was fetched beyond is fetched again.
_POLL_BYTES = 64 * 2**20
_RAW_KEPT = 4096
_poll = threading.local()


@dataclass(frozen=True)
class Refused:
    """The value of a message that stands for those from offset `first` up to its own. raw: how they begin, as they came."""

    first: int
    reason: str
    raw: bytes

    def __len__(self) -> int:
        """kafka-python asks for it."""
        return len(self.raw)


@contextmanager
def bounded() -> Iterator[None]:
    """This thread polls within the block, and takes no more than so much at once."""
    _poll.unpacked_bytes = 0
    try:
        yield
    finally:
        del _poll.unpacked_bytes


def _polls_within_bounds() -> bool:
    """Whether it is landing that polls. Other consumers of this process get what they would get of kafka-python."""
    return hasattr(_poll, "unpacked_bytes")


def _plain(headers: bytes) -> list[tuple[str, bytes | None]]:
    try:
        return read_headers(headers)[0]
    except UnreadableError as error:
        raise CorruptRecordError(str(error)) from error


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch, unpacked when its first message is asked for."""

    _buffer: bytearray | memoryview
    _pos: int
    _num_records: int
    _decompressed: bool

    def __iter__(self) -> Iterator[Any]:
        packed = self._raw(self._pos)
        try:
            self._maybe_uncompress()
        except UnpackError as error:
            yield self._refused(self.base_offset, self.last_offset, f"a batch of messages {error}", packed)
            return
        least, begin = self.base_offset, self._pos
        for _ in range(self._num_records):
            try:
                message, begin = self._message(begin, least)
            except (CorruptRecordError, ValueError, IndexError) as error:
                # where the next one begins is not known
                yield self._refused(least, self.last_offset, f"the rest of a batch of messages cannot be read: {error}", self._raw(begin))
                return
            least = message.offset + 1
            yield message

    def _raw(self, begin: int, end: int | None = None) -> bytes:
        return bytes(self._buffer[begin : begin + _RAW_KEPT][: None if end is None else end - begin])

    def _maybe_uncompress(self) -> None:
        """As kafka-python's, within bounds."""
        if not self._decompressed:
            if self.compression_type != self.CODEC_NONE:
                self._buffer, self._pos = unpack(self.compression_type, memoryview(self._buffer)[self._pos :], BATCH_BYTES), 0
            if _polls_within_bounds():
                _poll.unpacked_bytes += len(self._buffer)
        self._decompressed = True

    def _message(self, begin: int, least: int) -> tuple[Any, int]:
        """(the message that begins here, where the next one does). Nothing of it is copied before its sizes are known."""
        buffer = self._buffer
        length, start = decode_varint(buffer, begin)
        end = start + length
        if not start < end <= len(buffer):
            raise CorruptRecordError("its length is not that of a message")
        _, pos = decode_varint(buffer, start)
        since, pos = decode_varint(buffer, pos)
        delta, pos = decode_varint(buffer, pos)
        offset = self.base_offset + delta
        if not least <= offset <= self.last_offset:
            raise CorruptRecordError(f"its offset is not one of those from {least} to {self.last_offset}")
        found: list[bytes | None] = []
        for what in ("key", "value"):
            size, pos = decode_varint(buffer, pos)
            if size > MAX_PAYLOAD_BYTES:
                why = f"a message with a {what} of {size} bytes is over the limit of {MAX_PAYLOAD_BYTES}"
                return self._refused(offset, offset, why, self._raw(begin, end)), end
            if size > end - pos:
                raise CorruptRecordError(f"it ends within its {what}")
            found.append(bytes(buffer[pos : pos + size]) if size >= 0 else None)
            pos += max(size, 0)
        key, value = found
        timestamp = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else self.first_timestamp + since
        told = bytes(buffer[pos:end])
        if not _polls_within_bounds():
            return DefaultRecord(length, offset, timestamp, self.timestamp_type, key, value, _plain(told)), end
        return DefaultRecord(length, offset, timestamp, self.timestamp_type, key, Sealed(value, told), []), end

    def _refused(self, first: int, last: int, reason: str, raw: bytes) -> Any:
        return DefaultRecord(0, last, self.max_timestamp, self.timestamp_type, None, Refused(first, reason, raw), [])


class _Records(MemoryRecords):  # type: ignore[misc]  # kafka-python has no types
    """The batches of one answer of a broker, up to what one poll may unpack."""

    __slots__ = ()

    def next_batch(self) -> Any:
        """The next one; None at the end."""
        return None if getattr(_poll, "unpacked_bytes", 0) >= _POLL_BYTES else super().next_batch()


def install() -> None:
    """Let kafka-python's consumers of this process read by these. Messages of the formats before Kafka 0.11 are read as ever."""
    import kafka.consumer.fetcher
    import kafka.record.memory_records

    kafka.record.memory_records.DefaultRecordBatch = _Batch
    kafka.consumer.fetcher.MemoryRecords = _Records
