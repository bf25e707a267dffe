"""Records as messages of Kafka, and what others write there."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_contracts.kafkalog import message
from wattlake_contracts.kafkalog.message import BATCH, STRUCTURED, Place, UnreadableError, from_message, to_message, topic_of
from wattlake_contracts.kafkalog.signature import HEADER as SIGNATURE
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import JSON, Meta, Record

PLACE = Place("jobs", "6f9619ff-8b86-d011-b42d-00c04fc964ff", 3, 17, 1_750_000_000_123)
#: without control characters
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(node=texts, boot=texts.filter(lambda t: "/" not in t and not t.startswith(("ce-", "at-"))), seq=st.integers(0, 2**53),
       kind=st.sampled_from(sorted(KINDS)), appended_ms=st.integers(0, 253_402_300_799_999), payload=st.binary(min_size=1, max_size=50))
@settings(max_examples=examples(300), deadline=None)
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
@settings(max_examples=examples(1000), deadline=None)
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


def outcome(read: Callable[[], Record]) -> Record | str:
    try:
        return read()
    except UnreadableError as error:
        return str(error)


@given(name=texts, boot=texts, seq=st.integers(0, 10**19), kind=st.sampled_from(["jobs", "grid", "readings"]), ce_id=st.none() | st.binary(max_size=12),
       changes=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1]), st.sampled_from([
           None, b"", b"x", b"/wattlake", b"a/b/1", b"/b/1", b"a/b/-1", b"a/b/\xc2\xb9", b"\xff/b/\xe2\x82/1", b"n" * 999 + b"/b/1", b"a" * 65_537,
           STRUCTURED.encode(), BATCH.encode(), b"Application/CloudEvents+JSON; x", b"urn:wattlake:grid:2.0", b"urn:wattlake:", b"2026-01-01T00:00:00",
           b"2026-01-01T00:00:00+02:00", b"\xff"])), max_size=2),
       order=st.sampled_from([None, (0, 5), (1, 5), (3, 4), (2, -1)]), signature=st.sampled_from([b"", None, b"s" * 96, b"s", b"s" * 65_537]))
@settings(max_examples=examples(3000), deadline=None)
def test_what_is_read_at_a_glance_is_what_is_read_header_by_header(name: str, boot: str, seq: int, kind: str, ce_id: bytes | None,
                                                                   changes: list[tuple[int, int, bytes | None]], order: tuple[int, int] | None,
                                                                   signature: bytes | None) -> None:
    headers: list[tuple[str, bytes | None]] = [*to_message(Record(Meta(kind, name, boot), seq, 1_750_000_000_123, b"x"))[2]]
    for at, whole, raw in changes:
        headers[at] = ("CE_ID" if whole else headers[at][0], raw)
    if ce_id is not None:
        headers[1] = ("ce_id", ce_id)
    if signature != b"":
        headers.append((SIGNATURE, signature))
    if order is not None:
        headers[order[0]], headers[order[1]] = headers[order[1]], headers[order[0]]
    glance, each = (outcome(lambda: read(PLACE, b"k", b"x", headers)) for read in (from_message, message.from_checked))  # noqa: B023
    assert glance == each


@pytest.mark.parametrize(("key", "headers", "why"), [
    (b"k" * 1001, [], "a key of 1001 bytes"),
    (b"k", [("x", b"v" * 65_537)], "the header 'x' of 65537 bytes"),
    (b"k", [("n" * 1001, b"v")], "the header 'n+' of 1001 bytes"),
    (b"k", [("ce_source", b"/wattlake"), ("ce_id", b"n" * 1000 + b"/b/1")], "over the limit of 1000 bytes"),
])
def test_names_and_headers_without_measure_are_no_record(key: bytes, headers: list[tuple[str, bytes | None]], why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        from_message(PLACE, key, b"x", headers)


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
    ("jobs", b"{}", [("ce_type", b"org.wattlake.grid")], "does not go on this topic"),
    ("jobs", b"{}", [("ce_source", b"/wattlake"), ("ce_id", b"n1-boot-1")], "is not node/boot/seq"),
    ("jobs", b"{}", [("ce_source", b"/wattlake"), ("ce_id", b"n1\0/boot/1")], "the ce_id 'n1.x00/boot/1' holds a control character at 3"),
    ("jobs", b"{}", [("ce_source", b"/wattlake"), ("ce_id", b"n1/ce-1/0")], "stands for what other programs send"),
    ("jobs", b"{}", [("ce_source", b"//a\nb"), ("ce_id", b"1")], "the ce_source .* holds a control character at 4"),
    ("jobs", b'{"id":"1\\u0000","source":"s","data":{}}', [("content-type", b"application/cloudevents+json")], "the ce_id .* holds a control character"),
    ("jobs", b"{}", [("ce_time", b"2026-01-01T00:00:00")], "has no zone"),
    ("jobs", b"{}", [("ce_time", b"yesterday")], "is not RFC 3339"),
    ("jobs", b"{}", [("ce_specversion", b"9.9")], "specversion '9.9', where 1.0 is understood"),
    ("jobs", b"{}", [("CE_SpecVersion", b"")], "specversion '', where 1.0 is understood"),
    ("jobs", b'{"specversion":"0.3","id":"1","source":"s","data":{}}', [("content-type", b"application/cloudevents+json")],
     "specversion '0.3', where 1.0 is understood"),
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


def test_a_record_with_the_headers_of_ours_is_one_in_their_version_only() -> None:
    key, value, headers = to_message(Record(Meta("jobs", "n1", "b", "1.0", JSON), 1, 5, b"{}"))
    assert from_message(PLACE, key, value, headers).ce_id == "n1/b/1"
    with pytest.raises(UnreadableError, match=r"specversion '1.1', where 1.0 is understood"):
        from_message(PLACE, key, value, [("ce_specversion", b"1.1"), *headers[1:]])


def test_every_kind_has_a_topic_under_the_prefix() -> None:
    assert {topic_of(kind, "test.") for kind in KINDS} == {f"test.{k.topic}" for k in KINDS.values()}


def test_a_key_with_a_nul_is_told() -> None:
    with pytest.raises(UnreadableError, match=r"the key .* holds a control character at 2"):
        from_message(PLACE, b"k\0", b"{}", [])
