"""Times in files against datetime.fromisoformat, one at a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_pipelines.imports.instants import DATE_ONLY, NO_SUCH_DAY, NO_ZONE, NOT_A_TIME, instants

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def oracle(text: str) -> int | None:
    """Epoch ms, or None where it is no time with a zone."""
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)? ?(Z|[+-]\d\d(:?\d\d)?)", text, re.ASCII | re.IGNORECASE):
        return None
    # more than six decimals of a second are cut off by fromisoformat too
    cut = re.sub(r" (?=[Zz+-]|$)", "", text[11:])
    try:
        when = datetime.fromisoformat(f"{text[:10]}T{cut.upper()}")
    except ValueError:
        return None
    return (when - EPOCH) // timedelta(milliseconds=1)


moments = st.datetimes(datetime(1999, 1, 1), datetime(2201, 1, 1))
zones = st.sampled_from(["Z", "z", "+00:00", "-00:00", "+02", "+0200", "-05:30", "+23:59", "", " Z", " +01:00", "+24:00", "+2", "UTC"])


@st.composite
def written(draw: st.DrawFn) -> str:
    when = draw(moments)
    form = draw(st.sampled_from([
        "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y-%m-%dT%H", "%Y%m%dT%H%M%S", "%d/%m/%Y %H:%M",
    ]))
    text = when.strftime(form)
    if text.endswith(when.strftime(":%S")) and form.endswith("%S") and draw(st.booleans()):
        text += draw(st.sampled_from([".", ","])) + draw(st.text("0123456789", min_size=1, max_size=11))
    return text + draw(zones)


broken = st.sampled_from([
    "2023-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "1900-02-29T00:00Z", "2000-02-29T00:00Z", "2024-04-31T00:00Z", "2024-13-01T00:00:00Z",
    "2024-05-01T24:00:00Z", "2024-05-01T1300Z", "2024-05-01T130000Z", "2024-05-01T23:60:00Z",
    "2024-05-01T23:59:60Z", "now", "1.7e12", "0x10", "-5", "+7",
    "1714568400000", "1714568400", "٢٠٢٤-05-01T00:00:00Z", "2024-05-01T00:00:00ZZ", "2024-05-01T00:00:00.Z", "99999999999999999999",
])


@given(st.lists(st.one_of(written(), broken, st.none()), max_size=8))
@settings(max_examples=200, deadline=None)
def test_every_time_is_what_fromisoformat_says(texts: list[str | None]) -> None:
    values, why = instants(pa.array(texts, pa.string()))
    expected = [None if t is None else oracle(t) for t in texts]
    assert values.to_pylist() == expected
    faults = [None] * len(texts) if why is None else why.to_pylist()
    assert [f is not None for f in faults] == [t is not None and e is None for t, e in zip(texts, expected, strict=True)]


@given(moments, st.integers(-23 * 60, 23 * 60))
@settings(max_examples=200, deadline=None)
def test_every_offset_is_taken_off(when: datetime, minutes: int) -> None:
    zoned = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    values, why = instants(pa.array([zoned.isoformat()]))
    assert why is None
    assert values.to_pylist() == [(zoned - EPOCH) // timedelta(milliseconds=1)]


@pytest.mark.parametrize(("text", "said"), [
    ("2024-05-01", DATE_ONLY), ("2024-05-01T13:00:00", NO_ZONE), ("2024-05-01 13:00", NO_ZONE),
    ("2024-02-30T13:00:00Z", NO_SUCH_DAY), ("yesterday", NOT_A_TIME), ("05/01/2024 13:00", NOT_A_TIME),
])
def test_the_reason_says_what_to_write(text: str, said: str) -> None:
    _, why = instants(pa.array(["2024-05-01T13:00:00Z", text]))
    assert why.to_pylist() == [None, said]
