"""The bytes of a record in a segment, and of the durable mark.

Record: header (44 bytes) | meta (JSON array) | payload.
Header: magic `WLR1`, flags, meta length, payload length, offset, seq, append time in ms,
CRC32C of meta and payload, CRC32C of the header up to there. The header's own CRC makes its
lengths trustworthy; where it fails a reader looks for the next magic.
"""

from __future__ import annotations

import struct

import crc32c
import msgspec

from wattlake_contracts.record import Meta

MAGIC = b"WLR1"
_HEADER = struct.Struct("<4sHHIQQqII")
_HEADER_BODY = struct.Struct("<4sHHIQQqI")
HEADER_BYTES = _HEADER.size
#: Kafka's default limit on a message, less room for its headers: a spooled record must fit there.
MAX_RECORD_BYTES = 1_000_000

_MARK = struct.Struct("<4sQQQI")
MARK_MAGIC = b"WLM1"
MARK_BYTES = _MARK.size

_encode_json = msgspec.json.Encoder().encode


class _Meta(msgspec.Struct, array_like=True):
    # what a later version puts after these is passed over
    kind: str
    node: str
    boot: str
    version: str
    content_type: str


_decode_meta = msgspec.json.Decoder(_Meta).decode


def encode_meta(meta: Meta) -> bytes:
    """The meta part of a record."""
    return _encode_json((meta.kind, meta.node, meta.boot, meta.version, meta.content_type))


def decode_meta(raw: bytes) -> Meta:
    """The inverse of encode_meta; msgspec.DecodeError or ValidationError if it is not one."""
    found = _decode_meta(raw)
    return Meta(found.kind, found.node, found.boot, found.version, found.content_type)


def record_bytes(meta: Meta, payload: bytes | memoryview) -> int:
    """What a record takes in a segment, in bytes: what limits are of."""
    return HEADER_BYTES + len(encode_meta(meta)) + len(payload)


def encode_record(meta: bytes, payload: bytes | memoryview, offset: int, seq: int, appended_ms: int) -> bytes:
    """Header, meta and payload as they stand in a segment."""
    body_crc = crc32c.crc32c(payload, crc32c.crc32c(meta))
    head = _HEADER_BODY.pack(MAGIC, 0, len(meta), len(payload), offset, seq, appended_ms, body_crc)
    return b"".join((head, struct.pack("<I", crc32c.crc32c(head)), meta, payload))


def decode_header(view: memoryview, position: int) -> tuple[int, int, int, int, int, int] | None:
    """(meta length, payload length, offset, seq, append time, body CRC) at a position, or None if no header stands there."""
    if position + HEADER_BYTES > len(view):
        return None
    magic, _, meta_len, payload_len, offset, seq, appended_ms, body_crc, head_crc = _HEADER.unpack_from(view, position)
    if magic != MAGIC or crc32c.crc32c(view[position : position + HEADER_BYTES - 4]) != head_crc:
        return None
    return meta_len, payload_len, offset, seq, appended_ms, body_crc


def encode_mark(end_offset: int, segment: int, position: int) -> bytes:
    """The durable mark: everything before end_offset, which ends at `position` of `segment`, is fsynced."""
    head = struct.pack("<4sQQQ", MARK_MAGIC, end_offset, segment, position)
    return head + struct.pack("<I", crc32c.crc32c(head))


def decode_mark(raw: bytes) -> tuple[int, int, int] | None:
    """(end offset, segment, position), or None if the bytes are no mark."""
    if len(raw) != MARK_BYTES:
        return None
    magic, end_offset, segment, position, crc = _MARK.unpack(raw)
    if magic != MARK_MAGIC or crc32c.crc32c(raw[:-4]) != crc:
        return None
    return end_offset, segment, position
