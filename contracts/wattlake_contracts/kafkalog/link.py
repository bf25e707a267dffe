"""One producer after another, and what the one of now has on its way."""

from __future__ import annotations

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

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 15.0


class Heard(NamedTuple):
    """What became of a record. error: None if it is acknowledged. late: of a producer that was given up."""

    lane: Lane
    offset: int
    error: BaseException | None
    late: bool


class Link:
    """To the brokers. All is done by one thread; what a producer says in its own waits until it is heard, and `told` is called for it.

    in_flight_bytes: sent by the producer of now and not acknowledged.
    """

    def __init__(self, log: KafkaLog, config: KafkaConfig, make: Callable[[KafkaLog, KafkaConfig], Producer], told: Callable[[], None]) -> None:
        self.log, self.config = log, config
        self.in_flight_bytes = 0
        #: when the next may be made
        self.retry_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._make, self._told = make, told
        self._producer: Producer | None = None
        self._fingerprint: tuple[object, ...] = ()
        self._signer: Signer | None = None
        self._generation = 0
        self._outcomes: SimpleQueue[tuple[int, Lane, int, int, BaseException | None]] = SimpleQueue()
        #: (generation, partition, offset) → (size, when sent), oldest first
        self._in_flight: dict[tuple[int, str, int], tuple[int, float]] = {}

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
        """How long the oldest record has been on its way; 0 if none is."""
        oldest = next(iter(self._in_flight.values()), None)
        return now - oldest[1] if oldest is not None else 0.0

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
        self._retry_s = min(self._retry_s * 2, _LAST_RETRY_S)

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
        self.in_flight_bytes = 0

    def hear(self) -> Iterator[Heard]:
        """What has become of records since."""
        while True:
            try:
                generation, lane, offset, size, error = self._outcomes.get_nowait()
            except Empty:
                return
            late = generation != self._generation
            if not late:
                self._in_flight.pop((generation, lane.partition, offset), None)
                self.in_flight_bytes -= size
            yield Heard(lane, offset, error, late)

    def send(self, topic: str, lane: Lane, stored: Stored, now: float) -> bool:
        """Hand a record to the producer; False if it does not take it, and why is heard."""
        assert self._producer is not None
        key, value, headers = to_message(stored.record)
        if self._signer is not None:
            headers.append(self._signer.header(stored.record))
        size, generation, offset = len(value), self._generation, stored.offset

        def outcome(error: BaseException | None) -> None:
            self._outcomes.put((generation, lane, offset, size, error))
            self._told()

        self._in_flight[generation, lane.partition, offset] = (size, now)
        self.in_flight_bytes += size
        try:
            self._producer.send(topic, key, value, headers, outcome)
        except Exception as error:  # kafka-python raises here what it knows at once: no such topic, too large, no metadata
            self._outcomes.put((generation, lane, offset, size, error))
            return False
        return True
