"""Where two sets of spans differ: what a changed job, place or device touches, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa


def changed_spans(old: pa.Table, new: pa.Table, key: str, payload: Sequence[str]) -> list[tuple[str, int, int]]:
    """(key, start, end) of every stretch of time in which the payloads that hold for a key differ.

    old, new: columns key, start_ms, end_ms and the payload; several rows of a key may hold at once.
    """
    names = [key, "start_ms", "end_ms", *payload]
    before, after = (set(zip(*(t[n].to_pylist() for n in names), strict=True)) for t in (old, new))
    by_key: dict[str, tuple[list[tuple[object, ...]], list[tuple[object, ...]]]] = {}
    for side, rows in enumerate((before - after, after - before)):
        for row in rows:
            by_key.setdefault(row[0], ([], []))[side].append(row)
    found = []
    for name, (gone, come) in sorted(by_key.items()):
        edges = sorted({int(str(e)) for row in (*gone, *come) for e in row[1:3]})
        for start, end in pairwise(edges):
            holds = [sorted(repr(r[3:]) for r in rows if r[1] <= start and r[2] >= end) for rows in (gone, come)]  # type: ignore[operator]  # both are integers
            if holds[0] != holds[1]:
                found.append((name, start, end))
    return found
