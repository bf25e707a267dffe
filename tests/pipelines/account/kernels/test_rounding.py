"""Exact shares against Python's own whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_pipelines.account.kernels.rounding import largest_remainder, product_divmod, rounded_share

SIZES = st.sampled_from([3, 1_000, 2**31 - 1, 2**31, 2**42, 2**49 - 1, 2**49, 2**61 - 1])


@st.composite
def shares(draw):
    """(amount, part, whole) with 0 <= part <= whole, of sizes on both sides of every way of computing."""
    whole = draw(st.integers(1, draw(SIZES)))
    part = draw(st.one_of(st.sampled_from([0, whole, whole - 1, whole // 2]), st.integers(0, whole)))
    return draw(st.integers(-(2**62), 2**62)), part, whole


@settings(max_examples=300, deadline=None)
@given(st.lists(shares(), min_size=1, max_size=20))
def test_a_rounded_share_is_exact(rows):
    amount, part, whole = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    assert rounded_share(amount, part, whole).tolist() == [(2 * a * p + w) // (2 * w) for a, p, w in rows]


@settings(max_examples=300, deadline=None)
@given(st.lists(shares(), min_size=1, max_size=20))
def test_a_product_is_divided_exactly(rows):
    factor, part, whole = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    quotient, remainder = product_divmod(np.abs(factor), part, whole)
    assert list(zip(quotient.tolist(), remainder.tolist(), strict=True)) == [divmod(abs(a) * p, w) for a, p, w in rows]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=6).filter(any)), max_size=8))
def test_parts_follow_the_weights_and_add_up_to_their_amount(groups):
    amounts = np.array([a for a, ws in groups for _ in ws], np.int64)
    weights = np.array([w for _, ws in groups for w in ws], np.int64)
    group = np.array([g for g, (_, ws) in enumerate(groups) for _ in ws], np.int64)
    parts = largest_remainder(amounts, weights, group)
    for g, (amount, ws) in enumerate(groups):
        mine = parts[group == g].tolist()
        assert sum(mine) == amount
        assert all(abs(p * sum(ws) - amount * w) < sum(ws) for p, w in zip(mine, ws, strict=True))


def test_what_is_left_goes_to_the_greatest_remainders_and_ties_to_the_earlier_row():
    group = np.zeros(3, np.int64)
    assert largest_remainder(np.full(3, 10), np.array([1, 1, 1]), group).tolist() == [4, 3, 3]
    assert largest_remainder(np.full(3, -11), np.array([1, 1, 1]), group).tolist() == [-4, -4, -3]
    # 10 x 3/7 = 4.29, 10 x 3/7 = 4.29, 10 x 1/7 = 1.43
    assert largest_remainder(np.full(3, 10), np.array([3, 3, 1]), group).tolist() == [4, 4, 2]


def test_weights_that_sum_to_nothing_are_refused():
    with pytest.raises(ValueError, match="sum to nothing"):
        largest_remainder(np.array([5, 5]), np.array([0, 0]), np.array([1, 1]))
    assert largest_remainder(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
