"""Reading a partition of the file log: good records, and the damage between them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import crc32c
import msgspec

from wattlake_contracts.filelog.format import HEADER_BYTES, MAGIC, decode_header, decode_meta
from wattlake_contracts.filelog.partition import read_mark, segments
from wattlake_contracts.record import Damage, Meta, Record, Stored

_RAW_KEPT = 4096
_GIVE_BACK_BYTES = 1 << 20


def bounds(root: Path, partition: str) -> tuple[int, int]:
    """(first offset kept, end offset): what a reader may ask for. Both 0 for an empty partition."""
    folder = root / partition
    first = next((offset for offset, _ in segments(folder)), 0)
    mark = read_mark(folder)
    return (first, max(first, mark[0])) if mark else (first, first)


def read(root: Path, partition: str, start: int, end: int) -> Iterator[Stored | Damage]:
    """The records with start <= offset < end, in order, and what is damaged between them.

    Reads nothing beyond the durable mark. Payloads are copies of the file's bytes, so they outlive it.
    """
    folder = root / partition
    mark = read_mark(folder)
    if mark is None:
        return
    end = min(end, mark[0])
    found = segments(folder)
    last = {base: found[i + 1][0] if i + 1 < len(found) else mark[0] for i, (base, _) in enumerate(found)}
    metas: dict[bytes, Meta] = {}
    for base, path in found:
        if base >= end or last[base] <= start:
            continue
        limit = mark[2] if base == mark[1] else None
        yield from _read_segment(path, base, last[base], limit, start, end, metas)


def _read_segment(path: Path, base: int, next_base: int, limit: int | None, start: int, end: int,
                  metas: dict[bytes, Meta]) -> Iterator[Stored | Damage]:
    size = path.stat().st_size if limit is None else min(limit, path.stat().st_size)
    if size == 0:
        if min(next_base, end) > max(base, start):
            yield Damage(max(base, start), min(next_base, end) - max(base, start), path.name, 0, "empty segment", b"")
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
        given_back = 0
        for item in scan(mapped, view, path.name, base, next_base, start, end, metas):
            yield item
            # what is read of a mapped file counts as memory of who reads, as long as it is mapped: for a spool of many partitions that would be all of it
            if isinstance(item, Stored) and item.end - given_back >= _GIVE_BACK_BYTES:
                size = (item.end - given_back) // mmap.PAGESIZE * mmap.PAGESIZE
                mapped.madvise(mmap.MADV_DONTNEED, given_back, size)
                given_back += size


def scan(raw: mmap.mmap | bytes, view: memoryview, name: str, base: int, next_base: int, start: int, end: int,
         metas: dict[bytes, Meta]) -> Iterator[Stored | Damage]:
    """The records of one segment's bytes; next_base is the offset that follows its last record."""
    position, expected = 0, base
    bad_from = -1
    size = len(view)
    while position < size and expected < end:
        header = decode_header(view, position)
        fits = header is not None and position + HEADER_BYTES + header[0] + header[1] <= size
        if header is None or not fits or header[2] < expected:
            if bad_from < 0:
                bad_from = position
            found = raw.find(MAGIC, position + 1)
            position = found if found >= 0 else size
            continue
        meta_len, payload_len, offset, seq, appended_ms, body_crc = header
        body = position + HEADER_BYTES
        stop = body + meta_len + payload_len
        if offset >= start and crc32c.crc32c(view[body:stop]) != body_crc:
            if bad_from < 0:
                bad_from = position
            # the header is sound, so its lengths lead to the next record, unless bytes of the body are missing
            if stop < size and decode_header(view, stop) is None:
                found = raw.find(MAGIC, position + 1)
                position = found if found >= 0 else size
            else:
                position = stop
            continue
        if bad_from >= 0 or offset > expected:
            at = bad_from if bad_from >= 0 else position
            if offset > start:
                lost_from = max(expected, start)
                raw_kept = bytes(view[at : min(position, at + _RAW_KEPT)])
                yield Damage(lost_from, min(offset, end) - lost_from, name, at, "damaged or missing bytes", raw_kept, end=position)
            bad_from = -1
            if offset >= end:
                return
        if offset >= start:
            meta_raw = bytes(view[body : body + meta_len])
            meta = metas.get(meta_raw)
            if meta is None:
                try:
                    meta = metas[meta_raw] = decode_meta(meta_raw)
                except msgspec.MsgspecError as error:
                    yield Damage(offset, 1, name, position, f"unreadable meta: {error}", bytes(view[position : position + _RAW_KEPT]), end=stop)
                    position, expected = stop, offset + 1
                    continue
            yield Stored(offset, Record(meta, seq, appended_ms, bytes(view[body + meta_len : stop])), stop, body_crc)
        position, expected = stop, offset + 1
    tail_from, tail_to = max(expected, start), min(next_base, end)
    if tail_to > tail_from or (bad_from >= 0 and not _blank(view[bad_from:])):
        at = bad_from if bad_from >= 0 else size
        yield Damage(tail_from, max(0, tail_to - tail_from), name, at, "damaged or missing bytes", bytes(view[at : at + _RAW_KEPT]), end=size)


def _blank(view: memoryview) -> bool:
    """Whether these are the zeros that a writer had written ahead and did not come to fill: nothing is missing there."""
    return not bytes(view).strip(b"\0")
