"""From the spool to Kafka: records leave the spool when Kafka has acknowledged them, and not before."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import LogError, partitions, segments
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.message import to_message, topic_of
from wattlake_contracts.kafkalog.pace import Pace
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kafkalog.security import fingerprint
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Stored

#: Only one process ships a spool.
LOCK = ".ship.lock"
#: Where records go that no topic takes; not a partition, by its name.
REFUSED = ".refused"
#: So much unsent data is a backlog: it goes at its own pace, beside what is new.
BACKLOG_BYTES = 2 * 2**20
#: How often the cursors are written and the segments tidied.
_TIDY_S = 1.0
#: How often new partitions are looked for: jobs write their own.
_LOOK_S = 2.0
#: How long the end waits for what is written and not acknowledged.
_LAST_S = 3.0
#: A producer that hears nothing for so long is asked about, and then again as often: kafka-python does not say why.
_SILENT_S, _ASK_S = 10.0, 15.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 15.0
#: Records given to the producer in one go, before acknowledgements are looked at again.
_AT_ONCE = 256
#: What kafka-python calls it where a broker refuses records, or the whole batch that they are in, and always will.
_REFUSALS = frozenset({"MessageSizeTooLargeError", "RecordListTooLargeError", "InvalidRecordError", "InvalidTimestampError"})


class ShippingState(msgspec.Struct):
    """How shipping does, at beat_ms. Instants in epoch ms, 0 for never; backlog: written and not acknowledged."""

    beat_ms: int
    log: str
    state: str
    backlog_records: int
    backlog_bytes: int
    oldest_unacked_ms: int
    in_flight_bytes: int
    acked_records: int
    damaged_records: int
    refused_records: int
    rebuilt: int
    last_ack_ms: int
    error: str


class Shipper:
    """Ships every partition of a spool until stopped. WattlakeError if another process ships it.

    root: the spool. replay: whether a backlog is held to its pace. amiss: says why no broker answers, '' if it
    finds nothing. All is done in `step`, which `run`
    repeats in its thread; other threads look at `state`, `error` and the counts, set `stop`, and set
    `wake` when there is something new.
    """

    def __init__(self, root: Path, log: KafkaLog, config: KafkaConfig, *, replay: bool = True,
                 make: Callable[[KafkaLog, KafkaConfig], Producer] = Producer, amiss: Callable[[], str] | None = None) -> None:
        self.root, self.log, self.config = root, log, config
        self.stop, self.wake = threading.Event(), threading.Event()
        self._make, self._amiss = make, amiss
        self._producer: Producer | None = None
        self._fingerprint: tuple[object, ...] = ()
        self._outcomes: SimpleQueue[tuple[int, Lane, int, int, BaseException | None]] = SimpleQueue()
        #: (generation, lane, offset) → (size, when sent), oldest first
        self._in_flight: dict[tuple[int, str, int], tuple[int, float]] = {}
        self._in_flight_bytes = 0
        self._lanes: dict[str, list[Lane]] = {}
        self._stored: dict[str, list[cursor.Span]] = {}
        self._generation = 0
        self._pace = Pace(config.replay_mib_per_s * 2**20 if replay else None, time.monotonic())
        self._retry_at, self._retry_s = 0.0, _FIRST_RETRY_S
        self._tidy_at = self._look_at = self._ask_at = 0.0
        #: records of batches that were refused: each is sent by itself. alone: the one that is on its way. held: the next
        self._suspects: set[tuple[str, int]] = set()
        self._alone: tuple[str, int] | None = None
        self._held: tuple[Lane, Stored] | None = None
        self._anew = False
        self._failed: deque[str] = deque(maxlen=1)
        #: why nothing can be shipped now; why a record was set aside
        self.error = self.refusal = ""
        self.acked = self.damaged = self.refused = self.rebuilt = 0
        #: records that the spool gave up, being full, before they were taken; after a shipper that ended with such in memory it may be
        #: more than are lost, never fewer
        self.lost = 0
        self.last_ack_ms = 0
        self._lock = self._claim()
        #: as of a second ago at most, while it runs
        self.state = self._state()

    def _claim(self) -> int:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(f"the spool cannot be used: {error.strerror}", subject=str(self.root),
                           next_step="check its owner and mode, or set kafka.spool_dir to another folder") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise WattlakeError("another process ships this spool already", subject=str(self.root), next_step="stop it, or set kafka.spool_dir") from error
        return lock

    def run(self) -> None:
        """Ship until `stop` is set; then wait a little for what is in flight."""
        try:
            while not self.stop.is_set():
                try:
                    busy = self.step()
                except (OSError, WattlakeError) as error:  # the spool cannot be read now; it may be again
                    self.error, busy = f"the spool cannot be read: {error}", False
                self.wake.wait(0.002 if busy else 0.25 if self._in_flight else 1.0)
                self.wake.clear()
            deadline = time.monotonic() + _LAST_S
            while time.monotonic() < deadline and self._producer is not None and self.backlog():
                self.step()
                time.sleep(0.02)
        finally:
            self.close()

    def close(self) -> None:
        """Give the producer and the spool up."""
        self._hear()
        self._tidy()
        self.state = self._state()
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def step(self) -> bool:
        """Hear what was acknowledged, send what may be sent; whether there was anything to do."""
        now = time.monotonic()
        heard = self._hear()
        self._watch(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look()
        if self._producer is None and now >= self._retry_at and self.backlog() > 0:
            self._connect(now)
        sent = self._send(now) if self._producer is not None else 0
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_S
            self._tidy()
            self.state = self._state()
        return bool(heard or sent)

    # the producer

    def _connect(self, now: float) -> None:
        try:
            self._fingerprint = fingerprint(self.config)
            self._producer = self._make(self.log, self.config)
        except Exception as error:  # kafka-python raises its own, ssl's and OSErrors here; what cannot be reached now is tried again
            self.error = said(error)
            self._later(now)
            return
        self._split()

    def _later(self, now: float) -> None:
        self._retry_at = now + self._retry_s
        self._retry_s = min(self._retry_s * 2, _LAST_RETRY_S)

    def _discard(self, why: str) -> None:
        """Build the producer anew, and send again all that it has not had acknowledged."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None
        # what it has had acknowledged until now; that the rest failed is no news
        self._hear()
        self._failed.clear()
        self.error = why
        self._generation += 1
        self.rebuilt += 1
        self._in_flight.clear()
        self._in_flight_bytes = 0
        self._alone = self._held = None
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.again()
        self._later(time.monotonic())

    def _watch(self, now: float) -> None:
        if self._producer is None:
            return
        if self._failed:
            self._discard(self._failed.pop())
            return
        if self._anew:
            self._anew = False
            self._discard("")
            self._retry_at = now
            return
        oldest = next(iter(self._in_flight.values()), None)
        silent_s = now - oldest[1] if oldest is not None else 0.0
        if silent_s > self.config.stuck_s:
            self._discard(f"no acknowledgement for {self.config.stuck_s:g} s: the brokers do not answer, or too few of them are in sync")
        # a producer that is not let in any more goes on trying with what it was given
        elif (silent_s > _SILENT_S or not self._in_flight) and fingerprint(self.config) != self._fingerprint:
            self._discard("a certificate or password has been renewed")
            self._retry_at, self.error = now, ""
        elif silent_s > _SILENT_S and self._amiss is not None and now >= self._ask_at:
            self._ask_at = now + _ASK_S
            self.error = self._amiss() or self.error

    def _hear(self) -> int:
        heard = 0
        while True:
            try:
                generation, lane, offset, size, error = self._outcomes.get_nowait()
            except Empty:
                return heard
            heard += 1
            if generation != self._generation:
                # of a producer that was given up: what it says has no bearing, but an acknowledgement is one
                if error is None:
                    lane.acknowledge(offset)
                continue
            self._in_flight.pop((generation, lane.partition, offset), None)
            self._in_flight_bytes -= size
            if error is None:
                lane.acknowledge(offset)
                self.acked += 1
                self.last_ack_ms = time.time_ns() // 1_000_000
                self.error, self._retry_s = "", _FIRST_RETRY_S
            elif type(error).__name__ in _REFUSALS:
                self._suspect(lane, offset, said(error))
            elif "it was part of a batch" in str(error):
                # another record of it is refused: this one is sent again as any other
                self._anew = True
            else:
                self._failed.append(said(error))

    # the spool

    def _look(self) -> None:
        for name in partitions(self.root):
            if name not in self._lanes:
                spans = self._stored[name] = cursor.load(self.root / name)
                first = bounds(self.root, name)[0]
                # without a cursor nobody knows whether what the spool no longer has was shipped: it is not called lost
                self._lanes[name] = [Lane(self.root, name, start or first, end) for start, end in spans]

    def _split(self) -> None:
        """Where much has piled up, let what comes from now on go beside it."""
        if sum(self._bytes(name) for name in self._lanes) < BACKLOG_BYTES:
            return
        for lanes in self._lanes.values():
            if (live := lanes[-1].split()) is not None:
                lanes.append(live)

    def _bytes(self, name: str) -> int:
        """About how much of a partition is not acknowledged: whole segments."""
        lanes = self._lanes[name]
        total = 0
        listed = segments(self.root / name)
        for i, (base, path) in enumerate(listed):
            stop = listed[i + 1][0] if i + 1 < len(listed) else bounds(self.root, name)[1]
            size = 0
            with suppress(FileNotFoundError):
                size = path.stat().st_size
            left = sum(max(0, min(stop, stop if lane.end is None else lane.end) - max(base, lane.base)) for lane in lanes)
            total += size * left // max(1, stop - base)
        return total

    def _send(self, now: float) -> int:
        """Live data first; a backlog as its pace allows, and never so much that live data has to wait."""
        if self._held is not None or self._alone is not None:
            return self._send_alone(now)
        room = int(self.config.in_flight_mib * 2**20)
        # in flight, or to be sent again: that is in memory already, and only what is fresh has to wait for room
        kept = sum(lane.kept_bytes for of in self._lanes.values() for lane in of)
        sent = 0
        for backlog in (False, True):
            lanes = [lane for of in self._lanes.values() for lane in of if (lane.end is not None) == backlog]
            limit = room // 2 if backlog else room
            while lanes and sent < _AT_ONCE and self._producer is not None:
                for lane in tuple(lanes):
                    if backlog and not self._pace.open(now):
                        lanes = []
                        break
                    before = lane.kept_bytes
                    stored = lane.take(fresh=kept < limit)
                    kept += lane.kept_bytes - before
                    if stored is None:
                        lanes.remove(lane)
                        continue
                    if (lane.partition, stored.offset) in self._suspects:
                        self._held = (lane, stored)
                        return sent + self._send_alone(now)
                    if not self._hand_over(lane, stored, now):
                        return sent
                    if backlog:
                        self._pace.spend(len(stored.record.payload))
                    sent += 1
        return sent

    def _hand_over(self, lane: Lane, stored: Stored, now: float) -> bool:
        assert self._producer is not None
        record, offset = stored.record, stored.offset
        try:
            topic = topic_of(record.meta.kind, self.config.prefix)
        except KeyError:
            self._refuse(lane, offset, f"this version knows no kind {record.meta.kind!r}")
            return True
        key, value, headers = to_message(record)
        size, generation = len(value), self._generation

        def outcome(error: BaseException | None) -> None:
            self._outcomes.put((generation, lane, offset, size, error))
            self.wake.set()

        self._in_flight[generation, lane.partition, offset] = (size, now)
        self._in_flight_bytes += size
        try:
            self._producer.send(topic, key, value, headers, outcome)
        except Exception as error:  # kafka-python raises here what it knows at once: no such topic, too large, no metadata
            self._outcomes.put((generation, lane, offset, size, error))
            return False
        return True

    def _suspect(self, lane: Lane, offset: int, why: str) -> None:
        """A batch is refused as a whole: its records are sent again one by one, and only what is refused by itself is set aside."""
        if self._alone == (lane.partition, offset):
            self._suspects.discard(self._alone)
            self._refuse(lane, offset, why)
        else:
            self._suspects.add((lane.partition, offset))
        # from then on kafka-python's idempotent producer refuses whatever it is given
        self._anew = True

    def _send_alone(self, now: float) -> int:
        if self._in_flight:
            return 0
        self._suspects.discard(self._alone or ("", -1))  # it was acknowledged
        self._alone = None
        if self._held is None:
            return 0
        (lane, stored), self._held = self._held, None
        self._alone = (lane.partition, stored.offset)
        return int(self._hand_over(lane, stored, now))

    def _refuse(self, lane: Lane, offset: int, why: str) -> None:
        """Set a record aside that no broker takes, so that it holds up no other."""
        stored = lane.kept(offset)
        if stored is None:
            return
        record = stored.record
        try:
            with LogWriter(self.root / REFUSED, lane.partition, max_record_bytes=2**30) as aside:
                aside.append(record.meta, record.seq, record.payload, record.appended_ms)
        except (OSError, LogError) as error:
            self._failed.append(f"a record was refused ({why}), and cannot be set aside: {error}")
            return
        self.refused += 1
        self.refusal = f"refused: {why}; kept in {self.root / REFUSED}"
        lane.acknowledge(offset)

    def _tidy(self) -> None:
        """Forget what is done, delete what all of it is shipped of, and keep the rest in the cursors."""
        for name, lanes in self._lanes.items():
            for lane in lanes:
                lane.look()
                self.damaged, lane.damaged = self.damaged + lane.damaged, 0
                self.lost, lane.lost = self.lost + lane.lost, 0
            lanes[:] = [lane for lane in lanes if not lane.done]
            spans = [(lane.base, lane.end) for lane in lanes]
            if spans != self._stored[name]:
                try:
                    cursor.store(self.root / name, spans)
                    self._stored[name] = spans
                except OSError:
                    continue  # a full disk: the cursor of before sends some records again, and deleting below makes room
                finally:
                    self._delete(name, spans[0][0])

    def _delete(self, name: str, below: int) -> None:
        listed = segments(self.root / name)
        for (_, path), (following, _) in pairwise(listed):
            if following > below:
                return
            with suppress(OSError):  # it stays, and goes another time
                path.unlink()

    # what is told

    def backlog(self) -> int:
        """Records written and not acknowledged."""
        return sum(lane.waiting() for lanes in self._lanes.values() for lane in lanes)

    def _state(self) -> ShippingState:
        waiting = self.backlog()
        amiss = self._producer is None or bool(self.error)
        return ShippingState(
            beat_ms=time.time_ns() // 1_000_000, log=str(self.log), state="idle" if not waiting else "cannot ship" if amiss else "shipping",
            backlog_records=waiting, backlog_bytes=sum(self._bytes(name) for name in self._lanes) if waiting else 0,
            oldest_unacked_ms=self._oldest_ms() if waiting else 0, in_flight_bytes=self._in_flight_bytes, acked_records=self.acked,
            damaged_records=self.damaged, refused_records=self.refused, rebuilt=self.rebuilt, last_ack_ms=self.last_ack_ms, error=self.error or self.refusal)

    def _oldest_ms(self) -> int:
        found = (lane.oldest_ms() for lanes in self._lanes.values() for lane in lanes)
        return min((ms for ms in found if ms is not None), default=0)


def said(error: BaseException) -> str:
    """An error of kafka-python in a few words."""
    text = str(error).strip().splitlines()
    if isinstance(error, WattlakeError):
        return text[0][:300]
    name = type(error).__name__
    return f"{name}: {text[0][:300]}" if text and text[0] and not text[0].startswith(name) else (text[0][:300] if text and text[0] else name)
