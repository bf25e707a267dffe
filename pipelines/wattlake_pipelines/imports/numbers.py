"""Decimal numbers as people write them, scaled exactly to the stored unit.

A value never passes through a binary fraction before it is scaled: 0.1 J is 100 mJ, and a kg/kWh
figure becomes the float64 nearest to its thousandfold.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$"
#: 312,5 and 1.234,5 as much of the world writes them; 1,234 may be a thousand in other parts of it, and so none is converted
_COMMA = r"^[+-]?[0-9]{1,3}([.][0-9]{3})*,[0-9]+$|^[+-]?[0-9]+,[0-9]+$"
#: at most 18 digits on either side of the point: the sums below stay within Arrow's decimals
_PLAIN = r"^[+-]?([0-9]{1,18}([.][0-9]{0,18})?|[.][0-9]{1,18})$"

NOT_A_NUMBER = "is no number; write digits with a decimal point and no separators, e.g. 1234.5"
DECIMAL_COMMA = r"has a decimal comma; write a point. In a file that semicolons separate: sed -E 's/([0-9]),([0-9])/\1.\2/g' OLD.csv > NEW.csv"
NOT_FINITE = "is not a finite number; leave it empty if it is not known"
NOT_WHOLE = "is no whole number"
TOO_LARGE = "is too large to be stored"

_TEXT_NULL = pa.scalar(None, pa.string())
_INT_LEAST, _INT_MOST = -(2**63), 2**63 - 1


def whole(text: pa.Array, scale: float) -> tuple[pa.Array, pa.Array | None]:
    """Integers (int64) of decimal strings x scale, rounded half to even, and why a string is none (None if all are).

    scale: a power of ten, 1 included; where it is 1 a fraction is refused rather than rounded.
    ValueError for any other scale.
    """
    shift = _power_of_ten(scale)
    if shift is None:
        raise ValueError(f"{scale} is no power of ten: an integer column cannot be scaled by it")
    # Arrow reads 1e-39 as a whole 0
    if not pc.any(pc.match_substring(text, "e", ignore_case=True)).as_py():
        try:
            values, fits = _int64(text.cast(pa.decimal128(38, shift)))
            if fits.all():
                return values, None
        except pa.ArrowInvalid:
            pass
    number = pc.match_substring_regex(text, _NUMBER)
    plain = pc.match_substring_regex(text, _PLAIN)
    exact = pc.if_else(plain, text, _TEXT_NULL).cast(pa.decimal128(38, 18))
    rounded = pc.round(exact, ndigits=shift, round_mode="half_to_even")
    values, fits = _int64(rounded.cast(pa.decimal128(38, shift)))
    fraction = pc.not_equal(rounded, exact) if shift == 0 else None
    odd = _each(text, pc.and_not(number, plain), lambda s: _whole_of(s, shift))
    values = pc.if_else(pa.array(fits), values, pa.scalar(None, pa.int64()))
    values = _over(values, {s: v for s, v in odd.items() if isinstance(v, int)}, text)
    faults = _faults(text, number, odd)
    faults = pc.if_else(pa.array(~fits), pa.scalar(TOO_LARGE), faults)
    if fraction is not None:
        fraction = pc.fill_null(fraction, False)
        values = pc.if_else(fraction, pa.scalar(None, pa.int64()), values)
        faults = pc.if_else(fraction, pa.scalar(NOT_WHOLE), faults)
    return values, faults if faults.null_count < len(faults) else None


def real(text: pa.Array, scale: float) -> tuple[pa.Array, pa.Array | None]:
    """float64 nearest to each decimal string x scale, and why a string is no number (None if all are)."""
    shift = _power_of_ten(scale)
    if shift is not None:
        try:
            values = _float_shifted(text, shift)
            if pc.all(pc.is_finite(values)).as_py() is not False:
                return values, None
        except pa.ArrowInvalid:
            pass
    factor = Decimal(repr(scale))
    number = pc.match_substring_regex(text, _NUMBER)
    plain = pc.match_substring_regex(text, _PLAIN)
    ordinary = pc.if_else(plain, text, _TEXT_NULL)
    if shift is not None:
        values = _float_shifted(ordinary, shift)
    else:
        product = pc.multiply(ordinary.cast(pa.decimal256(37, 18)), pa.scalar(factor))
        values = product.cast(pa.string()).cast(pa.float64())
    odd = _each(text, pc.and_not(number, plain), lambda s: _real_of(s, factor))
    values = _over(values, {s: v for s, v in odd.items() if isinstance(v, float)}, text)
    faults = _faults(text, number, odd)
    return values, faults if faults.null_count < len(faults) else None


def _float_shifted(text: pa.Array, shift: int) -> pa.Array:
    written = pc.binary_join_element_wise(text, f"e{shift}", "") if shift else text
    return written.cast(pa.float64())


def _power_of_ten(scale: float) -> int | None:
    shift = len(str(round(scale))) - 1
    return shift if scale == 10**shift else None


def _int64(decimals: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The unscaled integers of decimal128 values, and whether each fits int64 (nulls do)."""
    words = np.frombuffer(decimals.buffers()[1], dtype=np.int64, count=2 * len(decimals), offset=16 * decimals.offset)
    low, high = words[0::2], words[1::2]
    null = np.asarray(decimals.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    fits = (high == low >> 63) | null
    return pa.array(np.ascontiguousarray(low), pa.int64(), mask=null), fits


def _each(text: pa.Array, where: pa.Array, of: Callable[[str], int | float | str]) -> dict[str, int | float | str]:
    """Values of the distinct strings that only Decimal can read (exponents, very many digits): a number, or why not."""
    chosen = text.filter(where)
    return {s: of(s) for s in pc.unique(chosen).to_pylist() if s is not None} if len(chosen) else {}


def _whole_of(text: str, shift: int) -> int | str:
    with localcontext(prec=len(text) + 50):
        scaled = Decimal(text).scaleb(shift)
        if not scaled:
            return 0  # whatever its exponent
        if scaled.adjusted() > 19:
            return TOO_LARGE
        nearest = scaled.to_integral_value(ROUND_HALF_EVEN)
        if shift == 0 and nearest != scaled:
            return NOT_WHOLE
    result = int(nearest)
    return result if _INT_LEAST <= result <= _INT_MOST else TOO_LARGE


def _real_of(text: str, factor: Decimal) -> float | str:
    with localcontext(prec=len(text) + 50):
        result = float(Decimal(text) * factor)
    return result if np.isfinite(result) else TOO_LARGE


def _over(values: pa.Array, known: dict[str, int] | dict[str, float], text: pa.Array) -> pa.Array:
    """The values with those of the odd strings put in."""
    if not known:
        return values
    place = pc.index_in(text, value_set=pa.array(list(known), pa.string()))
    return pc.coalesce(pa.array(list(known.values()), values.type).take(place), values)


def _faults(text: pa.Array, number: pa.Array, odd: dict[str, int | float | str]) -> pa.Array:
    not_finite = pc.match_substring_regex(text, r"^(?i)[+-]?(nan|inf|infinity)$")
    comma = pc.match_substring_regex(text, _COMMA)
    why = pc.if_else(number, _TEXT_NULL, pc.if_else(not_finite, NOT_FINITE, pc.if_else(comma, DECIMAL_COMMA, NOT_A_NUMBER)))
    said = {s: v for s, v in odd.items() if isinstance(v, str)}
    if said:
        place = pc.index_in(text, value_set=pa.array(list(said), pa.string()))
        why = pc.coalesce(pa.array(list(said.values()), pa.string()).take(place), why)
    return why
