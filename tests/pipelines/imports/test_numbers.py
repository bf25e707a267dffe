"""Numbers in files against decimal, one at a time."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattlake_contracts.kinds import GRID
from wattlake_pipelines.imports.numbers import NOT_A_NUMBER, NOT_FINITE, NOT_WHOLE, TOO_LARGE, real, whole

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

digits = st.text("0123456789", max_size=22)
numbers = st.builds("{}{}{}{}{}".format, st.sampled_from(["", "-", "+"]), digits, st.sampled_from(["", "."]), digits,
                    st.sampled_from(["", "", "", "e3", "E-4", "e+12", "e-30", "e400"]))
small = st.decimals(-10**6, 10**6, places=4).map(str) | st.integers(-10**12, 10**12).map(str) | st.floats(0, 1e6).map(repr)
odd = st.sampled_from([
    "", "nan", "-inf", "1,5", "1_000", "0x10", "12 W", "--1", "1e", ".", "½", "٣", "0.0005", "0.0015", "-0.0005", "0.5", "1.5",
])
texts = st.lists(st.one_of(st.none(), small, numbers, odd), max_size=8)


def whole_oracle(text: str, scale: float) -> int | None:
    if not NUMBER.fullmatch(text):
        return None
    with localcontext(prec=2000):
        exact = Decimal(text) * Decimal(repr(scale))
        nearest = exact.to_integral_value(ROUND_HALF_EVEN)
        if scale == 1 and nearest != exact:
            return None
        return int(nearest) if -(2**63) <= nearest < 2**63 else None


def real_oracle(text: str, scale: float) -> float | None:
    if not NUMBER.fullmatch(text):
        return None
    try:
        return float(Fraction(text) * Fraction(repr(scale)))
    except OverflowError:
        return None


@given(texts, st.sampled_from([1.0, 1000.0, 1e6, 1e9]))
@example(["0e400", "-0e999", "0.00e-500", "0e20"], 1.0)
@settings(max_examples=200, deadline=None)
def test_every_integer_is_what_decimal_says(cells: list[str | None], scale: float) -> None:
    values, why = whole(pa.array(cells, pa.string()), scale)
    expected = [None if c is None else whole_oracle(c, scale) for c in cells]
    assert values.to_pylist() == expected
    _faults_match(cells, expected, why)


@given(texts, st.sampled_from([i.scale for c in GRID.columns for i in c.inputs if c.name == "direct_g_per_kwh"]))
@settings(max_examples=200, deadline=None)
def test_every_float_is_the_nearest_to_the_exact_product(cells: list[str | None], scale: float) -> None:
    values, why = real(pa.array(cells, pa.string()), scale)
    expected = [None if c is None else real_oracle(c, scale) for c in cells]
    assert values.to_pylist() == expected
    _faults_match(cells, expected, why)


def _faults_match(cells: list[str | None], expected: list[object], why: pa.Array | None) -> None:
    faults = [None] * len(cells) if why is None else why.to_pylist()
    assert [f is not None for f in faults] == [c is not None and e is None for c, e in zip(cells, expected, strict=True)]


@pytest.mark.parametrize(("text", "said"), [
    ("1,234.5", NOT_A_NUMBER), ("nan", NOT_FINITE), ("-Infinity", NOT_FINITE), ("1.5", NOT_WHOLE), ("1e30", TOO_LARGE),
    ("9" * 40, TOO_LARGE), ("9.5e-82", NOT_WHOLE),
])
def test_the_reason_says_what_is_wrong(text: str, said: str) -> None:
    _, why = whole(pa.array(["1", text, None]), 1.0)
    assert why.to_pylist() == [None, said, None]


def test_an_exponent_beyond_all_digits_is_not_rounded_away() -> None:
    """Alone in its column, so that nothing else keeps it from being read at once."""
    values, why = whole(pa.array(["1e-39"]), 1.0)
    assert (values.to_pylist(), why.to_pylist()) == ([None], [NOT_WHOLE])
    assert whole(pa.array(["1e-39", "2E3"]), 1000.0)[0].to_pylist() == [0, 2_000_000]


def test_a_slice_of_a_longer_array_is_read_in_its_place() -> None:
    cells = pa.array(["9", "1.5", "2.5", None, "8"]).slice(1, 3)
    assert whole(cells, 1000.0)[0].to_pylist() == [1500, 2500, None]
    assert real(cells, 0.45359237)[0].to_pylist() == [0.680388555, 1.133980925, None]


def test_a_scale_that_is_no_power_of_ten_cannot_make_integers() -> None:
    with pytest.raises(ValueError, match="no power of ten"):
        whole(pa.array(["1"]), 0.45359237)
