"""What was in force: versions that overlap in time become disjoint segments (docs/accounting.md, section 6)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from wattlake_pipelines.account.kernels.ordering import EVER_MS, NEVER_MS, integers, ranks, tuple_ranks
from wattlake_pipelines.account.kernels.ranges import Ints


def in_force(rows: pa.Table, key: list[str], start: str, end: str) -> pa.Table:
    """The version that holds at each instant, as disjoint segments per key.

    rows: the columns of `key` (NULL is a value of its own), start and end in ms (NULL: since ever,
    for ever), known_from_ms, version (content hash), shipped (bool), and any payload. Of the rows of
    a key that cover an instant the one holds that is not shipped, then the one with the latest
    known_from, then the later start, then the earlier end, then the greater version. So what is
    told once more after something else was told holds again.

    Returns key…, start_ms, end_ms (int64, -2^62 and 2^62 for no bound), payload…, version; sorted by
    key and start; neighbouring segments of the same version are one.
    """
    payload = [n for n in rows.column_names if n not in {*key, start, end, "known_from_ms", "version", "shipped"}]
    first, last = integers(rows[start], EVER_MS), integers(rows[end], NEVER_MS)
    some = first < last
    if not some.all():
        rows, first, last = rows.filter(pa.array(some)), first[some], last[some]
    owner = tuple_ranks(rows[name] for name in key)
    version, known = ranks(rows["version"]), integers(rows["known_from_ms"])
    shipped = rows["shipped"].fill_null(False).to_numpy().astype(bool)

    precedence = np.empty(len(owner), np.int64)
    precedence[np.lexsort((version, -last, first, known, ~shipped))] = np.arange(len(owner))
    begins, ends, keys, winner = _cover(owner, first, last, precedence)
    same = np.zeros(len(winner), bool)
    same[1:] = (keys[1:] == keys[:-1]) & (begins[1:] == ends[:-1]) & (version[winner[1:]] == version[winner[:-1]])
    heads = np.flatnonzero(~same)
    tails = np.append(heads[1:], len(winner)) - 1 if len(heads) else heads
    held = rows.take(pa.array(winner[heads]))
    times = {"start_ms": pa.array(begins[heads]), "end_ms": pa.array(ends[tails])}
    columns = {**{n: held[n] for n in key}, **times, **{n: held[n] for n in (*payload, "version")}}
    return pa.table(columns)


def _cover(owner: Ints, first: Ints, last: Ints, precedence: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """The stretches between neighbouring edges of an owner that some row covers: start, end, owner and
    the covering row of greatest precedence, in order of owner and start.

    Each row covers a range of stretches, and a range is the union of two of the power of two below
    its length. So each row is noted twice, and the notes are handed down from length to length:
    n log n, however the rows overlap.
    """
    order = np.lexsort((np.concatenate([first, last]), np.concatenate([owner, owner])))
    edge_owner, edge = np.concatenate([owner, owner])[order], np.concatenate([first, last])[order]
    new = np.ones(len(order), bool)
    new[1:] = (edge_owner[1:] != edge_owner[:-1]) | (edge[1:] != edge[:-1])
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(new) - 1
    edge_owner, edge = edge_owner[new], edge[new]
    low, high = place[:len(first)], place[len(first):]
    level = np.frexp((high - low).astype(np.float64))[1] - 1
    best = np.full(len(edge), -1, np.int64)
    for step in range(int(level.max(initial=0)), -1, -1):
        half = 1 << step
        handed = best
        if step < int(level.max(initial=0)):  # what covers 2 half from i covers half from i and from i + half
            handed = best.copy()
            np.maximum(handed[half:], best[:-half], out=handed[half:])
        here = np.flatnonzero(level == step)
        np.maximum.at(handed, low[here], precedence[here])
        np.maximum.at(handed, high[here] - half, precedence[here])
        best = handed
    covered = np.flatnonzero(best >= 0)
    row = np.empty(len(first), np.int64)
    row[precedence] = np.arange(len(first))
    return edge[covered], edge[covered + 1], edge_owner[covered], row[best[covered]]
