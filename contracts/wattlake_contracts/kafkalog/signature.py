"""A node's signature of a record: what it is over, bytes that no two different records share, and how it travels (docs/adr/0016)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from wattlake_contracts.record import Record

#: Keeps a key's signatures of records apart from anything else that it signs; a new encoding takes a new label.
LABEL = b"wattlake record 1\0"
#: The header of a message that says who has signed it: the public key, then the signature.
HEADER = "wattlake_signature"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
_NUMBERS = struct.Struct(">Qq")
_LENGTH = struct.Struct(">Q")


def signed_bytes(record: Record) -> bytes:
    """The label, then seq and appended_ms in 8 bytes each, then each text in UTF-8 and the payload, with its length in bytes before it.

    record: as a reader of Kafka sees it (message.from_message), for ce_time tells no time that a date cannot.
    ValueError if it cannot be written so: a number beyond 8 bytes, or a text that is no UTF-8.
    """
    meta = record.meta
    try:
        parts = [LABEL, _NUMBERS.pack(record.seq, record.appended_ms)]
    except struct.error as error:
        raise ValueError(f"record {record.ce_id!r} of {record.appended_ms} ms cannot be signed: {error}") from error
    for text in (meta.node, meta.boot, meta.kind, meta.version, meta.content_type):
        raw = text.encode()
        parts += (_LENGTH.pack(len(raw)), raw)
    payload = bytes(record.payload)
    parts += (_LENGTH.pack(len(payload)), payload)
    return b"".join(parts)


def signature_of(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes, bytes] | None:
    """(public key, signature) that a message bears, neither of them checked; None if it bears none."""
    for name, raw in reversed(headers):
        if name == HEADER and raw is not None and len(raw) == KEY_BYTES + SIGNATURE_BYTES:
            return raw[:KEY_BYTES], raw[KEY_BYTES:]
    return None
