"""Ranges of indices handled as arrays: expansion, bounded search, grouping."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def expand(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """The ranges [first, first + count) written out: (which range, the index), range by range.

    Both inputs int64 of one length; a count below 1 gives nothing.
    """
    count = np.maximum(count, 0)
    owner = np.repeat(np.arange(len(count)), count)
    index = np.arange(len(owner)) + np.repeat(first - (np.cumsum(count) - count), count)
    return owner, index


def last_at_or_before(values: Ints, at: Ints, low: Ints, high: Ints) -> Ints:
    """For each query the greatest i in [low, high] with values[i] <= at; low where there is none.

    values ascend within [low, high]. One binary search for all queries side by side, so that no key
    that ties values to their owner has to be built over millions of readings.
    """
    low, high = low.copy(), high.copy()
    steps = int((high - low).max(initial=0)).bit_length()
    for _ in range(steps):
        middle = (low + high + 1) >> 1
        below = values[middle] <= at
        low = np.where(below, middle, low)
        high = np.where(below, high, np.maximum(middle - 1, low))
    return low


def group_starts(*keys: npt.NDArray[np.generic]) -> Ints:
    """Where a row differs from the one before in any key; the first row is a start. Empty for no rows."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    new = np.ones(len(keys[0]), bool)
    new[1:] = False
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(new)


def distinct(*parts: Ints) -> Ints:
    """The distinct values of all the parts in order. (numpy's own hashes, at a hundred times the cost for millions.)"""
    values = np.sort(np.concatenate(parts))
    return values[group_starts(values)]


def sort_order(key: Ints, size: int) -> Ints:
    """The order that sorts keys in [0, size); equal ones stay in order.

    A key and its row are sorted as one number where they fit in one, which is ten times as fast.
    """
    bits = len(key).bit_length()
    if size >= 1 << (62 - bits):
        return np.argsort(key, kind="stable")
    return np.sort((key << bits) | np.arange(len(key))) & ((1 << bits) - 1)


def dense(key: Ints, size: int) -> tuple[Ints, Ints]:
    """(the distinct keys in order, the place of each key among them). Keys are in [0, size)."""
    if size > 4 * len(key) + 65_536:
        order = sort_order(key, size)
        ordered = key[order]
        starts = group_starts(ordered)
        places = np.empty(len(key), np.int64)
        places[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(key))))
        return ordered[starts], places
    seen = np.zeros(size, bool)
    seen[key] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[key]


def find(ordered: Ints, wanted: Ints) -> Ints:
    """The place of each wanted key in distinct ascending keys, -1 where it is not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[place] == wanted, place, -1)


def among(ordered: Ints, wanted: Ints) -> Bools:
    """Which of the wanted keys are among distinct ascending keys."""
    return find(ordered, wanted) >= 0
