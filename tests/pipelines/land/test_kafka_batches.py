"""Batches read within bounds: the same messages as kafka-python reads, and what is over a bound is refused by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from batches import CODECS, batch, message, packed, zeros
from wattlake_contracts.kafkalog.message import UnreadableError
from wattlake_pipelines.decode import MAX_PAYLOAD_BYTES
from wattlake_pipelines.land.kafka_batches import BATCH_BYTES, Refused, _Batch, bounded
from wattlake_pipelines.land.kafka_headers import read_headers

Given = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
some = st.none() | st.binary(max_size=200)
messages = st.lists(st.tuples(some, some, st.lists(st.tuples(st.text(max_size=10), some), max_size=4)), min_size=1, max_size=8)


def read(raw: bytes) -> list[tuple[int, Any]]:
    """(offset, value) of all; of one whose headers cannot be read, what is told of it."""
    with bounded():
        return [(found.offset, told(found)) for found in _Batch(raw)]


def told(found: Any) -> Any:
    if isinstance(found.value, Refused):
        return found.value
    try:
        read_headers(found.value.headers)
    except UnreadableError as error:
        return Refused(found.offset, str(error), b"")
    return found.value.value


def refusals(found: Sequence[tuple[int, Any]]) -> list[tuple[int, int, str]]:
    """(first offset, last, why) of what was refused."""
    return [(value.first, offset, value.reason) for offset, value in found if isinstance(value, Refused)]


@settings(deadline=None)
@given(sent=messages, codec=st.sampled_from([0, 1, 4]))
def test_the_messages_are_those_that_kafka_python_reads(sent: list[Given], codec: int) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for i, (key, value, headers) in enumerate(sent):
        builder.append(i, 5, key, value, headers)
    raw = bytes(builder.build())
    with bounded():
        mine = [(r.offset, r.timestamp, r.key, r.value.value, read_headers(r.value.headers)[0]) for r in _Batch(raw)]
    theirs, elsewhere = ([(r.offset, r.timestamp, r.key, r.value, r.headers) for r in kind(raw)] for kind in (DefaultRecordBatch, _Batch))
    assert mine == theirs
    # a consumer of somebody else in the same process
    assert elsewhere == theirs
    assert len(mine) == len(sent)


@pytest.mark.parametrize("codec", CODECS)
def test_batches_are_read_however_they_are_packed(codec: str) -> None:
    assert read(batch(codec, 3, packed(codec, [message(i, b"m%d" % i) for i in range(3)]))) == [(0, b"m0"), (1, b"m1"), (2, b"m2")]


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4", "snappy"])
def test_a_batch_that_unpacks_to_too_much_is_refused_as_a_whole(codec: str) -> None:
    size = BATCH_BYTES // 4
    found = read(batch(codec, 5, packed(codec, [piece for i in range(5) for piece in zeros(i, size)])))
    assert refusals(found) == [(0, 4, "a batch of messages unpacks to more than 64 MiB")]
    assert len(found) == 1


def test_a_message_that_is_over_a_bound_is_refused_and_those_around_it_are_read() -> None:
    bad = [message(1, b"", [(b"h", b"")] * 1001), message(2, b"x", [(b"\xff", b"")]), *zeros(3, MAX_PAYLOAD_BYTES + 1)]
    found = read(batch("zstd", 5, packed("zstd", [message(0, b"first"), *bad, message(4, b"last")])))
    assert [refused[:2] for refused in refusals(found)] == [(1, 1), (2, 2), (3, 3)]
    assert [why.split(" is ")[-1] for _, _, why in refusals(found)] == ["over the limit of 1000", "not UTF-8", f"over the limit of {MAX_PAYLOAD_BYTES}"]
    assert [pair for pair in found if not isinstance(pair[1], Refused)] == [(0, b"first"), (4, b"last")]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_batch_of_any_bytes_raises_nothing_and_its_offsets_go_forward_and_not_beyond_it(seed: int) -> None:
    chance = random.Random(seed)
    body = bytearray(b"".join(message(i, chance.randbytes(chance.randrange(30)), [(b"name", b"x")] * chance.randrange(3)) for i in range(6)))
    for _ in range(chance.randint(1, 3)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    if chance.random() < 0.3:
        del body[chance.randrange(len(body)) :]
    found = read(batch("none", 6, bytes(body)))
    offsets = [offset for offset, _ in found]
    assert offsets == sorted(set(offsets))
    assert set(offsets) <= set(range(6))
    for first, last, reason in refusals(found):
        assert first <= last
        assert reason
