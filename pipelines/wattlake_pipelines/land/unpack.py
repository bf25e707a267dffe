"""A compressed batch of messages → its bytes, never more than so many: a few kilobytes can be made to unpack to gigabytes."""

from __future__ import annotations

import struct

import pyarrow as pa
import zstandard

#: The codecs of Kafka's record batches, by their number there, as pyarrow names them.
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_STEP = 1 << 20
_ZSTD = pa.Codec("zstd")
#: What snappy-java puts before its blocks: this, and two numbers of four bytes. Each block has its length before it.
_SNAPPY_JAVA, _SNAPPY_JAVA_HEADER_BYTES = b"\x82SNAPPY\x00", 16


class UnpackError(Exception):
    """The bytes cannot be unpacked, or are too many then."""


def unpack(codec: int, packed: memoryview, limit_bytes: int) -> bytearray | memoryview:
    """What was packed by a codec of CODECS. UnpackError, whatever the bytes are, before more than limit_bytes and a step are unpacked."""
    if codec not in CODECS:
        raise UnpackError(f"is packed in a way that is not known ({codec})")
    try:
        if CODECS[codec] == "snappy":
            return _snappy(packed, limit_bytes)
        return (_zstd_at_once(packed, limit_bytes) if CODECS[codec] == "zstd" else None) or _stream(CODECS[codec], packed, limit_bytes)
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise UnpackError(f"cannot be unpacked ({CODECS[codec]}): {str(error)[:200]}") from error


def _too_large(limit_bytes: int) -> UnpackError:
    return UnpackError(f"unpacks to more than {limit_bytes >> 20} MiB")


def _zstd_at_once(packed: memoryview, limit_bytes: int) -> memoryview | None:
    """What is packed in one frame that says how large it is: a third quicker than by steps. None if it is not one, or is empty."""
    try:
        size = zstandard.frame_content_size(packed)
        if 0 < size <= limit_bytes:
            found = memoryview(_ZSTD.decompress(packed, decompressed_size=size))
            return found if len(found) == size else None
    except (OSError, zstandard.ZstdError):
        return None  # several frames, or none: by steps it is told which
    return None


def _stream(name: str, packed: memoryview, limit_bytes: int) -> bytearray:
    found = bytearray()
    with pa.CompressedInputStream(pa.BufferReader(packed), name) as stream:
        while step := stream.read(_STEP):
            found += step
            if len(found) > limit_bytes:
                raise _too_large(limit_bytes)
    return found


def _snappy(packed: memoryview, limit_bytes: int) -> bytearray:
    """One block, or the blocks of snappy-java's stream, as Kafka's own clients write them."""
    if bytes(packed[: len(_SNAPPY_JAVA)]) != _SNAPPY_JAVA:
        return bytearray(_snappy_block(packed, limit_bytes))
    found, at = bytearray(), _SNAPPY_JAVA_HEADER_BYTES
    while at < len(packed):
        (length,) = struct.unpack_from(">I", packed, at)
        at += 4
        found += _snappy_block(packed[at : at + length], limit_bytes - len(found))
        at += length
    return found


def _snappy_block(block: memoryview, limit_bytes: int) -> bytes:
    """A block begins with how long it is unpacked, seven bits a byte, the lowest first."""
    size = shift = at = 0
    while True:
        byte = block[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 28:
            break
    if size > limit_bytes:
        raise _too_large(limit_bytes)
    return bytes(pa.Codec("snappy").decompress(block, decompressed_size=size, asbytes=True))
