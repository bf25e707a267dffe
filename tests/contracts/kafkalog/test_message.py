"""Records as messages of Kafka, and what others write there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message, to_message, topic_of
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import JSON, Meta, Record

PLACE = Place("jobs", "6f9619ff-8b86-d011-b42d-00c04fc964ff", 3, 17, 1_750_000_000_123)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(node=texts, boot=texts.filter(lambda t: "/" not in t), seq=st.integers(0, 2**53), kind=st.sampled_from(sorted(KINDS)),
       appended_ms=st.integers(0, 253_402_300_799_999), payload=st.binary(min_size=1, max_size=50))
@settings(max_examples=300, deadline=None)
def test_a_record_of_ours_comes_back_as_it_was(node: str, boot: str, seq: int, kind: str, appended_ms: int, payload: bytes) -> None:
    record = Record(Meta(kind, node, boot), seq, appended_ms, payload)
    key, value, headers = to_message(record)
    place = Place(KINDS[kind].topic, PLACE.generation, 0, 5, 1)
    assert from_message(place, key, value, headers) == record
    assert dict(headers)["ce_id"] == record.ce_id.encode()


@given(value=st.binary(max_size=200), key=st.none() | st.binary(max_size=10), topic=st.sampled_from(["jobs", "reference", "nodes", "no-such"]),
       headers=st.lists(st.tuples(st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_dataschema", "ce_time", "content-type", "x"]),
                                  st.none() | st.binary(max_size=30) | st.sampled_from([
                                      b"/wattlake", b"a/b/1", b"a/b/x", b"application/cloudevents+json", b"urn:wattlake:jobs:1.0", b"urn:wattlake:jobs",
                                      b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00", b"org.wattlake.jobs"])), max_size=6))
@settings(max_examples=1000, deadline=None)
def test_whatever_the_bytes_are_a_message_is_a_record_or_says_why_not(value: bytes, key: bytes | None, topic: str,
                                                                      headers: list[tuple[str, bytes | None]]) -> None:
    place = Place(topic, "g", 0, 9, 10)
    try:
        found = from_message(place, key, value, headers)
    except UnreadableError:
        return
    assert KINDS[found.meta.kind].topic == topic
    assert found.appended_ms >= 0
    assert found.seq >= 0
    assert found == from_message(place, key, value, headers), "the same message is the same record"


def test_plain_json_is_known_by_where_it_stands() -> None:
    found = from_message(PLACE, b"n1", b'{"job":"j"}', [])
    assert (found.meta.kind, found.meta.node, found.seq, found.appended_ms, found.meta.content_type) == ("jobs", "n1", 17, PLACE.timestamp_ms, JSON)
    again = from_message(Place("jobs", "another-generation", 3, 17, 0), b"n1", b'{"job":"j"}', [])
    assert again.meta.boot != found.meta.boot, "a topic made anew counts from 0 again"


@pytest.mark.parametrize("structured", [False, True])
def test_a_cloudevent_of_another_writer_is_known_by_source_and_id_wherever_it_stands(structured: bool) -> None:
    def send(offset: int, ident: str) -> Record:
        place = Place("reference", "g", offset % 2, offset, 5)
        attributes = {"id": ident, "source": "//grid.example", "type": "org.wattlake.grid", "time": "2026-03-01T12:00:00+01:00"}
        if structured:
            body = json.dumps({"specversion": "1.0", **attributes, "datacontenttype": JSON, "data": [{"zone": "DE"}]}).encode()
            return from_message(place, None, body, [("content-type", b"application/cloudevents+json; charset=utf-8")])
        return from_message(place, None, b'[{"zone":"DE"}]', [(f"ce_{k}", v.encode()) for k, v in attributes.items()])

    first, repeated, other = send(4, "a"), send(90, "a"), send(91, "b")
    assert (first.meta, first.seq) == (repeated.meta, repeated.seq)
    assert first.meta.boot != other.meta.boot
    assert first.meta.kind == "grid"
    assert json.loads(bytes(first.payload)) == [{"zone": "DE"}]
    assert first.appended_ms == 1_772_362_800_000


@pytest.mark.parametrize(("topic", "value", "headers", "said"), [
    ("jobs", None, [], "without a value"),
    ("reference", b"{}", [], "of which kind?"),
    ("nope", b"{}", [], "no kind goes on the topic"),
    ("jobs", b"{}", [("ce_dataschema", b"urn:wattlake:grid:1.0")], "does not go on this topic"),
    ("jobs", b"{}", [("ce_source", b"/wattlake"), ("ce_id", b"n1-boot-1")], "is not node/boot/seq"),
    ("jobs", b"{}", [("ce_time", b"2026-01-01T00:00:00")], "has no zone"),
    ("jobs", b"{}", [("ce_time", b"yesterday")], "is not RFC 3339"),
    ("jobs", b"[]", [("content-type", b"application/cloudevents-batch+json")], "send each as a message of its own"),
    ("jobs", b"[]", [("content-type", b"application/cloudevents+json")], "not a CloudEvent"),
    ("jobs", b'{"id":"1","source":"s","data_base64":"%"}', [("content-type", b"application/cloudevents+json")], "not a CloudEvent"),
    ("jobs", b'{"id":"1","source":"s"}', [("content-type", b"application/cloudevents+json")], "without data"),
    ("jobs", b" " * (4 * 2**20 + 1), [("content-type", b"application/cloudevents+json")], "over the limit"),
    ("jobs", b'{"id":"1","source":"s","data":' + b"[" * 200_000, [("content-type", b"application/cloudevents+json")], "not a CloudEvent"),
])
def test_what_is_no_record_is_told_why(topic: str, value: bytes | None, headers: list[tuple[str, bytes | None]], said: str) -> None:
    with pytest.raises(UnreadableError, match=said.replace("?", r"\?")):
        from_message(Place(topic, "g", 0, 0, 0), None, value, headers)


def test_every_kind_has_a_topic_under_the_prefix() -> None:
    assert {topic_of(kind, "test.") for kind in KINDS} == {f"test.{k.topic}" for k in KINDS.values()}
