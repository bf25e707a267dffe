"""kafka-python's batches of messages, read within bounds: whoever may write must not be able to end or to fill the one who lands.

`install` puts these classes where kafka-python's own are, which unpack whatever comes as a whole. What is over a bound, or
is no batch or message at all, comes as a message whose value is `Refused`; those around it come as they are.
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

from wattlake_pipelines.decode import MAX_PAYLOAD_BYTES
from wattlake_pipelines.land.unpack import UnpackError, unpack

#: A writer's batch is some 100 KB before it is packed, and 1 MB where it is set to be large.
BATCH_BYTES = 64 * 2**20
#: When so much has been unpacked, a poll comes back with what it has; what was fetched beyond is fetched again.
_POLL_BYTES = 64 * 2**20
#: Each header costs Python a hundred bytes, and a writer two.
_MAX_HEADERS = 1000
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


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A batch, unpacked when its first message is asked for."""

    _buffer: bytearray
    _pos: int
    _num_records: int
    _next_record_index: int
    _decompressed: bool

    def __iter__(self) -> Iterator[Any]:
        packed = self._raw(self._pos)
        try:
            self._maybe_uncompress()
        except UnpackError as error:
            yield self._refused(self.base_offset, self.last_offset, f"a batch of messages {error}", packed)
            return
        least = self.base_offset
        while self._next_record_index < self._num_records:
            begin, offset = self._pos, least
            try:
                length, start = decode_varint(self._buffer, begin)
                end = start + length
                if not start < end <= len(self._buffer):
                    raise CorruptRecordError("its length is not that of a message")
                stated, problem = self._glance(start)
                if not least <= stated <= self.last_offset:
                    raise CorruptRecordError(f"its offset is not one of those from {least} to {self.last_offset}")
                offset, least = stated, stated + 1
                message = None if problem else self._whole()
            except (CorruptRecordError, ValueError, IndexError) as error:
                # where the next one begins is not known
                yield self._refused(offset, self.last_offset, f"the rest of a batch of messages cannot be read: {error}", self._raw(begin))
                return
            if message is None:
                message = self._refused(offset, offset, problem or "the name of a header is not UTF-8", self._raw(begin, end))
                self._pos = end
            self._next_record_index += 1
            yield message

    def _whole(self) -> Any:
        """The next message; None if only the name of a header is none."""
        try:
            return self._read_msg()
        except UnicodeDecodeError:
            return None

    def _raw(self, begin: int, end: int | None = None) -> bytes:
        return bytes(self._buffer[begin : begin + _RAW_KEPT][: None if end is None else end - begin])

    def _maybe_uncompress(self) -> None:
        """As kafka-python's, within bounds."""
        if not self._decompressed:
            if self.compression_type != self.CODEC_NONE:
                self._buffer, self._pos = unpack(self.compression_type, memoryview(self._buffer)[self._pos :], BATCH_BYTES), 0
            if hasattr(_poll, "unpacked_bytes"):
                _poll.unpacked_bytes += len(self._buffer)
        self._decompressed = True

    def _glance(self, pos: int) -> tuple[int, str | None]:
        """(the offset of the message that begins here, after its length; why it is refused), before anything of it is copied."""
        buffer = self._buffer
        for _ in ("attributes", "timestamp"):
            _, pos = decode_varint(buffer, pos)
        delta, pos = decode_varint(buffer, pos)
        offset = self.base_offset + delta
        for what in ("key", "value"):
            size, pos = decode_varint(buffer, pos)
            if size > MAX_PAYLOAD_BYTES:
                return offset, f"a message with a {what} of {size} bytes is over the limit of {MAX_PAYLOAD_BYTES}"
            pos += max(size, 0)
        headers, pos = decode_varint(buffer, pos)
        if headers > _MAX_HEADERS:
            return offset, f"a message with {headers} headers is over the limit of {_MAX_HEADERS}"
        return offset, None

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
