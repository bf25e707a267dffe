"""Records of nodes that have keys: what is signed is taken, and nothing else that is said in their name."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import payload
from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message, to_message
from wattlake_contracts.kafkalog.signature import HEADER
from wattlake_contracts.kafkalog.signing import Signer, public_text
from wattlake_contracts.record import ARROW, JSON, Damage, Meta, Record, Stored
from wattlake_pipelines.land.kafka_headers import Headers
from wattlake_pipelines.land.kafka_source import KafkaRange, _stored
from wattlake_pipelines.land.node_keys import NO_KEYS, NodeKey, NodeKeys, keys_of
from wattlake_pipelines.land.piece import ReadingPiece, unpack
from wattlake_pipelines.land.read_range import BOOK, read_range

T0 = 1_760_000_000_000
ONE, OTHER, STRANGER = (Signer(Ed25519PrivateKey.generate()) for _ in range(3))
KEYS = NodeKeys(("n1", "n2"), (NodeKey("n1", ONE.public, 0, 2**62), NodeKey("n2", OTHER.public, 0, 2**62)))
GENUINE = Record(Meta("jobs", "n1", "b00t", content_type=JSON), 7, T0, b'{"job":"j","node":"n1"}')

Message = tuple[bytes | None, bytes, list[tuple[str, bytes | None]]]


@dataclass
class Came:
    """A message as kafka-python gives it."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes | None]]


def signed(record: Record, signer: Signer | None) -> Message:
    key, value, headers = to_message(record)
    return key, value, [*headers, *([signer.header(record)] if signer else [])]


def read(message: Message, keys: NodeKeys = KEYS, topic: str = "jobs") -> Stored | Damage:
    return _stored(Place(topic, "g", 0, 3, T0), Came(*message), keys, Headers())


def reason(message: Message, keys: NodeKeys = KEYS) -> str:
    found = read(message, keys)
    assert isinstance(found, Damage)
    assert not found.lost
    assert found.raw == message[1]
    assert "; " in found.reason, "it says what to do"
    return found.reason


def test_what_a_node_has_signed_is_taken_as_it_is() -> None:
    found = read(signed(GENUINE, ONE))
    assert isinstance(found, Stored)
    assert found.record == GENUINE
    assert found == replace(read(signed(GENUINE, None), NO_KEYS), offset=3)  # type: ignore[type-var]  # a Stored


def test_nodes_without_keys_write_as_before_signed_or_not() -> None:
    record = replace(GENUINE, meta=replace(GENUINE.meta, node="n3"))
    for signer in (None, ONE, STRANGER):
        assert isinstance(read(signed(record, signer)), Stored)


@pytest.mark.parametrize(("signer", "why"), [
    (None, "this record is not signed; set kafka.signing_key_file"), (OTHER, "signed with a key that is none of them; if it is genuine, add the key"),
    (STRANGER, "signed with a key that is none of them")], ids=["unsigned", "another node", "a stranger"])
def test_what_is_not_signed_by_the_node_is_none_of_its_records(signer: Signer | None, why: str) -> None:
    assert f"node 'n1' has keys, and {'this record is ' if why[:4] != 'this' else ''}{why}" in reason(signed(GENUINE, signer))


@given(at=st.integers(0, 95), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_any_changed_bit_of_key_or_signature_fails(at: int, bit: int) -> None:
    key, value, headers = signed(GENUINE, ONE)
    raw = bytearray(headers[-1][1] or b"")
    raw[at] ^= 1 << bit
    assert "none of them" in (why := reason((key, value, [*headers[:-1], (HEADER, bytes(raw))]))) or "forged or was altered" in why


@given(data=st.data(), payload=st.binary(min_size=1, max_size=300), seq=st.integers(0, 10**18 - 1), kind=st.sampled_from(["jobs", "transfers"]))
@settings(max_examples=200, deadline=None)
def test_any_changed_byte_of_a_record_fails_or_makes_it_no_record_of_that_node(data: st.DataObject, payload: bytes, seq: int, kind: str) -> None:
    record = replace(GENUINE, meta=replace(GENUINE.meta, kind=kind), seq=seq, payload=payload)
    key, value, headers = signed(record, ONE)
    # the payload, or any header that says what the record is
    of = data.draw(st.sampled_from([None, 1, 4, 5, 6]))
    raw = bytearray(value if of is None else headers[of][1] or b"")
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    changed = bytes(raw)
    message = (key, changed, headers) if of is None else (key, value, [*headers[:of], (headers[of][0], changed), *headers[of + 1 :]])
    try:
        seen = from_message(Place(record.meta.kind, "g", 0, 3, T0), *message)
    except UnreadableError:
        return
    if seen == record:  # as 007 is 7
        return
    found = read(message, topic=kind)
    assert isinstance(found, Damage) or found.record.meta.node != "n1"


def test_a_key_signs_within_its_time_only_and_two_may_overlap() -> None:
    keys = NodeKeys(("n1",), (NodeKey("n1", ONE.public, T0 - 10, T0), NodeKey("n1", OTHER.public, T0 - 5, 2**62)))
    taken = {(name, at) for name, signer in (("one", ONE), ("other", OTHER)) for at in (-11, -10, -6, -5, -1, 0, 5)
             if isinstance(read(signed(replace(GENUINE, appended_ms=T0 + at), signer), keys), Stored)}
    assert taken == {("one", -10), ("one", -6), ("one", -5), ("one", -1), ("other", -5), ("other", -1), ("other", 0), ("other", 5)}
    assert f"of {T0} ms is signed with one that does not hold at that time" in reason(signed(GENUINE, ONE), keys)


def test_a_node_all_of_whose_keys_have_gone_writes_nothing() -> None:
    assert "none of them" in reason(signed(GENUINE, ONE), NodeKeys(("n1",), ()))


@pytest.mark.parametrize("message", [
    (b"n1", b'{"job":"j","node":"n1"}', []),
    (b"n1", b'{"job":"j"}', [("ce_source", b"//scheduler"), ("ce_id", b"1")]),
    (None, b'{"job":"j"}', [("ce_source", b"n1"), ("ce_id", b"1")]),
    (b"n1", b'{"id":"1","source":"//s","type":"org.wattlake.jobs","data":{"job":"j"}}', [("content-type", b"application/cloudevents+json")]),
], ids=["plain", "event", "by its source", "structured"])
def test_what_other_programs_send_in_a_nodes_name_is_not_taken_whoever_signs_it(message: Message) -> None:
    assert "another program bears its name" in reason(message)
    key, value, headers = message
    record = from_message(Place("jobs", "g", 0, 3, T0), key, value, headers)
    assert "another program bears its name" in reason((key, value, [*headers, ONE.header(record)]))


def test_a_structured_event_of_ours_that_names_the_node_must_be_signed_too() -> None:
    event = b'{"id":"n1/b00t/9","source":"/wattlake","type":"org.wattlake.jobs","data":{"job":"j"}}'
    assert "not signed" in reason((b"x", event, [("content-type", b"application/cloudevents+json")]))


def test_what_the_book_says_last_holds() -> None:
    one, other = public_text(ONE.public), public_text(OTHER.public)
    rows: list[Any] = [("n1", one, None, None, True), ("n2", one, T0, None, True), ("n1", other, T0, T0 + 5, True), ("n1", one, None, T0, True)]
    assert keys_of(rows) == NodeKeys(("n1", "n2"), (NodeKey("n1", ONE.public, 0, T0), NodeKey("n2", ONE.public, T0, 2**62),
                                                    NodeKey("n1", OTHER.public, T0, T0 + 5)))
    assert keys_of([*rows, ("n1", None, None, None, False)]).nodes == ("n2",)
    assert keys_of([*rows, ("n1", None, None, None, False), ("n1", other, None, None, True)]).nodes == ("n1", "n2")
    assert not keys_of([])
    assert pickle.loads(pickle.dumps(KEYS)) == KEYS


@dataclass(frozen=True)
class Given(KafkaRange):
    """A range whose messages are given."""

    messages: tuple[Any, ...] = ()

    def read(self) -> Iterator[Stored | Damage]:
        for offset, came in enumerate(self.messages):
            yield _stored(Place(self.topic, "g", 0, offset, T0), came, self.keys, Headers())


def landed(topic: str, messages: Sequence[Message], keys: NodeKeys = KEYS) -> tuple[list[tuple[str, int]], list[tuple[str, str]], list[tuple[str, int]]]:
    """((node, seq) of each row that landed, (place, reason) of each reject, (writer, seq) of each record that is booked)."""
    from wattlake_contracts.config import KafkaConfig

    where = Given("kafka:x", (), KafkaConfig(), topic, "g", 0, 0, len(messages), 0, keys, messages=tuple(Came(*m) for m in messages))
    rows: list[tuple[str, int]] = []
    for shard, raw in read_range(where, 1):
        if shard != BOOK:
            piece = ReadingPiece.from_bytes(raw)
            node, seq = piece.runs.texts["node"].to_pylist(), piece.records["seq"].to_pylist()
            rows += [(node[text], seq[record]) for text, record, length in zip(piece.runs.text, piece.record_of, piece.runs.lengths, strict=True)
                     for _ in range(length)]
            continue
        records, rejects, *tables = unpack(raw)
        rows += [(row["node"], row["seq"]) for table in tables for row in table.to_pylist()]
        told = [(row["place"], row["reason"]) for row in rejects.to_pylist()]
        booked = [(row["writer"], row["seq"]) for row in records.to_pylist()]
    return sorted(rows), told, booked


def of_readings(node: str, seq: int, nodes: Sequence[str], at: int = 0) -> Record:
    rows = [{"node": name, "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + at + i, "energy_mj": i} for i, name in enumerate(nodes)]
    return Record(Meta("readings", node, "b", content_type=ARROW), seq, T0, payload("readings", rows)[0])


def test_rows_that_name_a_node_with_keys_come_in_its_own_records_only() -> None:
    messages = [signed(of_readings("n3", 0, ["n3", "n1", "n3", "n2"]), None), signed(of_readings("n1", 0, ["n1", "n1"]), ONE),
                signed(of_readings("n2", 0, ["n2", "n1", "n4"]), OTHER),
                # of the same form but for its numbers, as the first, which must not be taken for known
                signed(of_readings("n3", 1, ["n3", "n1", "n3", "n2"], 50), None), signed(of_readings("n1", 1, ["n1", "n1"], 50), ONE)]
    rows, told, booked = landed("readings", messages)
    assert rows == sorted([("n3", 0)] * 2 + [("n1", 0)] * 2 + [("n2", 0), ("n4", 0)] + [("n3", 1)] * 2 + [("n1", 1)] * 2)
    assert [place for place, _ in told] == ["n3/b/0 row 2", "n3/b/0 row 4", "n2/b/0 row 2", "n3/b/1 row 2", "n3/b/1 row 4"]
    assert all("must come in a record that it has signed itself" in why for _, why in told)
    assert len(booked) == 5
    assert landed("readings", messages, NO_KEYS)[1] == []


def test_a_forged_record_is_not_booked_so_that_it_stands_in_the_way_of_none() -> None:
    forged = signed(of_readings("n1", 0, ["n1"] * 3), STRANGER)
    rows, told, booked = landed("readings", [forged, signed(of_readings("n1", 0, ["n1"] * 2), ONE)])
    assert rows == [("n1", 0)] * 2
    assert booked == [("n1", 0)]
    assert [place for place, _ in told] == ["readings/0@g offset 0"]


def test_jobs_of_a_scheduler_that_name_a_node_with_keys_are_rejected_row_by_row() -> None:
    rows = b'[{"job":"a","node":"n3","start_ms":%d},{"job":"b","node":"n1","start_ms":%d},{"job":"","node":"n2"}]' % (T0, T0)
    got, told, _ = landed("jobs", [(b"scheduler", rows, [])])
    assert [node for node, _ in got] == ["n3"]
    assert ["must come in" in why for _, why in told] == [True, True]
    assert "job is" in told[1][1], "and what else is wrong is told with it"
