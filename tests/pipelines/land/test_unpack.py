"""Unpacking within bounds: what was packed comes back, and whatever else comes is an error of its own."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import CODECS, packed
from wattlake_pipelines.land.unpack import UnpackError, unpack

PACKERS = [name for name in CODECS if name != "none"]
MIB = 2**20


@settings(deadline=None)
@given(codec=st.sampled_from(PACKERS), pieces=st.lists(st.binary(max_size=3000), min_size=1, max_size=5), times=st.integers(1, 300))
def test_what_was_packed_comes_back_and_one_byte_less_of_room_is_too_little(codec: str, pieces: list[bytes], times: int) -> None:
    body = b"".join(pieces) * times
    found = unpack(CODECS[codec], memoryview(packed(codec, [body])), max(len(body), 1))
    assert found == body
    if body:
        with pytest.raises(UnpackError, match="more than"):
            unpack(CODECS[codec], memoryview(packed(codec, [body])), len(body) - 1)


@pytest.mark.parametrize("codec", PACKERS)
def test_what_unpacks_to_much_more_than_it_may_is_given_up(codec: str) -> None:
    with pytest.raises(UnpackError, match="unpacks to more than 3 MiB"):
        unpack(CODECS[codec], memoryview(packed(codec, [bytes(100 * MIB)])), 3 * MIB)


@settings(deadline=None)
@given(number=st.integers(0, 7), junk=st.binary(max_size=200), good=st.binary(max_size=200), cut=st.integers(0, 60), codec=st.sampled_from(PACKERS))
def test_whatever_else_comes_is_an_error_of_its_own(number: int, junk: bytes, good: bytes, cut: int, codec: str) -> None:
    whole = packed(codec, [good])
    for given_codec, body in ((number, junk), (CODECS[codec], whole[:cut] + junk), (CODECS[codec], b"\x82SNAPPY\x00" + junk)):
        with suppress(UnpackError):
            assert isinstance(unpack(given_codec, memoryview(body), MIB), bytearray)
