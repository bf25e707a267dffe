"""Where a log's partitions and segments lie on disk."""

from __future__ import annotations

import re
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MARK_BYTES, decode_mark

SUFFIX = ".wlog"
MARK = "durable"
LOCK = "lock"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=-]{0,199}")


class LogError(WattlakeError):
    """The log cannot be used; the message says what failed, where, and what to do."""


def check_name(partition: str) -> str:
    """The name itself, if it can name a partition; LogError if not."""
    if not _NAME.fullmatch(partition):
        raise LogError(f"{partition!r} cannot name a partition: use letters, digits and . _ - @ =, at most 200")
    return partition


def partitions(root: Path) -> list[str]:
    """The names of all partitions of a log, sorted; empty if the folder is."""
    if not root.is_dir():
        raise LogError("there is no log: nothing has written there yet", subject=str(root),
                       next_step="write one, e.g. with `wattlake import`, or give another --log")
    return sorted(p.name for p in root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def segment_name(first_offset: int) -> str:
    """The file name of the segment that begins with this offset."""
    return f"{first_offset:020d}{SUFFIX}"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """(first offset, path) of each segment of a partition, in order."""
    found = [(int(p.name.removesuffix(SUFFIX)), p) for p in folder.glob(f"*{SUFFIX}") if p.name.removesuffix(SUFFIX).isdigit()]
    return sorted(found)


def written(folder: Path) -> list[tuple[int, Path, int]]:
    """(first offset, path, bytes of its records) of each segment of a partition, in order: without what a writer has written ahead."""
    mark = read_mark(folder)
    return [(base, path, mark[2] if mark is not None and mark[1] == base else _size(path)) for base, path in segments(folder)]


def _size(path: Path) -> int:
    """Its bytes; 0 if whoever ships the log has deleted it meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read_mark(folder: Path) -> tuple[int, int, int] | None:
    """(end offset, segment, position) that are fsynced, or None if the mark is missing or torn.

    The writer replaces the mark's few bytes in place, so a torn read is possible, and tried again.
    """
    for _ in range(5):
        try:
            raw = (folder / MARK).read_bytes()[:MARK_BYTES]
        except FileNotFoundError:
            return None
        mark = decode_mark(raw)
        if mark is not None:
            return mark
    return None
