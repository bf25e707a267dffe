"""From the spool to Kafka: records leave the spool when Kafka has acknowledged them, and not before."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog.blame import blamed
from wattlake_contracts.kafkalog.claim import claim
from wattlake_contracts.kafkalog.held import Held
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.lanes import Lanes
from wattlake_contracts.kafkalog.link import LAST_RETRY_S, Link
from wattlake_contracts.kafkalog.message import topic_of
from wattlake_contracts.kafkalog.pace import Pace
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kafkalog.refusals import Refusals, refuses, refuses_another
from wattlake_contracts.kafkalog.standing import HeldTopic, ShippingState, held_said
from wattlake_contracts.kafkalog.unknown import Unknown
from wattlake_contracts.kafkalog.wording import said
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Stored

#: How often the cursors are written and the segments tidied.
_TIDY_S = 1.0
#: How often new partitions are looked for: jobs write their own.
_LOOK_S = 2.0
#: How long the end waits for what is written and not acknowledged.
_LAST_S = 3.0
#: How long it then waits for the threads of topics that take nothing: whoever stops it is in a hurry.
_RUN_END_S = 0.5
#: A producer that hears nothing for so long is asked about, and then again as often: kafka-python does not say why.
_SILENT_S, _ASK_S = 10.0, 15.0
#: A topic that acknowledges nothing for so long, while others do, takes nothing.
_TOPIC_SILENT_S = 20.0
#: Such a topic is asked this often whether it does again, and gets no more than this at a time. A producer that is stuck with it has the time that
#: one batch takes on a slow line.
_TOPIC_RETRY_S, _TOPIC_IN_FLIGHT_MIB, _TOPIC_STUCK_S = 8.0, 1.0, 30.0
#: So many times what may be in flight may be in memory of records that cannot be set apart, the disk being full.
_PENDING_ROOMS = 4
#: Records given to the producer in one go, before acknowledgements are looked at again.
_AT_ONCE = 256


class Shipper:
    """Ships every partition of a spool until stopped. WattlakeError if another process ships it.

    root: the spool. replay: whether a backlog is held to its pace. amiss: says why no broker answers, '' if it
    finds nothing. max_bytes: what may wait apart for topics that take nothing, with all else that waits. whole: the spool that
    this one, of a single topic, is a part of. All is done in `step`, which `run` repeats in its thread; other threads look at
    `state`, `trouble` and the counts, set `stop`, and set `wake` when there is something new.
    """

    def __init__(self, root: Path, log: KafkaLog, config: KafkaConfig, *, replay: bool = True, make: Callable[[KafkaLog, KafkaConfig], Producer] = Producer,
                 amiss: Callable[[], str] | None = None, max_bytes: int | None = None, whole: Path | None = None) -> None:
        self.root, self.log, self.config = root, log, config
        self.stop, self.wake = threading.Event(), threading.Event()
        self._amiss = amiss
        #: the step of connecting that fails, as it was last found
        self._found = ""
        self._lanes = Lanes(root, whole)
        self._link = Link(log, config, make, self.wake.set, LAST_RETRY_S if whole is None else _TOPIC_RETRY_S)
        self._pace = Pace(config.replay_mib_per_s * 2**20 if replay else None, time.monotonic())
        self._tidy_at = self._look_at = self._ask_at = 0.0
        #: topics that took nothing, and why
        self._blamed: dict[str, str] = {}
        #: whether the producer is of no use any more; why it is not
        self._anew = False
        self._failed: deque[str] = deque(maxlen=1)
        #: why nothing can be shipped now
        self.error = ""
        #: whether a record has been acknowledged since the last error
        self.flows = False
        self._acked = self.rebuilt = 0
        #: records of kinds that this version does not know, since it started
        self.set_aside = 0
        self.last_ack_ms = 0
        small = msgspec.structs.replace(config, in_flight_mib=min(config.in_flight_mib, _TOPIC_IN_FLIGHT_MIB), stuck_s=min(config.stuck_s, _TOPIC_STUCK_S))
        apart = partial(Shipper, log=log, config=small, replay=replay, make=make, amiss=amiss, whole=root)
        self._lock = claim(root)
        # no lock may outlive a shipper that never was: the same process may try again
        with ExitStack() as undo:
            undo.callback(os.close, self._lock)
            self._refusals = Refusals(whole or root, earlier=whole is None)
            self._unknown = Unknown(root)
            self._unknown.recover()
            self._held = Held(root, config.prefix, apart if whole is None else None, max_bytes)
            undo.callback(self._held.let_go)
            #: as of a second ago at most, while it runs
            self.state = self._state()
            undo.pop_all()

    @property
    def trouble(self) -> str:
        """Why something cannot be shipped now; '' if all can."""
        return self._told(self.state.held)

    @property
    def acked(self) -> int:
        """Records that the brokers have acknowledged."""
        return self._acked + self._held.acked

    @property
    def damaged(self) -> int:
        """Records that could not be read; their places are in `damages` by then."""
        return self._lanes.damaged + self._held.damaged

    @property
    def damages(self) -> deque[Wreck]:
        """What could not be read, for whoever takes it from here."""
        return self._lanes.damages

    @property
    def lost(self) -> int:
        """Records that the spool gave up, being full, before they were taken (see Lanes)."""
        return self._lanes.lost + self._held.lost

    @property
    def refused(self) -> int:
        """Records that were set aside."""
        return self._refusals.count + self._held.refused

    @property
    def refusal(self) -> str:
        """Why the last one was; '' if none was."""
        return self._refusals.why or self._held.refusal

    def run(self) -> None:
        """Ship until `stop` is set; then wait a little for what is in flight."""
        try:
            while not self.stop.is_set():
                try:
                    busy = self.step()
                except (OSError, WattlakeError) as error:  # the spool cannot be read now; it may be again
                    self.error, busy = f"the spool cannot be read: {error}", False
                except Exception as error:  # whatever it is, an agent without this thread would go on and send nothing: begin again
                    self.error, busy = f"shipping failed: {said(error)}", False
                    self._failed.append(self.error)
                self.wake.wait(0.002 if busy else 1.0 if self._link.idle else 0.25)
                self.wake.clear()
            deadline = time.monotonic() + _LAST_S
            self._held.end()
            while time.monotonic() < deadline and self._link.up and self._lanes.backlog():
                self.step()
                time.sleep(0.02)
        finally:
            self.close(_RUN_END_S)

    def close(self, wait_s: float = 10.0) -> None:
        """Give the producer and the spool up. wait_s: for the thread of a topic that asks the brokers just then; it ends by itself in any case."""
        self._hear()
        self._lanes.tidy()
        self.state = self._state()
        self._link.close()
        self._unknown.close()
        self._held.close(wait_s)
        self._held.pass_on(self.damages)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def step(self) -> bool:
        """Hear what was acknowledged, send what may be sent; whether there was anything to do."""
        now = time.monotonic()
        heard = self._hear()
        if self._link.up:
            self._watch(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._unknown.recover()
            self._lanes.look(self._unknown.shippable())
        if not self._link.up and now >= self._link.retry_at and self._lanes.backlog() > 0:
            if why := self._link.connect(now):
                self.error = why
            else:
                self._lanes.split()
        sent = self._send(now) if self._link.up else 0
        self._held.sync(now)
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_S
            self._lanes.tidy()
            self._held.look(now, self._lanes.bytes)
            self._held.pass_on(self.damages)
            self.state = self._state()
        return bool(heard or sent)

    def _hear(self) -> int:
        """What has become of what was sent; how much was heard."""
        heard = 0
        for lane, offset, topic, error, late in self._link.hear():
            heard += 1
            # each counts once, whichever of the producers that it was given to has brought it there
            if error is None and lane.acknowledge(offset):
                self._acked += 1
            if late:
                # of a producer that was given up: what else it says has no bearing
                continue
            if error is None:
                self.last_ack_ms = time.time_ns() // 1_000_000
                self.error, self._found, self.flows = "", "", True
                self._link.works()
            elif refuses(error):
                if why := self._refusals.suspect(lane, offset, said(error)):
                    self._failed.append(why)
                # from then on kafka-python's idempotent producer refuses whatever it is given
                self._anew = True
            elif refuses_another(error):
                self._anew = True
            elif culprit := blamed(error, topic, self.config.prefix):
                self._blamed[culprit] = said(error)
            else:
                self._failed.append(said(error))
        return heard

    def _watch(self, now: float) -> None:
        """See whether the producer is still of use."""
        if self._part_off(now):
            self._discard("")
            self._link.retry_at = now
            return
        if self._failed:
            self._discard(self._failed.pop())
            return
        if self._anew:
            self._discard("")
            self._link.retry_at = now
            return
        silent_s = self._link.silent_s(now)
        if silent_s > self.config.stuck_s:
            self._discard(self._step_amiss(now)
                          or f"no acknowledgement for {self.config.stuck_s:g} s: the brokers do not answer, or too few of them are in sync")
        # a producer that is not let in any more goes on trying with what it was given
        elif (silent_s > _SILENT_S or self._link.idle) and self._link.renewed:
            self._discard("a certificate, key or password has been renewed")
            self._link.retry_at, self.error = now, ""
        elif silent_s > _SILENT_S:
            self.error = self._step_amiss(now) or self.error

    def _step_amiss(self, now: float) -> str:
        """The step of connecting that fails, as found some seconds ago at most; '' if none does."""
        if self._amiss is not None and now >= self._ask_at:
            self._ask_at = now + _ASK_S
            self._found = self._amiss()
        return self._found

    def _part_off(self, now: float) -> bool:
        """Have the records of topics that take none wait apart; whether there is one more such topic. The producer is of no use then."""
        blamed, self._blamed = self._blamed, {}
        for topic in self._link.silent_topics(now, _SILENT_S):
            if (fault := self._link.fault(topic)) is not None:
                blamed[topic] = said(fault)
        if self._link.silent_s(now) < _SILENT_S:
            for topic in self._link.silent_topics(now, _TOPIC_SILENT_S):
                blamed.setdefault(topic, f"it has acknowledged nothing for {_TOPIC_SILENT_S:g} s while others have: a partition has no leader, or too few "
                                         "brokers are in sync (`wattlake log status` tells)")
        fresh = [topic for topic, why in blamed.items() if self._held.hold(topic, why)]
        if blamed and not fresh:
            # that is known already, or this ships nothing else: nothing is won by beginning again at once
            self._failed.extend(blamed.values())
        return bool(fresh)

    def _discard(self, why: str) -> None:
        """Build the producer anew, and send again all that it has not had acknowledged."""
        self._link.close()
        # what it has had acknowledged until now; that the rest failed is no news
        self._hear()
        self._failed.clear()
        self._anew = False
        self.error = why
        self.flows = self.flows and not why
        self.rebuilt += 1
        self._link.forget()
        self._refusals.forget()
        self._lanes.again()
        self._link.later(time.monotonic())

    def _send(self, now: float) -> int:
        """Live data first; a backlog as its pace allows, and never so much that live data has to wait. Gives how many records went."""
        if self._refusals.busy:
            return self._send_alone(now)
        room = self._room_bytes()
        # in flight, or to be sent again: that is in memory already, and only what is fresh has to wait for room
        kept = self._in_memory_bytes()
        sent = 0
        for backlog in (False, True):
            lanes = [lane for lane in self._lanes if (lane.end is not None) == backlog]
            limit = room // 2 if backlog else room
            while lanes and sent < _AT_ONCE and self._link.up:
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
                    if self._refusals.holds(lane, stored):
                        return sent + self._send_alone(now)
                    if not self._hand_over(lane, stored, now):
                        return sent
                    if backlog:
                        self._pace.spend(len(stored.record.payload))
                    sent += 1
        return sent

    def _room_bytes(self) -> int:
        return int(self.config.in_flight_mib * 2**20)

    def _in_memory_bytes(self) -> int:
        """What is in memory against that room. What cannot be set apart now, as on a full disk, must not stop the other topics: it has a bound of its own."""
        return self._lanes.kept_bytes() - min(self._held.pending_bytes, _PENDING_ROOMS * self._room_bytes())

    def _send_alone(self, now: float) -> int:
        following = self._refusals.following() if self._link.idle else None
        return int(self._hand_over(*following, now)) if following is not None else 0

    def _hand_over(self, lane: Lane, stored: Stored, now: float) -> bool:
        """Send a record; whether more may be sent."""
        try:
            topic = topic_of(stored.record.meta.kind, self.config.prefix)
        except KeyError:
            if why := self._unknown.take(lane, stored):
                self._failed.append(why)
            else:
                self.set_aside += 1
            return True
        if self._held.holds(topic):
            self._held.take(topic, lane, stored)
            return True
        return self._link.send(topic, lane, stored, now)

    # what is told

    def backlog(self) -> int:
        """Records written and not acknowledged."""
        return self._lanes.backlog() + self._held.waiting()

    def _state(self) -> ShippingState:
        here, apart, held, unknown = self._lanes.backlog(), self._held.waiting(), self._held.told(), self._unknown.waiting()
        # where no more of what cannot be set apart may be in memory, what comes after it cannot be read
        room, apart_fails = self._room_bytes(), bool(self._held.error)
        full = apart_fails and self._held.pending_bytes >= _PENDING_ROOMS * room and self._in_memory_bytes() >= room // 2
        amiss = bool(here) and (not self._link.up or bool(self.error) or full)
        oldest = [ms for ms in (self._lanes.oldest_ms() if here else 0, self._held.oldest_ms() if apart else 0) if ms]
        return ShippingState(
            beat_ms=time.time_ns() // 1_000_000, log=str(self.log),
            state="cannot ship" if amiss else "holds back" if held or apart_fails else "shipping" if here or apart else "idle", backlog_records=here + apart,
            backlog_bytes=(self._lanes.bytes() if here else 0) + (self._held.bytes() if apart else 0), oldest_unacked_ms=min(oldest, default=0),
            in_flight_bytes=self._link.in_flight_bytes, acked_records=self.acked, damaged_records=self.damaged, refused_records=self.refused,
            rebuilt=self.rebuilt, last_ack_ms=max(self.last_ack_ms, self._held.last_ack_ms()), error=self._told(held) or self.refusal,
            unknown_records=sum(unknown.values()), unknown_kinds=", ".join(unknown), held=held)

    def _told(self, held: list[HeldTopic]) -> str:
        return "; ".join(text for text in (self.error, self._held.error, self._unknown.error, held_said(held)) if text)
