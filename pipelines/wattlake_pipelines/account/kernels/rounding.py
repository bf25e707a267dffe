"""Exact integer arithmetic for shares: the places where an amount of energy or mass is cut or split.

Everything here is on int64 arrays and exact: no result depends on the size of an amount, on float
precision or on the order of rows (docs/accounting.md, sections 1, 4 and 8).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Below this a float64 quotient is off by less than one: three operands, a product and a quotient
# rounded to 53 bits each make a relative error under 2^-50.
_FLOAT_SAFE = 1 << 49


def product_divmod(factor: Ints, part: Ints, whole: Ints) -> tuple[Ints, Ints]:
    """floor(factor x part / whole) and its remainder, exact though the product may exceed 2^63.

    All int64, of shapes that broadcast; factor >= 0, 0 <= part <= whole, 0 < whole < 2^61.
    """
    factor, part, whole = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, np.int64)) for a in (factor, part, whole)))
    turns, rest = np.divmod(factor, whole)
    base = turns * part  # <= factor, for part <= whole
    if not whole.size or int(whole.max()) < 1 << 31:  # rest x part < whole^2 fits
        quotient, remainder = np.divmod(rest * part, whole)
        return base + quotient, remainder
    if int(whole.max()) >= _FLOAT_SAFE:
        product = rest.astype(object) * part.astype(object)
        wide = whole.astype(object)
        return base + (product // wide).astype(np.int64), (product % wide).astype(np.int64)
    # The quotient in floats is right to within one; the remainder, taken modulo 2^64, is exact all
    # the same, for it is small. So one correction makes both exact without wider integers.
    guess = np.floor(rest.astype(np.float64) * part / whole).astype(np.int64)
    remainder = (rest.view(np.uint64) * _unsigned(part) - guess.view(np.uint64) * _unsigned(whole)).view(np.int64)
    step = (remainder >= whole).astype(np.int64) - (remainder < 0)
    return base + guess + step, remainder - step * whole


def _unsigned(values: Ints) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(values).view(np.uint64)


def rounded_share(amount: Ints, part: Ints, whole: Ints) -> Ints:
    """amount x part / whole, rounded half up: floor((2 amount part + whole) / (2 whole)), exact.

    All int64, of shapes that broadcast; amount of either sign, 0 <= part <= whole, 0 < whole < 2^61.
    """
    amount, part, whole = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, np.int64)) for a in (amount, part, whole)))
    turns, rest = np.divmod(amount, whole)  # floored: rest >= 0 for a negative amount too
    quotient, remainder = product_divmod(rest, part, whole)
    up = remainder >= whole - remainder
    return np.asarray(turns * part + quotient + up, np.int64)


def largest_remainder(amounts: Ints, weights: Ints, group: Ints) -> Ints:
    """Split the amount of each group by the weights of its rows, so that the parts sum to it exactly.

    One row per part. amounts: the amount of the row's group, the same on all its rows, of either
    sign. weights: >= 0, of a positive sum per group. group: sorted ids. Part i is floor(|A| w / W);
    what is left over goes one by one to the greatest remainders, ties in row order; then the sign.
    Raises ValueError if a group's weights sum to nothing.
    """
    rows = len(group)
    if not rows:
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    sizes = np.diff(np.append(starts, rows))
    total = np.repeat(np.add.reduceat(weights, starts), sizes)
    if int(total.min()) <= 0:
        raise ValueError("the weights of a group sum to nothing")
    size = np.abs(amounts)
    parts, remainder = product_divmod(size, weights, total)
    left = np.repeat(size[starts] - np.add.reduceat(parts, starts), sizes)
    some = np.flatnonzero(left)
    if some.size:
        # only groups with something left over are ranked; lexsort is stable, so ties stay in row order
        order = some[np.lexsort((-remainder[some], group[some]))]
        first = np.repeat(starts, sizes)[order]
        # the chosen rows of a group are all of its rows, so a place in `order` gives the rank
        begins = np.flatnonzero(np.concatenate(([True], first[1:] != first[:-1])))
        rank = np.arange(order.size) - np.repeat(begins, np.diff(np.append(begins, order.size)))
        parts[order[rank < left[order]]] += 1
    return np.asarray(parts * np.sign(amounts), np.int64)
