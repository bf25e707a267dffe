"""One producer after another, and what the one of now has on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import NamedTuple

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.message import to_message
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kafkalog.security import fingerprint
from wattlake_contracts.kafkalog.signing import Signer, signer_of
from wattlake_contracts.kafkalog.wording import said
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Stored

_FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
#: Brokers that are well acknowledge a record sooner.
LONG_S = 5.0


class Heard(NamedTuple):
    """What became of a record. topic: that it was sent to. error: None if it is acknowledged. late: of a producer that was given up."""

    lane: Lane
    offset: int
    topic: str
    error: BaseException | None
    late: bool


class Link:
    """To the brokers. All is done by one thread; what a producer says in its own waits until it is heard, and `told` is called for it.

    in_flight_bytes: sent by the producer of now and not acknowledged. last_retry_s: the longest wait between two tries.
    """

    def __init__(self, log: KafkaLog, config: KafkaConfig, make: Callable[[KafkaLog, KafkaConfig], Producer], told: Callable[[], None],
                 last_retry_s: float = LAST_RETRY_S) -> None:
        self.log, self.config = log, config
        self.in_flight_bytes = 0
        #: when the next may be made
        self.retry_at = 0.0
        self._retry_s, self._last_retry_s = _FIRST_RETRY_S, last_retry_s
        self._make, self._told = make, told
        self._producer: Producer | None = None
        self._fingerprint: tuple[object, ...] = ()
        self._signer: Signer | None = None
        self._generation = 0
        self._outcomes: SimpleQueue[tuple[int, Lane, int, str, int, BaseException | None]] = SimpleQueue()
        #: (generation, partition, offset) → (size, when sent, topic), oldest first
        self._in_flight: dict[tuple[int, str, int], tuple[int, float, str]] = {}
        #: when each topic last acknowledged a record
        self._heard_at: dict[str, float] = {}
        #: when it last acknowledged what it had had for long: until then the brokers' silence was not that of a topic
        self._answers_since = 0.0

    @property
    def up(self) -> bool:
        """Whether there is a producer."""
        return self._producer is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._in_flight

    @property
    def renewed(self) -> bool:
        """Whether a certificate, key or password is another than the producer was made with."""
        return fingerprint(self.config) != self._fingerprint

    def silent_s(self, now: float) -> float:
        """How long nothing has been acknowledged though something was on its way; 0 if nothing is."""
        oldest = next(iter(self._in_flight.values()), None)
        # a link that is slow has old records on its way too, and is no better for being made anew
        return now - max((oldest[1], *self._heard_at.values())) if oldest is not None else 0.0

    def silent_topics(self, now: float, longer_s: float) -> list[str]:
        """Those that have acknowledged nothing for longer, though they have had a record for as long and the brokers are not slow, or were frozen."""
        sent: dict[str, float] = {}
        for _, sent_at, topic in self._in_flight.values():
            sent.setdefault(topic, sent_at)
        return [topic for topic, sent_at in sent.items() if now - max(sent_at, self._heard_at.get(topic, 0.0), self._answers_since) > longer_s]

    def fault(self, topic: str) -> BaseException | None:
        """What the brokers say is wrong with a topic; None if nothing, or they say nothing."""
        return self._producer.fault(topic) if self._producer is not None else None

    def connect(self, now: float) -> str:
        """Make a producer; why there is none, '' if there is."""
        try:
            self._fingerprint = fingerprint(self.config)
            self._signer = signer_of(self.config)
            self._producer = self._make(self.log, self.config)
        except Exception as error:  # kafka-python raises its own, ssl's and OSErrors here; what cannot be reached now is tried again
            self.later(now)
            return said(error)
        return ""

    def later(self, now: float) -> None:
        """Wait before the next try, each time longer until `works`."""
        self.retry_at = now + self._retry_s
        self._retry_s = min(self._retry_s * 2, self._last_retry_s)

    def works(self) -> None:
        """The brokers take records."""
        self._retry_s = _FIRST_RETRY_S

    def close(self) -> None:
        """Give the producer up. What it has had acknowledged until now can still be heard."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def forget(self) -> None:
        """Nothing is on its way any more; what the producer says from now on is late."""
        self._generation += 1
        self._in_flight.clear()
        self._heard_at.clear()
        self.in_flight_bytes = 0

    def hear(self) -> Iterator[Heard]:
        """What has become of records since."""
        while True:
            try:
                generation, lane, offset, topic, size, error = self._outcomes.get_nowait()
            except Empty:
                return
            late = generation != self._generation
            if not late:
                sent = self._in_flight.pop((generation, lane.partition, offset), None)
                self.in_flight_bytes -= size
                if error is None:
                    now = self._heard_at[topic] = time.monotonic()
                    if sent is not None and now - sent[1] > LONG_S:
                        self._answers_since = now
            yield Heard(lane, offset, topic, error, late)

    def send(self, topic: str, lane: Lane, stored: Stored, now: float) -> bool:
        """Hand a record to the producer; False if it does not take it, and why is heard."""
        assert self._producer is not None
        key, value, headers = to_message(stored.record)
        if self._signer is not None:
            headers.append(self._signer.header(stored.record))
        size, generation, offset = len(value), self._generation, stored.offset

        def outcome(error: BaseException | None) -> None:
            self._outcomes.put((generation, lane, offset, topic, size, error))
            self._told()

        self._in_flight[generation, lane.partition, offset] = (size, now, topic)
        self.in_flight_bytes += size
        try:
            self._producer.send(topic, key, value, headers, outcome)
        except Exception as error:  # kafka-python raises here what it knows at once: no such topic, too large, no metadata
            self._outcomes.put((generation, lane, offset, topic, size, error))
            return False
        return True
