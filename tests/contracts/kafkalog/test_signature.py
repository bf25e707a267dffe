"""The bytes that a signature of a record is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_contracts.kafkalog.message import Place, from_message, to_message
from wattlake_contracts.kafkalog.signature import LABEL, signed_bytes
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import JSON, Meta, Record

# few letters and short, so that texts of which one ends where another begins are met often
texts = st.text("a/\0é", max_size=3)
records = st.builds(
    Record, st.builds(Meta, texts, texts, texts, texts, texts), st.integers(0, 2**64 - 1), st.integers(-2**63, 2**63 - 1), st.binary(max_size=12))
GENUINE = Record(Meta("readings", "node-1", "b00t", "1", JSON), 7, 1_750_000_000_123, b'{"node":"node-1"}')


@given(one=records, other=records)
@settings(max_examples=500, deadline=None)
def test_no_two_records_have_the_same_bytes(one: Record, other: Record) -> None:
    assert (signed_bytes(one) == signed_bytes(other)) == (one == other)


@given(texts=st.text("ab", min_size=4, max_size=4), cuts=st.tuples(st.integers(0, 4), st.integers(0, 4)))
@settings(max_examples=200, deadline=None)
def test_a_text_that_moves_from_one_field_to_the_next_changes_the_bytes(texts: str, cuts: tuple[int, int]) -> None:
    one, other = (signed_bytes(replace(GENUINE, meta=replace(GENUINE.meta, node=texts[:cut], boot=texts[cut:]))) for cut in cuts)
    assert (one == other) == (cuts[0] == cuts[1])


def test_the_bytes_are_these_for_ever() -> None:
    assert signed_bytes(Record(Meta("jobs", "n", "é", "1", "t"), 2, 3, b"xyz")) == LABEL + bytes.fromhex(
        "0000000000000002" "0000000000000003"
        "0000000000000001" "6e" "0000000000000002" "c3a9" "0000000000000004" "6a6f6273" "0000000000000001" "31" "0000000000000001" "74"
        "0000000000000003" "78797a")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_reader_of_kafka_has_the_bytes_that_the_writer_had(kind: str) -> None:
    record = replace(GENUINE, meta=replace(GENUINE.meta, kind=kind), payload=memoryview(GENUINE.payload))
    key, value, headers = to_message(record)
    assert signed_bytes(from_message(Place(KINDS[kind].topic, "t", 0, 5, 1), key, value, headers)) == signed_bytes(record)


@pytest.mark.parametrize("forged", [
    replace(GENUINE, meta=replace(GENUINE.meta, node="node-2")), replace(GENUINE, meta=replace(GENUINE.meta, boot="b00t2")),
    replace(GENUINE, meta=replace(GENUINE.meta, kind="usage")), replace(GENUINE, meta=replace(GENUINE.meta, version="2")),
    replace(GENUINE, meta=replace(GENUINE.meta, content_type="text/plain")),
    replace(GENUINE, seq=8), replace(GENUINE, appended_ms=1_750_000_000_124), replace(GENUINE, payload=b'{"node":"node-2"}'),
], ids=["node", "boot", "kind", "version", "content type", "seq", "time", "payload"])
def test_a_signature_holds_for_its_own_record_only(forged: Record) -> None:
    key = Ed25519PrivateKey.generate()
    signature = key.sign(signed_bytes(GENUINE))
    key.public_key().verify(signature, signed_bytes(GENUINE))
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, signed_bytes(forged))


@pytest.mark.parametrize("unfit", [
    replace(GENUINE, seq=-1), replace(GENUINE, seq=2**64), replace(GENUINE, appended_ms=2**63), replace(GENUINE, meta=replace(GENUINE.meta, node="\ud800")),
], ids=["negative seq", "seq beyond 8 bytes", "time beyond 8 bytes", "no UTF-8"])
def test_what_cannot_be_written_is_told(unfit: Record) -> None:
    with pytest.raises(ValueError, match=r"cannot be signed|surrogates"):
        signed_bytes(unfit)
