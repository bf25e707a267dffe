"""Records made of messages by what is remembered of their writers: the same as message by message, whatever the bytes are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import varint
from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message, to_message
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.layout import DAY_MS
from wattlake_contracts.record import ARROW, JSON, Meta, Record, Stored
from wattlake_pipelines.land.kafka_headers import Headers, Sealed, read_headers
from wattlake_pipelines.land.kafka_source import _stored
from wattlake_pipelines.land.node_keys import NO_KEYS

T0 = 1_760_000_000_000
KEYS = st.sampled_from([b"n1", b"rack/7", None])


def as_bytes(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """As a batch holds them."""
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return varint(len(headers)) + b"".join(varint(-1) if part is None else varint(len(part)) + part for part in parts)


def one_by_one(place: Place, key: bytes | None, message: Sealed) -> Record | str:
    """The record that a message is, or why it is none, with nothing remembered."""
    try:
        return from_message(place, key, message.value, read_headers(message.headers)[0])
    except UnreadableError as error:
        return str(error)


def remembering(headers: Headers, place: Place, key: bytes | None, message: Sealed) -> Record | str:
    try:
        return headers.record(place, key, message)
    except UnreadableError as error:
        return str(error)


records = st.builds(
    Record, st.builds(Meta, st.sampled_from(sorted(KINDS)), st.sampled_from(["n1", "n2", "rack/7"]), st.sampled_from(["b1", "b2"]),
                      st.sampled_from(["1", "2"]), st.sampled_from([ARROW, JSON])),
    st.integers(0, 10**18 - 1) | st.integers(0, 300), st.integers(0, 10**13), st.binary(min_size=1, max_size=8))


@settings(deadline=None)
@given(sent=st.lists(st.tuples(records, KEYS), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_what_is_remembered_of_a_writer_gives_what_looking_at_each_message_gives(sent: list[tuple[Record, bytes | None]], seed: int) -> None:
    chance = random.Random(seed)
    headers = Headers()
    for offset, (record, key) in enumerate(sent):
        place = Place(KINDS[record.meta.kind].topic, "g", 0, offset, 7)
        _, value, told = to_message(record)
        whole = bytearray(as_bytes(told))
        if chance.random() < 0.3:
            whole[chance.randrange(len(whole))] = chance.choice([chance.randrange(256), ord("0"), ord("/"), ord("Z")])
        message = Sealed(value, bytes(whole))
        assert remembering(headers, place, key, message) == one_by_one(place, key, message)


@settings(deadline=None)
@given(record=records, changed=st.binary(min_size=1, max_size=24), at=st.integers(0, 400))
def test_a_message_that_is_altered_anywhere_is_read_as_if_it_came_first(record: Record, changed: bytes, at: int) -> None:
    place = Place(KINDS[record.meta.kind].topic, "g", 0, 1, 7)
    key, value, told = to_message(record)
    good = as_bytes(told)
    at = min(at, len(good) - 1)
    bad = Sealed(value, (good[:at] + changed + good[at + len(changed) :])[: len(good)])
    headers = Headers()
    assert remembering(headers, place, key, Sealed(value, good)) == one_by_one(place, key, Sealed(value, good))
    assert remembering(headers, place, key, bad) == one_by_one(place, key, bad)


@pytest.mark.parametrize(("raw", "why"), [
    (b"", "its headers cannot be read"), (varint(-1), "its headers cannot be read: -1 of them"), (varint(1001), "1001 headers is over the limit of 1000"),
    (varint(1) + varint(9) + b"a", "a name of 9 bytes"), (varint(1) + varint(1) + b"a" + varint(9), "a value of 9 bytes"),
    (varint(0) + b"rest", "they end 4 bytes before the message does"), (varint(1) + varint(1) + b"\xff" + varint(-1), "not UTF-8")])
def test_bytes_that_are_no_headers_are_told_for_what_they_are(raw: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        read_headers(raw)


@pytest.mark.parametrize(("told_ms", "counts_ms"), [(T0 + DAY_MS, T0 + DAY_MS), (T0 + DAY_MS + 1, T0), (T0 - 400 * DAY_MS, T0 - 400 * DAY_MS)])
def test_a_time_far_ahead_of_the_brokers_does_not_count(told_ms: int, counts_ms: int) -> None:
    record = Record(Meta("jobs", "n1", "b1", "1", JSON), 3, told_ms, b"[]")
    key, value, told = to_message(record)
    came = SimpleNamespace(key=key, value=Sealed(value, as_bytes(told)), headers=[])
    stored = _stored(Place("jobs", "g", 0, 1, T0), came, NO_KEYS, Headers())
    assert isinstance(stored, Stored)
    assert (stored.record.appended_ms, stored.record.seq) == (counts_ms, 3)
