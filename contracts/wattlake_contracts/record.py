"""A record of the log: who wrote it, its number, when, and its payload."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wattlake_contracts.kind import VERSION

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Meta:
    """What all records of one writer and kind have in common.

    kind: a name in kinds.KINDS. node: the writer's node (a reference record: its id). boot: random
    per start of the writer; of an imported file, the hash of its content, kind, options and parser.
    """

    kind: str
    node: str
    boot: str
    version: str = VERSION
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Record:
    """One record. (node, boot, seq) is its identity, fixed when it is first written down.

    crc: as of Stored, where it goes on without its place.
    """

    meta: Meta
    seq: int
    appended_ms: int
    payload: bytes | memoryview
    crc: int = field(default=0, compare=False)

    @property
    def ce_id(self) -> str:
        """The CloudEvents id: node/boot/seq."""
        return f"{self.meta.node}/{self.meta.boot}/{self.seq}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A record together with its place: its offset, and where its bytes end in their segment. crc: CRC32C of its meta and payload."""

    offset: int
    record: Record
    end: int
    crc: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a partition that cannot be read: what was in it is lost.

    offset: the first one lost. records: how many, by the next good record's offset; 0 if no offset
    is missing (bytes that belong to no record). raw: the first bytes of it. lost: False where the bytes
    are all there, and make no record. end: the byte of the segment that follows it.
    """

    offset: int
    records: int
    segment: str
    position: int
    reason: str
    raw: bytes
    lost: bool = True
    end: int = 0


def control_character(text: str) -> int | None:
    """Where a name holds its first control character; None if it holds none. A NUL would end it in the lake's catalogue."""
    found = _CONTROL.search(text)
    return None if found is None else found.start()
