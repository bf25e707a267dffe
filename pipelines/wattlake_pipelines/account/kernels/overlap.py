"""Where several series of a device overlap, each instant belongs to one of them (rule 1.6)."""

from __future__ import annotations

import numpy as np

from wattlake_contracts.layout import HOUR_MS
from wattlake_pipelines.account.kernels.intervals import CLASSES, OVERLAP, Stretches
from wattlake_pipelines.account.kernels.ranges import Ints, dense, expand, group_starts, last_at_or_before


def without_overlap(stretches: Stretches, series_power: Ints, ts_ms: Ints) -> Stretches:
    """Stretches that are disjoint per device, by (device, start).

    series_power: 1 for powers, per series; series numbers are in order of epoch.
    """
    ordered = stretches.take(np.lexsort((stretches.end_ms, stretches.start_ms, stretches.device)))
    cluster = _clusters(ordered)
    size = np.bincount(cluster)[cluster] if len(cluster) else cluster
    if not len(ordered) or size.max() == 1:
        return ordered
    mixed = size > 1
    pieces = _pieces(ordered.take(mixed), series_power, ts_ms)
    together = _joined(ordered.take(~mixed), pieces)
    return together.take(np.lexsort((together.start_ms, together.device)))


def _clusters(ordered: Stretches) -> Ints:
    """A number per stretch: the same for those of a device that are chained by overlaps. Input by (device, start)."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    low = int(ordered.start_ms.min())
    span = int(ordered.end_ms.max()) - low + 1
    _, device = dense(ordered.device, int(ordered.device.max()) + 1)
    # the device in the high bits keeps the running maximum of the ends from one device out of the next
    reach = np.maximum.accumulate(device * span + (ordered.end_ms - low))
    new = np.ones(len(device), bool)
    new[1:] = reach[:-1] <= (device * span + (ordered.start_ms - low))[1:]
    return np.cumsum(new) - 1


def _pieces(held: Stretches, series_power: Ints, ts_ms: Ints) -> Stretches:
    """What is left to each stretch: time is cut at all their edges, and each slot goes to the first by rank.

    All intervals of a stretch rank alike, so that they need not be taken apart; only where a shared
    time ends within an interval, the flag goes on to that interval's end or the hour's.
    """
    zone, zone_start, zone_end = _flagged(held, ts_ms)
    edge_ms, begin, end = _slots(held, (held.device[zone], zone_start), (held.device[zone], zone_end))
    zone_begin, zone_stop, begin, end = begin[:len(zone)], end[:len(zone)], begin[len(zone):], end[len(zone):]
    owner, slot = expand(begin, end - begin)
    rank = (series_power[held.series] * CLASSES + held.grade) * (int(held.series.max()) + 1) + held.series
    best = np.full(len(edge_ms), np.iinfo(np.int64).max)
    np.minimum.at(best, slot, rank[owner])
    first = np.cumsum(end - begin) - (end - begin)
    step = np.zeros(len(slot) + 1, np.int64)
    np.add.at(step, first[zone] + zone_begin - begin[zone], 1)
    np.add.at(step, first[zone] + zone_stop - begin[zone], -1)
    flagged = np.cumsum(step)[:-1] > 0
    won = best[slot] == rank[owner]
    owner, slot, flagged = owner[won], slot[won], flagged[won]
    # a stretch keeps runs of slots that follow on each other
    starts = group_starts(owner, slot - np.arange(len(slot)), flagged)
    last = np.append(starts[1:], len(owner)) - 1
    left = held.take(owner[starts])
    return Stretches(left.device, left.series, edge_ms[slot[starts]], edge_ms[slot[last] + 1], left.low, left.high, left.grade,
                     left.attribute, left.flags | np.where(flagged[starts], OVERLAP, 0))


def _flagged(held: Stretches, ts_ms: Ints) -> tuple[Ints, Ints, Ints]:
    """(stretch, start, end) of its runs of intervals that meet another stretch, within the hours in which they do; runs of one stretch may meet."""
    none = np.zeros(0, np.int64)
    edge_ms, begin, end = _slots(held, (none, none), (none, none))
    owner, slot = expand(begin, end - begin)
    shared = np.bincount(slot, minlength=len(edge_ms))[slot] > 1
    owner, slot = owner[shared], slot[shared]
    starts = group_starts(owner, slot - np.arange(len(slot)))
    last = np.append(starts[1:], len(owner)) - 1
    owner = owner[starts]
    low, high = held.low[owner], held.high[owner] - 1
    shared_start, shared_end = edge_ms[slot[starts]], edge_ms[slot[last] + 1]
    before = last_at_or_before(ts_ms, shared_start, low, high)
    after = last_at_or_before(ts_ms, shared_end - 1, low, high) + 1
    # what other readings lie in other hours changes no hour's rows
    return (owner, np.maximum(ts_ms[before], shared_start // HOUR_MS * HOUR_MS),
            np.minimum(ts_ms[after], -(-shared_end // HOUR_MS) * HOUR_MS))


def _slots(held: Stretches, starts: tuple[Ints, Ints], ends: tuple[Ints, Ints]) -> tuple[Ints, Ints, Ints]:
    """The instants of all edges by (device, ms), and those at which each given span and then each stretch begins and ends."""
    device = np.concatenate([starts[0], held.device, ends[0], held.device])
    ms = np.concatenate([starts[1], held.start_ms, ends[1], held.end_ms])
    order = np.lexsort((ms, device))
    at = group_starts(device[order], ms[order])
    place = np.empty(len(order), np.int64)
    place[order] = np.repeat(np.arange(len(at)), np.diff(np.append(at, len(order))))
    half = len(order) // 2
    return ms[order][at], place[:half], place[half:]


def _joined(one: Stretches, other: Stretches) -> Stretches:
    return Stretches(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in one.__dataclass_fields__))
