"""How much memory an Arrow IPC stream asks for, told from what its messages say of themselves before any is unpacked.

Arrow unpacks a whole batch before anybody sees how many rows it has, and pyarrow does not show what a
message says of its buffers. So the few fields that tell are read here, from the flatbuffer (Message.fbs
of the Arrow format) that Arrow itself has found well-formed by then.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa

#: MessageHeader of Message.fbs.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
#: How Arrow 0.17 told of packed bodies, in a place of its own.
_EXPERIMENTAL = b"ARROW:experimental_compression"


class TooMuchError(ValueError):
    """The stream asks for more than it may have; the message says of what."""


def refuse_swollen(stream: pa.Buffer, max_rows: int, max_bytes: int) -> None:
    """TooMuchError if a stream has more than max_rows rows, or its bodies would take more than max_bytes unpacked.

    A buffer counts as often as it is named, and a dictionary as often as it is added to. Arrow's own
    errors, struct.error and ValueError where the bytes are no stream.
    """
    rows = size = 0
    dictionaries: dict[int, int] = {}
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type not in ("record batch", "dictionary"):
            continue
        root = _Table.root(message.metadata)
        batch, header = root.table(2), root.number(1, "B")
        key, is_delta = -1, False
        if header == _DICTIONARY_BATCH and batch is not None:
            key, is_delta, batch = batch.number(0, "q"), bool(batch.number(2, "B")), batch.table(1)
        if batch is None:
            raise ValueError("a message without its batch")
        taken = _unpacked_bytes(batch, message.body, max_bytes)
        if header == _RECORD_BATCH:
            rows += batch.number(0, "q")
            if rows > max_rows:
                raise TooMuchError(f"more than {max_rows} rows in one record")
        else:
            # what is added to makes a new one of both, and the old one may still be in use
            dictionaries[key] = taken = taken + (dictionaries.get(key, 0) if is_delta else 0)
        size += taken
        if size > max_bytes:
            raise TooMuchError(f"its columns unpack to more than {max_bytes >> 20} MiB")


def _unpacked_bytes(batch: _Table, body: pa.Buffer, max_bytes: int) -> int:
    """Bytes of all buffers of a batch once they are unpacked; each at most one more than max_bytes, so that their sum is no wrong number."""
    places = batch.numbers(2, 2)
    offsets, lengths = places[0::2], places[1::2]
    if (lengths < 0).any():
        raise ValueError("a buffer of a negative length")
    if batch.table(3) is None:
        if _EXPERIMENTAL in batch.bytes:
            raise ValueError("its bodies are packed in the way of Arrow 0.17, which is no longer read")
        return int(np.minimum(lengths, max_bytes + 1).sum())
    # a buffer of a packed body begins with its length unpacked, or with -1 if it is not packed
    offsets, lengths = offsets[lengths >= 8], lengths[lengths >= 8]
    if ((offsets < 0) | (offsets > (body.size if body is not None else 0) - 8)).any():
        raise ValueError("a buffer that begins outside its body")
    given = np.frombuffer(body, np.uint8)[offsets[:, None] + np.arange(8)].reshape(-1).view("<i8") if len(offsets) else lengths
    return int(np.clip(np.where(given == -1, lengths, given), 0, max_bytes + 1).sum())


class _Table:
    """A table of a flatbuffer: its fields by their number in the schema. struct.error if it leads out of the bytes."""

    def __init__(self, whole: bytes, at: int) -> None:
        self.bytes, self._at = whole, at
        fields = at - _unpack("i", whole, at)
        self._fields = struct.unpack_from(f"<{max(0, _unpack('H', whole, fields) - 4) // 2}H", whole, fields + 4)

    @classmethod
    def root(cls, metadata: pa.Buffer) -> _Table:
        """The message itself."""
        whole = metadata.to_pybytes()
        return cls(whole, _unpack("I", whole, 0))

    def _place(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """A number of one of struct's forms; 0 where it is not given."""
        return 0 if (place := self._place(field)) is None else _unpack(form, self.bytes, place)

    def table(self, field: int) -> _Table | None:
        """A table within this one, if it is given."""
        return None if (place := self._place(field)) is None else _Table(self.bytes, place + _unpack("I", self.bytes, place))

    def numbers(self, field: int, each: int) -> np.ndarray:
        """The int64 of a vector of structs that hold `each` of them."""
        if (place := self._place(field)) is None:
            return np.empty(0, np.int64)
        at = place + _unpack("I", self.bytes, place)
        return np.frombuffer(self.bytes, "<i8", each * _unpack("I", self.bytes, at), at + 4)


def _unpack(form: str, whole: bytes, at: int) -> int:
    if at < 0:
        raise struct.error("a place before the first byte")
    (number,) = struct.unpack_from("<" + form, whole, at)
    return int(number)
