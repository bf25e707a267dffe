"""The records of a log on Kafka, read without a group: nothing is remembered there of who has read what."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from wattlake_agents.log.brokers import Brokers, Topic
from wattlake_agents.log.entry import Entry, entry_of
from wattlake_agents.log.payload import PayloadReader
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kafkalog.signature import signature_of
from wattlake_contracts.kafkalog.signing import public_text
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.options import say

_PATIENCE_S = 30.0
_POLL_MS = 500
#: How often a log that is followed is asked for new partitions.
_LOOK_S = 10.0


class KafkaEntries:
    """A log on Kafka. topic: only that one (without prefix). partition: only that number of it. rows: shown of each record.

    WattlakeError if there is no topic, or none that this principal may read: Kafka would only say nothing then.
    """

    def __init__(self, cluster: Brokers, log: KafkaLog, config: KafkaConfig, topic: str | None, partition: int | None, rows: int) -> None:
        self._cluster, self._log, self._config, self._topic, self._partition, self._rows = cluster, log, config, topic, partition, rows
        self._topics = {t.name: t for t in self._readable()}
        self._reader: Any = None
        self._payloads = PayloadReader()
        self._ends: dict[tuple[str, int], int] = {}

    def _readable(self) -> list[Topic]:
        asked = [self._config.prefix + t for t in TOPICS if self._topic in (None, t)]
        there = [t for t in self._cluster.topics(asked) if t.there]
        if not there:
            raise WattlakeError(f"there is no topic {asked[0]}" + (" or any other of Wattlake's" if len(asked) > 1 else ""), subject=str(self._log),
                                next_step="make them with `wattlake log init`, or see `wattlake doctor` for what this principal may see")
        readable = [t for t in there if "READ" in t.rights]
        closed = [t.name for t in there if "READ" not in t.rights]
        if not readable:
            raise WattlakeError(f"this principal may not read {', '.join(closed)}", subject=str(self._log), next_step="grant it READ, or use another principal")
        if closed:
            say(f"left out, as this principal may not read them: {', '.join(closed)}")
        return readable

    def _spans(self) -> dict[tuple[str, int], tuple[int, int]]:
        found = {place: span for place, span in self._cluster.offsets(list(self._topics.values())).items() if self._partition in (None, place[1])}
        if not found:
            raise UsageError(f"there is no partition {self._partition}" if self._partition is not None else "no partition has a leader", subject=str(self._log),
                             next_step="`wattlake log status --by-partition` lists them")
        return found

    def all(self, start: int | None) -> Iterator[Entry]:
        """Everything from an offset on, partition by partition."""
        for place, (first, end) in sorted(self._spans().items()):
            yield from self._read({place: (max(first, start or 0), end)})

    def ends(self) -> dict[str, int]:
        """Where each partition ends: the offset that its next record will have."""
        return {f"{topic.removeprefix(self._config.prefix)}/{number}": end for (topic, number), (_, end) in sorted(self._spans().items())}

    def last(self, count: int) -> list[Entry]:
        """The last records of all partitions together, by the brokers' time; remembers where that was, for `coming`."""
        spans = self._spans()
        self._ends = {place: end for place, (_, end) in spans.items()}
        found = list(self._read({place: (max(first, end - count), end) for place, (first, end) in spans.items()})) if count else []
        return sorted(found, key=lambda e: e.order)[-count:] if count else []

    def coming(self) -> Iterator[Entry | None]:
        """What is written after `last`, in new partitions too; None each time all of it was given."""
        reader = self._assign(self._ends)
        looked = time.monotonic()
        while True:
            for messages in reader.poll(timeout_ms=_POLL_MS, max_records=500).values():
                for message in messages:
                    yield self._entry(message)
                    self._ends[message.topic, message.partition] = message.offset + 1
            yield None
            if time.monotonic() > looked + _LOOK_S:
                looked = time.monotonic()
                if fresh := self._fresh():
                    self._ends |= dict.fromkeys(fresh, 0)
                    reader = self._assign(self._ends)

    def _fresh(self) -> list[tuple[str, int]]:
        """Partitions that came since."""
        try:
            self._topics = {t.name: t for t in self._readable()}
            return [place for place in self._spans() if place not in self._ends]
        except WattlakeError:
            return []  # brokers that are away come back, and are asked again

    def _read(self, spans: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[Entry]:
        from kafka import TopicPartition

        left = {TopicPartition(*place): end for place, (start, end) in spans.items() if start < end}
        reader = self._assign({place: start for place, (start, end) in spans.items() if start < end})
        heard = time.monotonic()
        while left:
            for messages in reader.poll(timeout_ms=_POLL_MS, max_records=500).values():
                heard = time.monotonic()
                for message in messages:
                    if message.offset < spans[message.topic, message.partition][1]:
                        yield self._entry(message)
            # by its position, for the last offsets of a partition may hold no message
            for here in [h for h, end in left.items() if reader.position(h) >= end]:
                del left[here]
                reader.pause(here)
            if left and time.monotonic() > heard + _PATIENCE_S:
                raise WattlakeError(f"no answer for {_PATIENCE_S:g} s", subject=", ".join(f"{h.topic}/{h.partition}" for h in left)[:200],
                                    next_step="see `wattlake log status` and `wattlake doctor`")

    def _assign(self, starts: Mapping[tuple[str, int], int]) -> Any:
        from kafka import KafkaConsumer, TopicPartition

        if self._reader is None:
            # what is deleted while it is read is passed over
            self._reader = KafkaConsumer(**connection(self._log, self._config), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
                                         isolation_level="read_committed", max_poll_records=500, metrics_enabled=False)
        self._reader.assign([TopicPartition(*place) for place in starts])
        for place, start in starts.items():
            self._reader.resume(TopicPartition(*place))
            self._reader.seek(TopicPartition(*place), start)
        return self._reader

    def _entry(self, message: Any) -> Entry:
        name = message.topic.removeprefix(self._config.prefix)
        # a topic that takes the writers' times is told none by an agent
        where, logged_ms = f"{name}/{message.partition}", message.timestamp if (message.timestamp or 0) > 0 else None
        place = Place(name, self._topics[message.topic].generation, message.partition, message.offset, logged_ms or 0)
        try:
            record = from_message(place, message.key, message.value, message.headers or ())
        except UnreadableError as error:
            return Entry(where, message.offset, logged_ms or 0, len(message.value or b""), logged_ms, reason=str(error))
        entry = entry_of(where, message.offset, record, self._payloads, self._rows, logged_ms)
        if (signature := signature_of(message.headers or ())) is not None:
            entry.signed_with = public_text(signature[0])
        return entry

    def close(self) -> None:
        """Give the connection up."""
        self._payloads.close()
        if self._reader is not None:
            self._reader.close()
