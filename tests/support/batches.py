"""Batches of messages as any program may send them to Kafka, byte by byte: packed in every way, and good or not."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator

import crc32c
import pyarrow as pa

#: The number of each codec in a batch.
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "snappy-java": 2, "lz4": 3, "zstd": 4}
#: A topic that has just been made may not have a leader yet (protocol guide, "Error codes").
_NOT_YET, _PATIENCE_S = (3, 5, 6), 60
#: Kafka's "there is nothing here".
_NONE = -1
_LZ4_BLOCK_BYTES = 64 * 1024
_PRODUCE, _VERSION, _TIMEOUT_MS = 0, 7, 60_000


def varint(number: int) -> bytes:
    """As the messages of a batch hold numbers."""
    left = (number << 1) ^ (number >> 63)
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def message(delta: int, value: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """One message, without a key. delta: its offset from the batch's first."""
    named = list(headers)
    body = b"".join([b"\0", varint(0), varint(delta), varint(_NONE), varint(len(value)), value, varint(len(named)),
                     *(varint(len(part)) + part for header in named for part in header)])
    return varint(len(body)) + body


def zeros(delta: int, size: int) -> Iterator[bytes]:
    """One message of so many zeros, in pieces."""
    head = b"".join([b"\0", varint(0), varint(delta), varint(_NONE), varint(size)])
    yield varint(len(head) + size + 1) + head
    step = bytes(1 << 20)
    for at in range(0, size, len(step)):
        yield step[: size - at]
    yield varint(0)


def packed(codec: str, pieces: Iterable[bytes]) -> bytes:
    """The pieces after one another, packed."""
    if codec == "none":
        return b"".join(pieces)
    if codec in {"snappy", "snappy-java"}:
        block = bytes(pa.Codec("snappy").compress(b"".join(pieces), asbytes=True))
        return block if codec == "snappy" else struct.pack(">8sii", b"\x82SNAPPY\x00", 1, 1) + struct.pack(">i", len(block)) + block
    if codec == "lz4":
        return _lz4(b"".join(pieces))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        for piece in pieces:
            stream.write(piece)
    return bytes(sink.getvalue().to_pybytes())


def _lz4(body: bytes) -> bytes:
    """A frame as Kafka's clients write it, of blocks that stand for themselves: brokers take no others."""
    found = bytearray(b"\x04\x22\x4d\x18\x60\x40\x82")
    for at in range(0, len(body), _LZ4_BLOCK_BYTES):
        plain = body[at : at + _LZ4_BLOCK_BYTES]
        block = bytes(pa.Codec("lz4_raw").compress(plain, asbytes=True))
        found += struct.pack("<I", len(block)) + block if len(block) < len(plain) else struct.pack("<I", len(plain) | 1 << 31) + plain
    return bytes(found) + bytes(4)


def batch(codec: str, count: int, body: bytes) -> bytes:
    """A batch of so many messages. body: they, packed."""
    rest = struct.pack(">hiqqqhii", CODECS[codec], count - 1, 0, 0, _NONE, _NONE, _NONE, count) + body
    return struct.pack(">qiibI", 0, len(rest) + 9, _NONE, 2, crc32c.crc32c(rest)) + rest


def produce(server: str, topic: str, records: bytes) -> int:
    """Send a batch to partition 0 of a topic of one broker; give the offset of its first message. server: HOST:PORT."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _produce(server, topic, records))[0] in _NOT_YET and time.monotonic() < deadline:
        time.sleep(0.1)
    error, offset = found
    assert not error, f"the broker does not take it: {error}"
    return offset


def _produce(server: str, topic: str, records: bytes) -> tuple[int, int]:
    """(Kafka's code of an error, offset)."""
    host, port = server.rsplit(":", 1)
    name, client = topic.encode(), b"test"
    body = b"".join([struct.pack(">hhih", _PRODUCE, _VERSION, 1, len(client)), client, struct.pack(">hhii", _NONE, _NONE, _TIMEOUT_MS, 1),
                     struct.pack(">h", len(name)), name, struct.pack(">iii", 1, 0, len(records)), records])
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT_MS / 1000) as way, way.makefile("rb") as answers:
        way.sendall(struct.pack(">i", len(body)) + body)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    _, error, offset = struct.unpack_from(">ihq", answer, 4 + 4 + 2 + len(name) + 4)
    return error, offset
