"""Landing from Kafka: bounded ranges of offsets, read in the workers; where landing stands is kept in the lake, never in Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import crc32c

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import encode_meta
from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Damage, Meta, Record, Stored
from wattlake_pipelines.land.kafka_consumer import consumer_for

#: The brokers do not say how large a stretch of offsets is; a record of a minute's readings of a node is about so large.
_RECORD_BYTES = 8 * 1024
#: A broker that gives nothing for so long has failed the range, and with it the round.
_PATIENCE_S = 60.0
#: A poll comes back with messages only; offsets that hold none are passed in silence, so it is looked so often how far it has come.
_POLL_MS = 500
_RAW_KEPT = 4096
#: Kafka's code for a topic that one may not even look at.
_DENIED = 29


class GapError(WattlakeError):
    """Records that were not landed are no longer there."""


@dataclass(frozen=True)
class KafkaRange:
    """Offsets [start, end) of one partition of a topic. Where to connect to is told without secrets: the worker reads those itself."""

    log: str
    servers: tuple[str, ...]
    config: KafkaConfig
    topic: str
    generation: str
    number: int
    start: int
    end: int
    gone: int = 0

    @property
    def partition(self) -> str:
        """The partition's name in the lake: a topic that is made anew is another one."""
        return f"{self.topic}/{self.number}@{self.generation}"

    def read(self) -> Iterator[Stored | Damage]:
        """What is in it, in order. Offsets without a message (transactions, compaction) hold nothing."""
        from kafka import TopicPartition
        from kafka.errors import KafkaError

        here = TopicPartition(self.config.prefix + self.topic, self.number)
        try:
            with consumer_for(self.servers, self.config) as consumer:
                consumer.assign([here])
                consumer.seek(here, self.start)
                yield from self._messages(consumer, here)
        except KafkaError as error:
            raise WattlakeError(f"cannot be read: {error or type(error).__name__}", subject=f"{here.topic} partition {self.number}",
                                next_step="see that the brokers are up, then run the same command again") from error

    def _messages(self, consumer: Any, here: Any) -> Iterator[Stored | Damage]:
        stood, since = self.start, time.monotonic()
        while (position := consumer.position(here)) < self.end:
            found = consumer.poll(timeout_ms=_POLL_MS, max_records=2_000).get(here, ())
            if found or position != stood:
                stood, since = position, time.monotonic()
            elif time.monotonic() - since > _PATIENCE_S:
                raise WattlakeError(f"no answer for {_PATIENCE_S:g} s at offset {position}", subject=f"{here.topic} partition {self.number}",
                                    next_step="see that the brokers are up, then run the same command again")
            for message in found:
                if message.offset >= self.end:
                    return
                yield _stored(Place(self.topic, self.generation, self.number, message.offset, message.timestamp or 0), message)


def _stored(place: Place, message: Any) -> Stored | Damage:
    try:
        record: Record = from_message(place, message.key, message.value, message.headers or ())
    except UnreadableError as error:
        return Damage(place.offset, 1, "", 0, str(error), bytes(message.value or b"")[:_RAW_KEPT], lost=False)
    return Stored(place.offset, record, 0, crc32c.crc32c(record.payload, _crc_of(record.meta)))


@lru_cache(maxsize=1024)
def _crc_of(meta: Meta) -> int:
    """What a record's checksum begins with: writers are few."""
    return int(crc32c.crc32c(encode_meta(meta)))


class KafkaSource:
    """The topics of a log on Kafka. accept_gap: land what is left of a partition that has dropped records before they were landed.

    WattlakeError if the brokers do not answer or hold none of the topics.
    """

    def __init__(self, log: KafkaLog, config: KafkaConfig, *, accept_gap: bool = False) -> None:
        self._log, self._config, self._accept_gap = log, config, accept_gap
        self._cluster, held = extents(log, config)
        if not held:
            raise WattlakeError(f"there is no topic {config.prefix}{TOPICS[0]} or any other of Wattlake's", subject=str(log),
                                next_step="make them with `wattlake log init`")

    @property
    def identity(self) -> str:
        """The name under which its positions are kept: the same by whichever broker it is reached."""
        return f"kafka:{self._cluster}"

    def ends(self) -> dict[str, int]:
        """See Source."""
        return {self._whole(extent).partition: extent.end for extent in extents(self._log, self._config)[1]}

    def _whole(self, extent: Extent) -> KafkaRange:
        return KafkaRange(self.identity, self._log.servers, self._config, extent.topic, extent.generation, extent.number, extent.first, extent.end)

    def plan(self, positions: Mapping[str, int], max_bytes: int, pieces: int = 1, upto: Mapping[str, int] | None = None) -> list[KafkaRange]:
        """See Source. GapError if records went before they were landed, unless that is accepted."""
        self._cluster, held = extents(self._log, self._config)
        found: list[KafkaRange] = []
        left = max(1, max_bytes // _RECORD_BYTES)
        for extent in held:
            where = self._whole(extent)
            position = positions.get(where.partition)
            # what a partition dropped before anyone landed from it was never this lake's
            gone = 0 if position is None else max(0, extent.first - position)
            if gone and not self._accept_gap:
                raise GapError(f"offsets {position} to {extent.first} ({gone} records) are gone: the topic dropped them before they were landed",
                               subject=f"{self._config.prefix}{extent.topic} partition {extent.number}",
                               next_step="land what is left with --accept-gap, which records the gap in rejects; then give the topic more retention")
            start = extent.first if position is None else max(extent.first, position)
            here = extent.end if upto is None else min(extent.end, upto.get(where.partition, 0))
            end = max(start, min(here, start + left))
            if end > start or gone:
                found += _cut(replace(where, start=start, end=end, gone=gone), pieces)
                left -= end - start
            if left <= 0:
                break
        return found


def _cut(whole: KafkaRange, pieces: int) -> list[KafkaRange]:
    step = max(1, -(-(whole.end - whole.start) // pieces))
    return [replace(whole, start=at, end=min(at + step, whole.end), gone=whole.gone if at == whole.start else 0)
            for at in range(whole.start, max(whole.end, whole.start + 1), step)]


@dataclass(frozen=True)
class Extent:
    """What a partition of a topic holds: offsets [first, end). topic: without prefix. generation: the topic's id."""

    topic: str
    generation: str
    number: int
    first: int
    end: int


def extents(log: KafkaLog, config: KafkaConfig) -> tuple[str, list[Extent]]:
    """(the cluster's id, the partitions of the topics that are there). WattlakeError if no broker answers.

    Messages of a transaction that is still open, and all after them, are not there yet.
    """
    from kafka import KafkaAdminClient, TopicPartition
    from kafka.admin import OffsetSpec
    from kafka.errors import KafkaError, TopicAuthorizationFailedError

    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        admin = KafkaAdminClient(**connection(log, config))
    except KafkaError as error:
        raise _away(log, error) from error
    try:
        cluster = str(admin.describe_cluster()["cluster_id"])
        described = admin.describe_topics([config.prefix + t for t in TOPICS])
        # who may see a topic and not read it would wait for messages that never come
        if denied := [t["name"] for t in described if t.get("error_code") == _DENIED or (not t.get("error_code") and not _readable(t))]:
            raise TopicAuthorizationFailedError(", ".join(denied))
        known = {t["name"].removeprefix(config.prefix): t for t in described if not t.get("error_code")}
        places = {TopicPartition(config.prefix + name, p["partition_index"]): (name, str(topic["topic_id"]))
                  for name, topic in known.items() for p in topic["partitions"]}
        first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), isolation_level="read_committed")
    except KafkaError as error:
        raise _away(log, error) from error
    finally:
        admin.close()
    return cluster, [Extent(*places[place], place.partition, first[place].offset, last[place].offset) for place in sorted(places)]


def _readable(topic: Mapping[str, Any]) -> bool:
    """Whether this principal may read it; so it is where the brokers do not say."""
    rights = topic.get("authorized_operations")
    return not rights or "READ" in rights


def _away(log: KafkaLog, error: Exception) -> WattlakeError:
    from kafka.errors import AuthorizationError

    if isinstance(error, AuthorizationError):
        return WattlakeError(f"may not be read: {error or type(error).__name__}", subject=str(log),
                             next_step="grant READ and DESCRIBE on the topics to the principal that lands")
    return WattlakeError(f"no broker answers: {str(error) or type(error).__name__}", subject=str(log),
                         next_step="see that they are up, and that address, certificates and password are right")
