"""What of a partition is still to be shipped elsewhere, kept beside its segments.

Losing a cursor, or an older one coming back, costs sending records again, and those count once all the
same: so it is replaced in one step and never fsynced.
"""

from __future__ import annotations

import os
from pathlib import Path

import crc32c
import msgspec

CURSOR = "shipped"
#: [start, end) of offsets to be shipped; an end of None is whatever will be written.
Span = tuple[int, int | None]

_decode = msgspec.json.Decoder(tuple[int, list[tuple[int, int | None]]]).decode


def load(folder: Path) -> list[Span]:
    """The spans that are to be shipped, in order; all of it if there is no cursor, or one that is damaged."""
    try:
        crc, spans = _decode((folder / CURSOR).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return [(0, None)]
    return spans if spans and crc == _crc(spans) else [(0, None)]


def given(folder: Path) -> list[int]:
    """The offsets that it names: no record comes after it that has a lower one."""
    return [offset for span in load(folder) for offset in span if offset is not None]


def store(folder: Path, spans: list[Span]) -> None:
    """Keep them. OSError is passed on: the cursor of before is then still there."""
    fresh = folder / f".{CURSOR}.{os.getpid()}"
    try:
        fresh.write_bytes(msgspec.json.encode((_crc(spans), spans)))
        fresh.replace(folder / CURSOR)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def within(spans: list[Span], start: int, end: int) -> int:
    """How many of the offsets [start, end) are still to be shipped."""
    return sum(max(0, (end if stop is None else min(stop, end)) - max(first, start)) for first, stop in spans)


def _crc(spans: list[Span]) -> int:
    return crc32c.crc32c(msgspec.json.encode(spans))
