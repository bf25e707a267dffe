"""Landing from Kafka: bounded ranges of offsets, read in the workers; where landing stands is kept in the lake, never in Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import crc32c

from wattlake_contracts.amount import amount
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import encode_meta
from wattlake_contracts.kafkalog.message import Place, UnreadableError, boot_of_place, from_message
from wattlake_contracts.kind import AHEAD_MS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.plain_words import plainly
from wattlake_contracts.record import Damage, Meta, Record, Stored
from wattlake_pipelines.land.kafka_consumer import consumer_for
from wattlake_pipelines.land.kafka_headers import Headers, Sealed, read_headers
from wattlake_pipelines.land.kafka_partition import KafkaPartition, highest_numbers
from wattlake_pipelines.land.kafka_topics import anyone_listens, away, extents, generations, leader_listens
from wattlake_pipelines.land.node_keys import NO_KEYS, NodeKeys
from wattlake_pipelines.land.share import Shares
from wattlake_pipelines.land.source import Measured, Withheld

#: A broker that gives nothing for so long has failed the range, and with it the round.
_PATIENCE_S = 60.0
#: After so long without an answer, and then again as often, it is asked whether a broker is there at all; one that elects a leader is, and is waited for.
_QUIET_S = 4.0
#: By then a partition whose leader has died has another one, or there is none that could lead it (brokers are given up after nine seconds).
_ELECTION_S = 12.0
#: A poll comes back with messages only; offsets that hold none are passed in silence, so it is looked so often how far it has come.
_POLL_MS = 500
_RAW_KEPT = 4096
#: A leader that has just been elected may not know its end yet.
_SETTLE_S = 2.0


class GapError(WattlakeError):
    """Records that were not landed are no longer there, or may not be."""


@dataclass(frozen=True)
class KafkaRange:
    """Offsets [start, end) of one partition of a topic. Where to connect to is told without secrets: the worker reads those itself.

    keys: what the records of some nodes must be signed with.
    """

    log: str
    servers: tuple[str, ...]
    config: KafkaConfig
    topic: str
    generation: str
    number: int
    start: int
    end: int
    gone: int = 0
    keys: NodeKeys = NO_KEYS
    bound_bytes: int = 0

    @property
    def partition(self) -> str:
        """The partition's name in the lake: a topic that is made anew is another one."""
        return KafkaPartition(self.topic, self.number, self.generation).name

    @property
    def place(self) -> str:
        """See Range."""
        return boot_of_place(self.generation, self.number)

    def with_keys(self, keys: NodeKeys) -> KafkaRange:
        """See Range."""
        return replace(self, keys=keys)

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
            if not anyone_listens(self.servers):
                raise away(KafkaLog(self.servers), error) from error
            raise WattlakeError(f"cannot be read: {plainly(error)}", subject=f"{here.topic} partition {self.number}",
                                next_step="see that the brokers are up, then run the same command again") from error

    def _messages(self, consumer: Any, here: Any) -> Iterator[Stored | Damage]:
        from wattlake_pipelines.land.kafka_batches import Refused, bounded

        stood, since = self.start, time.monotonic()
        asked = since
        headers = Headers()
        while (position := consumer.position(here)) < self.end:
            with bounded():
                found = consumer.poll(timeout_ms=_POLL_MS, max_records=2_000).get(here, ())
            if found or position != stood:
                stood, since = position, time.monotonic()
                asked = since
            elif time.monotonic() - asked > _QUIET_S:
                self._give_up_if_hopeless(time.monotonic() - since, position)
                asked = time.monotonic()
            for message in found:
                if isinstance(message.value, Refused):
                    # of a batch that other ranges have a part of, each tells its own
                    first, last = max(message.value.first, self.start), min(message.offset, self.end - 1)
                    if first <= last:
                        yield Damage(first, last - first + 1, "", 0, f"offsets {first} to {last}: {message.value.reason}", message.value.raw, lost=False)
                    continue
                if message.offset >= self.end:
                    return
                yield _stored(Place(self.topic, self.generation, self.number, message.offset, message.timestamp or 0), message, self.keys, headers)

    def _give_up_if_hopeless(self, silent_s: float, position: int) -> None:
        """WattlakeError if the brokers are away, or the partition's leader is, for good; the next round goes on without what has no leader."""
        log, subject = KafkaLog(self.servers), f"{self.config.prefix}{self.topic} partition {self.number}"
        if not anyone_listens(self.servers):
            raise away(log)
        if silent_s > _PATIENCE_S:
            raise WattlakeError(f"no answer for {_PATIENCE_S:g} s at offset {position}", subject=subject,
                                next_step="see that the brokers are up, then run the same command again")
        if silent_s <= _ELECTION_S:
            return
        try:
            led = leader_listens(log, self.config, self.topic, self.number)
        except WattlakeError:
            # frozen brokers cannot say, and may go on yet
            return
        if not led:
            raise WattlakeError(f"no broker that leads it answers any more, since offset {position}", subject=subject,
                                next_step="run the same command again: all others are landed without it")


def _stored(place: Place, message: Any, keys: NodeKeys, headers: Headers) -> Stored | Damage:
    try:
        record, signed_with = _record(place, message, keys, headers)
        if keys:
            keys.check(record, signed_with)
        # who writes says when that was, and what its rows tell of is held against it: the brokers' clock bounds that
        if 0 < place.timestamp_ms < record.appended_ms - AHEAD_MS:
            record = replace(record, appended_ms=place.timestamp_ms)
    except UnreadableError as error:
        return Damage(place.offset, 1, "", 0, str(error), _first_bytes(message.value), lost=False)
    return Stored(place.offset, record, 0, crc32c.crc32c(record.payload, _crc_of(record.meta)))


def _record(place: Place, message: Any, keys: NodeKeys, headers: Headers) -> tuple[Record, Sequence[tuple[str, bytes | None]]]:
    """(the record that a message is, its headers where a signature is asked for)."""
    if isinstance(message.value, Sealed):
        record = headers.record(place, message.key, message.value)
        return record, read_headers(message.value.headers)[0] if keys else ()
    # of a format before Kafka 0.11, read by kafka-python's own class
    return from_message(place, message.key, message.value, message.headers or ()), message.headers or ()


def _first_bytes(value: Sealed | bytes | None) -> bytes:
    return bytes((value.value if isinstance(value, Sealed) else value) or b"")[:_RAW_KEPT]


@lru_cache(maxsize=1024)
def _crc_of(meta: Meta) -> int:
    """What a record's checksum begins with: writers are few."""
    return int(crc32c.crc32c(encode_meta(meta)))


class KafkaSource:
    """The topics of a log on Kafka. accept_gap: land what is left of a partition that has lost records before they were landed.

    WattlakeError if the brokers do not answer or hold none of the topics that may be read.
    """

    def __init__(self, log: KafkaLog, config: KafkaConfig, *, accept_gap: bool = False) -> None:
        self._log, self._config, self._accept_gap = log, config, accept_gap
        self._held = extents(log, config)
        self._shares = Shares()

    @property
    def identity(self) -> str:
        """The name under which its positions are kept: the same by whichever broker it is reached."""
        return f"kafka:{self._held.cluster}"

    @property
    def withheld(self) -> Sequence[Withheld]:
        """See Source."""
        return self._held.withheld

    def ends(self) -> dict[str, int]:
        """See Source."""
        return {where.partition: where.end for where in self._look()}

    def _look(self) -> list[KafkaRange]:
        """All that each partition holds now."""
        self._held = extents(self._log, self._config)
        return [KafkaRange(self.identity, self._log.servers, self._config, e.topic, e.generation, e.number, e.first, e.end) for e in self._held.extents]

    def confirm(self, ranges: Sequence[KafkaRange]) -> None:
        """See Source: brokers are asked for a topic by its name, and it may have been made anew since the ranges were planned."""
        planned = {where.topic: where.generation for where in ranges}
        now = generations(self._log, self._config, sorted(planned))
        for topic, generation in planned.items():
            if now.get(topic) != generation:
                raise WattlakeError("the topic was deleted or made anew while it was read; nothing of it was landed", subject=self._config.prefix + topic,
                                    next_step="run the same command again")

    def learn(self, measured: Sequence[Measured]) -> None:
        """See Source."""
        self._shares.learn(measured)

    def plan(self, positions: Mapping[str, int], max_bytes: int, pieces: int = 1, upto: Mapping[str, int] | None = None) -> list[KafkaRange]:
        """See Source. GapError if records went before they were landed, or may have, unless that is accepted."""
        held = self._look()
        if any(positions.get(whole.partition, 0) > whole.end for whole in held):
            time.sleep(_SETTLE_S)
            held = self._look()
        waiting = []
        booked = highest_numbers(positions)
        for whole in held:
            position = positions.get(whole.partition, _begins(whole, booked))
            start = min(max(whole.start, position), whole.end)
            if start != position and not self._accept_gap:
                raise _gap(whole, position)
            end = whole.end if upto is None else min(whole.end, upto.get(whole.partition, 0))
            waiting.append(replace(whole, start=start, end=max(start, end), gone=start - position))
        found = [KafkaRange(self.identity, self._log.servers, self._config, added.topic, added.generation, added.number, 0, 0)
                 for added in self._held.unled if added.number > booked.get((added.topic, added.generation), added.number)]
        for part, records in zip(waiting, self._shares.divide(max_bytes, [(part.topic, part.end - part.start) for part in waiting]), strict=True):
            # one of which nothing is taken yet is booked too: what it drops before it is landed for the first time is a gap then
            if records or part.gone or part.partition not in positions:
                found += _cut(replace(part, end=part.start + records), pieces)
        bounds = self._shares.bounds(max_bytes, [(part.topic, part.end - part.start) for part in found])
        return [replace(part, bound_bytes=bound) for part, bound in zip(found, bounds, strict=True)]


def _begins(whole: KafkaRange, booked: Mapping[tuple[str, str], int]) -> int:
    """The offset at which a partition is expected to begin that has no position yet. booked: highest_numbers of those that have one.

    The first round that lands from a topic books all its partitions, empty ones too, but those without a leader. So one with a number above
    all that are booked is taken to have been added since, and its first record is this lake's. (The last partition of a topic, if it had
    no leader in the first round, looks the same: what it has dropped is told rather than passed over.) One with a number below may have been
    there and had no leader: as in a topic that is new to the lake, what it dropped before anyone landed from it was never this lake's. (Added ones
    without a leader are booked in the round that first sees them, at 0: by then a higher number may be.)
    """
    highest = booked.get((whole.topic, whole.generation))
    return 0 if highest is not None and whole.number > highest else whole.start


def _gap(whole: KafkaRange, position: int) -> GapError:
    """What is told where a partition does not hold what comes next."""
    subject = f"{whole.config.prefix}{whole.topic} partition {whole.number}"
    if position < whole.start:
        return GapError(f"offsets {position} to {whole.start} ({amount(whole.start - position, 'record')}) are gone: the topic dropped them before they "
                        "were landed", subject=subject,
                        next_step="land what is left with --accept-gap, which records the gap in rejects; then give the topic more retention")
    return GapError(f"it ends at offset {whole.end}, and was landed up to {position} already: it has lost its end, and what came since may stand where "
                    "other records were", subject=subject,
                    next_step=f"find out what it lost (a broker restored from an older copy, a leader that lacked the latest records); then go on from offset "
                              f"{whole.end} with --accept-gap, which records that in rejects")


def _cut(whole: KafkaRange, pieces: int) -> list[KafkaRange]:
    step = max(1, -(-(whole.end - whole.start) // pieces))
    return [replace(whole, start=at, end=min(at + step, whole.end), gone=whole.gone if at == whole.start else 0)
            for at in range(whole.start, max(whole.end, whole.start + 1), step)]
