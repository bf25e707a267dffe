"""The bytes of a spool that make no record: kept for whoever wants to look at them, since their segment is deleted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from wattlake_contracts.record import Damage

#: Where they are, a file for each stretch; not a partition, by its name.
DAMAGED = ".damaged"
#: What is kept of them in all: the first. Whoever has looked at a file deletes it, and there is room again.
MOST_BYTES = 16 * 2**20


class Wreck(NamedTuple):
    """A stretch that could not be read. place: partition, segment and first byte. records: how many it had. kept: where its bytes are, or why nowhere."""

    place: str
    records: int
    kept: str


def keep(spool: Path, segment: Path, damage: Damage, most_bytes: int = MOST_BYTES) -> str:
    """Copy a stretch of a segment of a spool to a file of its own; where it is kept, or why it is not. Never raises: nothing may wait for it."""
    folder = spool / DAMAGED
    path = folder / f"{str(segment.relative_to(spool)).replace('/', '~')}~{damage.position}"
    try:
        raw = _read(segment, damage)
        folder.mkdir(exist_ok=True)
        room = most_bytes - sum(other.stat().st_size for other in folder.iterdir() if other != path)
        part = raw[: max(0, room)]
        if not part:
            return f"not kept: {DAMAGED} holds as much as it may" if raw else "it has no bytes"
        _write(path, part)
    except OSError as error:
        return f"not kept: {error.strerror or error}"
    return f"kept as {DAMAGED}/{path.name}" + (f", the first {len(part)} of {len(raw)} bytes" if len(part) < len(raw) else "")


def _read(segment: Path, damage: Damage) -> bytes:
    with segment.open("rb") as file:
        file.seek(damage.position)
        return file.read(max(0, min(damage.end - damage.position, MOST_BYTES)))


def _write(path: Path, part: bytes) -> None:
    if path.exists() and path.stat().st_size == len(part):
        return  # by a shipper that died before its cursor was written
    try:
        with path.open("wb") as file:
            file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
