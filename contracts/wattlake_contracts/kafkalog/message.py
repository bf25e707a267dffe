"""A record as a message of Kafka, and back: CloudEvents in binary mode, the record's identity in `ce_id`.

Others may write to the topics too. What has no identity of ours gets one that is the same each time the
message is read: by `source` and `id` where it is a CloudEvent, else by its place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

import msgspec

from wattlake_contracts.kafkalog.signature import HEADER as SIGNATURE
from wattlake_contracts.kind import VERSION
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import JSON, Meta, Record, control_character

Headers = Sequence[tuple[str, bytes | None]]
#: What `ce_dataschema` begins with; kind and version follow.
_SCHEMA = "urn:wattlake:"
_TYPE = "org.wattlake."
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
#: The version of CloudEvents that is understood, of which ours are too. Who tells none is taken to mean it.
SPEC = "1.0"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
#: What the boot begins with of a message that is not ours: known by its event's source and id, or by where it stands.
BY_EVENT, BY_PLACE = "ce-", "at-"
#: A structured CloudEvent of another writer: read as a whole before it is known to be one.
MAX_ENVELOPE_BYTES = 4 * 2**20
#: Longer ones are no names: they would be kept in memory as long as the reader runs.
MAX_HEADER_BYTES, MAX_NAME_BYTES = 64 * 1024, 1000
#: The headers of a record of ours, in their order.
OURS = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_dataschema", "ce_time", "content-type")
#: 9999-12-31, so that any time there is a date for can be told
_LATEST_MS = 253_402_300_799_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnreadableError(Exception):
    """A message that is no record: the reason, in words for `rejects`."""


@dataclass(frozen=True)
class Place:
    """Where a message stands. topic: without the prefix. generation: the topic's id, another one when it is made anew."""

    topic: str
    generation: str
    partition: int
    offset: int
    timestamp_ms: int


class _Envelope(msgspec.Struct):
    """A CloudEvent in structured mode."""

    id: str
    source: str
    specversion: str = SPEC
    type: str = ""
    dataschema: str = ""
    time: str = ""
    datacontenttype: str = JSON
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def topic_of(kind: str, prefix: str) -> str:
    """The topic that records of a kind go to; KeyError if there is no such kind."""
    return prefix + KINDS[kind].topic


def to_message(record: Record) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """(key, value, headers) of a record of ours."""
    meta = record.meta
    when = _EPOCH + timedelta(milliseconds=told_ms(record.appended_ms))
    return meta.node.encode(), bytes(record.payload), [
        ("ce_specversion", SPEC.encode()), ("ce_id", record.ce_id.encode()), ("ce_source", b"/wattlake"),
        ("ce_type", f"{_TYPE}{meta.kind}".encode()), ("ce_dataschema", f"{_SCHEMA}{meta.kind}:{meta.version}".encode()),
        ("ce_time", when.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()), ("content-type", meta.content_type.encode()),
    ]


def told_ms(appended_ms: int) -> int:
    """An append time as a message can tell it: there is no date before 1970 or after 9999."""
    return min(max(appended_ms, 0), _LATEST_MS)


def from_message(place: Place, key: bytes | None, value: bytes | None, headers: Headers) -> Record:
    """The record that a message is; UnreadableError if it is none, whatever its bytes are. A signature is not looked at."""
    value = checked(key, value)
    return ours(place, value, headers) or from_checked(place, key, value, headers)


def checked(key: bytes | None, value: bytes | None) -> bytes:
    """The value of a message that may be a record; UnreadableError if it is none, whatever its headers are."""
    if value is None:
        raise UnreadableError("a message without a value: nothing is deleted by its key here")
    if not value:
        raise UnreadableError("an empty message")
    if key is not None and len(key) > MAX_NAME_BYTES:
        raise UnreadableError(f"a key of {len(key)} bytes is over the limit of {MAX_NAME_BYTES}")
    return value


def ours(place: Place, value: bytes, headers: Headers) -> Record | None:
    """The record that a message is whose headers are as to_message makes them, without looking at each; None if they are not.

    But for the digits at the end of ce_id and for ce_time, what it gives follows from the topic and the headers alone.
    """
    if len(headers) != len(OURS):
        if len(headers) != len(OURS) + 1 or headers[-1][0] != SIGNATURE or len(headers[-1][1] or b"") > MAX_NAME_BYTES:
            return None
        headers = headers[:-1]
    spec, (id_name, ce_id), source, event_type, schema, (time_name, ce_time), content = headers
    if id_name != "ce_id" or time_name != "ce_time" or not ce_id or not ce_time or len(ce_id) > MAX_NAME_BYTES or len(ce_time) > MAX_NAME_BYTES:
        return None
    # what is long is not remembered
    if source[1] != b"/wattlake" or any(raw is None or len(raw) > MAX_NAME_BYTES for _, raw in (spec, event_type, schema, content)):
        return None
    writer, _, seq = ce_id.rpartition(b"/")
    if not seq.isdigit() or len(seq) > 18 or (meta := _meta_of_ours(place.topic, writer, spec, source, event_type, schema, content)) is None:
        return None
    return Record(meta, int(seq), instant_ms(ce_time.decode(errors="replace"), place.timestamp_ms), value)


@lru_cache(maxsize=1024)
def _meta_of_ours(topic: str, writer: bytes, *fixed: tuple[str, bytes]) -> Meta | None:
    """What all messages of a writer of ours and kind have in common; None if they are to be looked at one by one."""
    said = _texts(fixed)
    content_type = said.get("content-type", "")
    if tuple(name for name, _ in fixed) != (OURS[0], *OURS[2:5], OURS[6]) or said["ce_specversion"] != SPEC:
        return None
    if content_type.partition(";")[0].strip().lower() in {BATCH, STRUCTURED}:
        return None
    try:
        kind, version = _kind_and_version(said["ce_dataschema"], said["ce_type"], topic)
        node, boot, _ = _identity(writer.decode(errors="replace") + "/0")
    except UnreadableError:
        return None
    return Meta(kind, node, boot, version, content_type)


def from_checked(place: Place, key: bytes | None, value: bytes, headers: Headers) -> Record:
    """The record that any message is whose key and value are `checked`, looked at header by header; UnreadableError if it is none."""
    said = _texts(headers)
    content_type = said.get("content-type", JSON)
    plain_type = content_type.partition(";")[0].strip().lower()
    if plain_type == BATCH:
        raise UnreadableError(f"a batch of CloudEvents ({BATCH}); send each as a message of its own")
    if plain_type == STRUCTURED:
        return _structured(place, key, value)
    _refuse_other_spec(said.get("ce_specversion", SPEC))
    kind, version = _kind_and_version(said.get("ce_dataschema", ""), said.get("ce_type", ""), place.topic)
    appended_ms = instant_ms(said.get("ce_time", ""), place.timestamp_ms)
    ce_id = said.get("ce_id", "")
    if ce_id and said.get("ce_source") == "/wattlake":
        node, boot, seq = _identity(ce_id)
        return Record(Meta(kind, node, boot, version, content_type), seq, appended_ms, value)
    node, boot, seq = _foreign(place, key, said.get("ce_source", ""), ce_id)
    return Record(Meta(kind, node, boot, version, content_type), seq, appended_ms, value)


def _structured(place: Place, key: bytes | None, value: bytes) -> Record:
    if len(value) > MAX_ENVELOPE_BYTES:
        raise UnreadableError(f"a CloudEvent of {len(value)} bytes is over the limit of {MAX_ENVELOPE_BYTES}; send fewer rows at a time")
    try:
        event = _decode_envelope(value)
        payload = base64.b64decode(event.data_base64, validate=True) if event.data_base64 else bytes(event.data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, binascii.Error) as error:
        raise UnreadableError(f"not a CloudEvent: {'nested too deep' if isinstance(error, RecursionError) else error}") from error
    _refuse_other_spec(event.specversion)
    if not payload:
        raise UnreadableError("a CloudEvent without data")
    kind, version = _kind_and_version(event.dataschema, event.type, place.topic)
    node, boot, seq = _identity(event.id) if event.source == "/wattlake" else _foreign(place, key, event.source, event.id)
    return Record(Meta(kind, node, boot, version, event.datacontenttype), seq, instant_ms(event.time, place.timestamp_ms), payload)


def _refuse_other_spec(version: str) -> None:
    if version != SPEC:
        raise UnreadableError(f"a CloudEvent of specversion {version[:40]!r}, where {SPEC} is understood; send it as that")


def _texts(headers: Headers) -> Mapping[str, str]:
    """The headers by lower-case name; of two of one name the first."""
    if any(len(name) > MAX_NAME_BYTES or (raw is not None and len(raw) > MAX_HEADER_BYTES) for name, raw in headers):
        size, name = max((max(len(name), len(raw or b"")), name) for name, raw in headers)
        raise UnreadableError(f"the header {name[:100]!r} of {size} bytes is over the limit of {MAX_HEADER_BYTES} (its name: {MAX_NAME_BYTES})")
    return {name.lower(): _text(raw) for name, raw in reversed(headers) if raw is not None}


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _kind_and_version(schema: str, event_type: str, topic: str) -> tuple[str, str]:
    """By the schema, else by the event's type, else by the topic, where that holds one kind."""
    on_topic = [k.name for k in KINDS.values() if k.topic == topic]
    if schema.startswith(_SCHEMA):
        kind, _, version = schema.removeprefix(_SCHEMA).partition(":")
    else:
        named = event_type.rpartition(".")[2]
        # who says one of our types means it, also where it does not go here
        kind, version = named if named in on_topic or event_type.startswith(_TYPE) else "", VERSION
        if not kind and len(on_topic) == 1:
            kind = on_topic[0]
    if not kind:
        raise UnreadableError(f"of which kind? This topic holds {', '.join(on_topic)}: say so in ce_type, e.g. {_TYPE}{on_topic[0]}" if on_topic
                              else f"no kind goes on the topic {topic!r}")
    # one that a later version has: what becomes of it is decided where records are decoded
    if kind not in KINDS and _KIND.fullmatch(kind):
        return kind, version
    if kind not in on_topic:
        raise UnreadableError(f"kind {kind[:100]!r} does not go on this topic, which holds {', '.join(on_topic)}")
    return kind, version


def _identity(ce_id: str) -> tuple[str, str, int]:
    """node/boot/seq; a node's name may hold slashes."""
    parts = ce_id.rsplit("/", 2)
    if len(parts) != 3 or not all(parts) or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 18:
        raise UnreadableError(f"ce_id {ce_id[:200]!r} is not node/boot/seq")
    if len(ce_id.encode(errors="replace")) > MAX_NAME_BYTES:
        raise UnreadableError(f"ce_id {ce_id[:200]!r} is over the limit of {MAX_NAME_BYTES} bytes")
    _refuse_controls("ce_id", ce_id)
    if parts[1].startswith((BY_EVENT, BY_PLACE)):
        raise UnreadableError(f"ce_id {ce_id[:200]!r}: a boot that begins with {BY_EVENT} or {BY_PLACE} stands for what other programs send")
    return parts[0], parts[1], int(parts[2])


def _refuse_controls(what: str, text: str) -> None:
    if (at := control_character(text)) is not None:
        raise UnreadableError(f"the {what} {text[:200]!r} holds a control character at {at + 1}")


def _foreign(place: Place, key: bytes | None, source: str, ce_id: str) -> tuple[str, str, int]:
    """(node, boot, seq) of a message that is not ours: CloudEvents are known by source and id, others by where they stand."""
    name = (key or b"").decode(errors="replace")
    for what, text in (("key", name), ("ce_source", source), ("ce_id", ce_id)):
        _refuse_controls(what, text)
    node = name[:200] or source[:200] or "kafka"
    if source and ce_id:
        return node, BY_EVENT + sha256(f"{source}\0{ce_id}".encode(errors="replace")).hexdigest()[:24], 0
    return node, boot_of_place(place.generation, place.partition), place.offset


def boot_of_place(generation: str, partition: int) -> str:
    """The boot of what is known by where it stands: the same for all of a partition of a topic that was made once."""
    return BY_PLACE + sha256(f"{generation}/{partition}".encode()).hexdigest()[:24]


def instant_ms(text: str, otherwise_ms: int) -> int:
    """RFC 3339 as epoch ms; what Kafka says of the message where there is none."""
    if not text:
        return max(otherwise_ms, 0)
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise UnreadableError(f"time {text[:40]!r} has no zone")
        return max((when - _EPOCH) // timedelta(milliseconds=1), 0)
    except (ValueError, OverflowError) as error:
        raise UnreadableError(f"time {text[:40]!r} is not RFC 3339") from error
