"""Where several series of a device overlap, each instant belongs to one of them (rule 1.6)."""

from __future__ import annotations

import numpy as np

from wattlake_pipelines.account.kernels.intervals import CLASSES, OVERLAP, Stretches
from wattlake_pipelines.account.kernels.ranges import Bools, Ints, expand, group_starts


def without_overlap(stretches: Stretches, series_power: Ints, ts_ms: Ints) -> Stretches:
    """Stretches that are disjoint per device, by (device, start).

    Only stretches that meet another one of their device are taken apart into intervals.
    series_power: 1 for powers, per series; series numbers are in order of epoch.
    """
    ordered = stretches.take(np.lexsort((stretches.end_ms, stretches.start_ms, stretches.device)))
    cluster = _clusters(ordered)
    size = np.bincount(cluster)[cluster] if len(cluster) else cluster
    if not len(ordered) or size.max() == 1:
        return ordered
    mixed = size > 1
    pieces = _pieces(_intervals(ordered.take(mixed), ts_ms), series_power)
    together = _joined(ordered.take(~mixed), pieces)
    return together.take(np.lexsort((together.start_ms, together.device)))


def _clusters(ordered: Stretches) -> Ints:
    """A number per stretch: the same for those of a device that are chained by overlaps. Input by (device, start)."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    low = int(ordered.start_ms.min())
    span = int(ordered.end_ms.max()) - low + 1
    _, device = np.unique(ordered.device, return_inverse=True)
    # the device in the high bits keeps the running maximum of the ends from one device out of the next
    reach = np.maximum.accumulate(device * span + (ordered.end_ms - low))
    new = np.ones(len(device), bool)
    new[1:] = reach[:-1] <= (device * span + (ordered.start_ms - low))[1:]
    return np.cumsum(new) - 1


def _intervals(stretches: Stretches, ts_ms: Ints) -> Stretches:
    """The single intervals of stretches."""
    owner, low = expand(stretches.low, stretches.high - stretches.low)
    held = stretches.take(owner)
    return Stretches(held.device, held.series, ts_ms[low], ts_ms[low + 1], low, low + 1, held.grade, held.attribute, held.flags)


def _pieces(intervals: Stretches, series_power: Ints) -> Stretches:
    """What is left to each interval: time is cut at all their edges, and each slot goes to the first by rank."""
    edge_ms, begin, end = _slots(intervals)
    rank = (series_power[intervals.series] * CLASSES + intervals.grade) * (int(intervals.series.max()) + 1) + intervals.series
    owner, slot = expand(begin, end - begin)
    best = np.full(len(edge_ms), np.iinfo(np.int64).max)
    np.minimum.at(best, slot, rank[owner])
    shared = np.concatenate([[0], np.cumsum(np.bincount(slot, minlength=len(edge_ms)) > 1)])
    meets = shared[end] > shared[begin]
    won = best[slot] == rank[owner]
    owner, slot = owner[won], slot[won]
    after = np.ones(len(owner), bool)
    after[1:] = (owner[1:] != owner[:-1]) | (slot[1:] != slot[:-1] + 1)
    starts = np.flatnonzero(after)
    last = np.append(starts[1:], len(owner)) - 1
    of = owner[starts]
    left = intervals.take(of)
    flags = left.flags | np.where(meets[of], OVERLAP, 0)
    cut = Stretches(left.device, left.series, edge_ms[slot[starts]], edge_ms[slot[last] + 1], left.low, left.high, left.grade,
                    left.attribute, flags)
    return _merged(cut.take(np.lexsort((cut.start_ms, cut.device))))


def _slots(intervals: Stretches) -> tuple[Ints, Ints, Ints]:
    """The instants of all edges in order of (device, ms), and the edges at which each interval begins and ends."""
    device = np.concatenate([intervals.device, intervals.device])
    ms = np.concatenate([intervals.start_ms, intervals.end_ms])
    order = np.lexsort((ms, device))
    starts = np.zeros(len(order), bool)
    starts[group_starts(device[order], ms[order])] = True
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(starts) - 1
    return ms[order][starts], place[:len(intervals)], place[len(intervals):]


def _merged(pieces: Stretches) -> Stretches:
    """Neighbouring pieces of one series that are alike and follow on each other, as stretches again."""
    follows = np.zeros(len(pieces), bool)
    follows[1:] = _alike(pieces) & (pieces.end_ms[:-1] == pieces.start_ms[1:]) & (pieces.low[1:] == pieces.high[:-1])
    starts = np.flatnonzero(~follows)
    last = np.append(starts[1:], len(pieces)) - 1
    begun, ended = pieces.take(starts), pieces.take(last)
    return Stretches(begun.device, begun.series, begun.start_ms, ended.end_ms, begun.low, ended.high, begun.grade,
                     begun.attribute, begun.flags)


def _alike(pieces: Stretches) -> Bools:
    same = np.ones(max(len(pieces) - 1, 0), bool)
    for values in (pieces.series, pieces.grade, pieces.attribute, pieces.flags):
        same &= values[1:] == values[:-1]
    return same


def _joined(one: Stretches, other: Stretches) -> Stretches:
    return Stretches(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in one.__dataclass_fields__))
