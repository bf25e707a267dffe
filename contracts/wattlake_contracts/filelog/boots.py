"""Whose records a partition holds, told from their headers: payloads are passed over."""

from __future__ import annotations

import mmap
from pathlib import Path

import msgspec

from wattlake_contracts.filelog.format import HEADER_BYTES, MAGIC, decode_header, decode_meta
from wattlake_contracts.filelog.partition import read_mark, segments


def boots(root: Path, partition: str) -> set[str]:
    """The boots of all records of a partition that are durable and whose header is sound."""
    folder = root / partition
    mark = read_mark(folder)
    if mark is None:
        return set()
    metas: set[bytes] = set()
    for base, path in segments(folder):
        size = path.stat().st_size if base != mark[1] else min(mark[2], path.stat().st_size)
        if base > mark[1] or size == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            _collect(mapped, view, metas)
    found = set()
    for raw in metas:
        try:
            found.add(decode_meta(raw).boot)
        except msgspec.MsgspecError:
            continue  # a damaged one is told of when the log is landed
    return found


def _collect(raw: mmap.mmap, view: memoryview, metas: set[bytes]) -> None:
    position = 0
    while 0 <= position < len(view):
        header = decode_header(view, position)
        if header is None:
            position = raw.find(MAGIC, position + 1)
            continue
        body = position + HEADER_BYTES
        metas.add(bytes(view[body : body + header[0]]))
        position = body + header[0] + header[1]
