"""Records of topics that take none: they wait in the spool apart from all others, and go from there once their topic takes them.

Each such topic has a spool of its own within the spool, and a shipper, a producer and a thread of its own: whatever goes wrong there touches no other topic.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import LogError, partitions, written
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.kafkalog.claim import LOCK
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.setting_apart import HELD, SettingApart
from wattlake_contracts.kafkalog.standing import HeldTopic
from wattlake_contracts.kafkalog.topic_apart import AT_LEAST_S, Done, TopicApart
from wattlake_contracts.kafkalog.unknown import Unknown
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.record import Stored

if TYPE_CHECKING:
    from wattlake_contracts.kafkalog.shipping import Shipper

#: After a shipper that could not begin, the next try.
_RETRY_S = 1.0


class Held:
    """What of a spool waits for topics that take nothing. root: the spool. make: a shipper of a folder, for one topic; None: none is ever held.

    Only the thread that ships the spool may call this; others may ask for the counts.
    """

    def __init__(self, root: Path, prefix: str, make: Callable[[Path], Shipper] | None, max_bytes: int | None) -> None:
        self._root, self._prefix, self._make, self._max_bytes = root / HELD, prefix, make, max_bytes
        self._setting = SettingApart(root, prefix, max_bytes)
        self._topics: dict[str, TopicApart] = {}
        self._ending: list[TopicApart] = []
        self._start_at = 0.0
        self._done = Done()
        #: records that could not be read, by what was passed on of them
        self.damaged = 0
        #: of shippers that have ended, to be passed on
        self._wrecks: list[Wreck] = []
        #: of the last one that refused a record and has ended
        self._refusal = ""
        try:
            for topic in TOPICS if make is not None else ():
                if self._partitions(topic):
                    self._topics[topic] = TopicApart(self._root / topic, "")
                    # of what lies deeper the marks are seen to here, before it has a shipper, and then by that one
                    if self._setting.recovered(topic) and not Unknown(self._root / topic).recover() and not self._waiting(topic):
                        self._end(topic)
        except BaseException:
            self.let_go()
            raise

    # which topics

    def hold(self, topic: str, why: str) -> bool:
        """From now on its records wait apart; whether that is news. topic: with its prefix."""
        name = topic.removeprefix(self._prefix)
        held = self._topics.get(name)
        if self._make is None or (held is not None and held.holds):
            return False
        if held is None:
            self._topics[name] = TopicApart(self._root / name, why)
            self._start_at = 0.0
        else:
            # it took what had waited, and takes no more
            held.why, held.until = why, time.monotonic() + AT_LEAST_S
            if held.shipper is not None:
                held.shipper.flows = False
        return True

    def holds(self, topic: str) -> bool:
        """Whether records of a topic, given with its prefix, must wait apart."""
        held = self._topics.get(topic.removeprefix(self._prefix))
        return held is not None and held.holds

    # their records

    @property
    def error(self) -> str:
        """Why a record cannot be set apart; '' if all can."""
        return self._setting.error

    @property
    def pending_bytes(self) -> int:
        """What is in memory of records that are to be set apart."""
        return self._setting.pending_bytes

    def take(self, topic: str, lane: Lane, stored: Stored) -> None:
        """Have a record written apart by the next `sync`, which acknowledges it in its lane. topic: with its prefix."""
        self._setting.take(topic.removeprefix(self._prefix), lane, stored)

    def sync(self, now: float) -> None:
        """Write what was taken. What cannot be written stays in its lane, and is tried again."""
        for topic in self._setting.sync(now):
            held = self._topics.get(topic)
            if held is not None and held.shipper is not None:
                held.shipper.wake.set()

    def look(self, now: float, others: Callable[[], int]) -> None:
        """See to the shippers, and to the bound: of all that waits in the spool, here and the bytes of the others, the oldest here goes beyond it."""
        for held in tuple(self._ending):
            if not held.alive:
                self._settle(held)
                self._ending.remove(held)
        starting = now >= self._start_at
        for topic, held in tuple(self._topics.items()):
            if self._make is not None and held.shipper is None and starting and not any(one.folder == held.folder for one in self._ending):
                held.start(self._make)
                if held.shipper is not None:
                    self._done = self._done._replace(running=(*self._done.running, held.shipper))
            if not self._setting.recovered(topic) or self._waiting(topic) or self._setting.is_pending(topic):
                held.empty_at = None
            elif held.empty_at is None:
                held.empty_at = now
            elif now - held.empty_at > AT_LEAST_S:
                # all of it has gone: the topic is as any other
                self._end(topic)
        if starting:
            self._start_at = now + _RETRY_S
        if self._max_bytes is not None and self._topics:
            self._trim(self._max_bytes - others())

    def _end(self, topic: str) -> None:
        held = self._topics.pop(topic)
        held.end()
        self._ending.append(held)

    def _trim(self, max_bytes: int) -> None:
        found = []
        total = 0
        for topic in self._topics:
            for name in self._partitions(topic):
                listed = written(self._root / topic / name)
                total += sum(size for *_, size in listed)
                for _, path, size in listed[:-1]:
                    with suppress(FileNotFoundError):
                        found.append((path.stat().st_mtime_ns, path, size))
        for _, path, size in sorted(found):
            if total <= max_bytes:
                return
            with suppress(OSError):  # it stays, and goes another time; the shipper counts what it had not taken as lost
                path.unlink()
                total -= size

    def _settle(self, held: TopicApart) -> None:
        """A shipper has ended: keep its counts, and delete what it has shipped all of."""
        if held.shipper is not None:
            self._refusal = held.shipper.refusal or self._refusal
            self._wrecks.extend(held.shipper.damages)
            self._done = self._done.ended(held.shipper)
        with suppress(OSError, LogError):  # it stays, and has nothing in it that is not shipped
            self._delete(held)

    def _delete(self, held: TopicApart) -> None:
        topic = held.folder.name
        if topic in self._topics or any(one.alive and one.folder == held.folder for one in self._ending):
            return
        for name in self._partitions(topic):
            if not self._waiting_in(topic, name) and self._setting.close(topic, name):
                shutil.rmtree(held.folder / name)
        # only whoever ships the whole spool has a shipper here, and this one's is at its end: nobody holds the lock
        if all(path.name == LOCK for path in held.folder.iterdir()):
            (held.folder / LOCK).unlink(missing_ok=True)
            held.folder.rmdir()

    # what is told

    def waiting(self) -> int:
        """Records that are written here and not acknowledged; what has just been may be among them for a second."""
        return sum(self._waiting(topic) for topic in (*self._topics, *(one.folder.name for one in self._ending if one.folder.name not in self._topics)))

    def _waiting(self, topic: str) -> int:
        return sum(self._waiting_in(topic, name) for name in self._partitions(topic))

    def _waiting_in(self, topic: str, name: str) -> int:
        folder = self._root / topic
        return cursor.within(cursor.load(folder / name), *bounds(folder, name))

    def _partitions(self, topic: str) -> list[str]:
        folder = self._root / topic
        # of a kind that a version between did not know
        return [*partitions(folder), *Unknown(folder).shippable()] if folder.is_dir() else []

    def told(self) -> list[HeldTopic]:
        """The topics that take nothing now and have records that wait."""
        return [HeldTopic(self._prefix + topic, (held.shipper.state.oldest_unacked_ms if held.shipper is not None else 0) or held.since_ms, records,
                          (held.shipper.error if held.shipper is not None else "") or held.why or "it is asked again whether it takes them")
                for topic, held in self._topics.items() if held.holds and (records := self._waiting(topic))]

    def bytes(self) -> int:
        """About how many bytes wait."""
        return sum(shipper.state.backlog_bytes for shipper in self._done.running)

    def oldest_ms(self) -> int:
        """When the oldest of them was appended, in epoch ms; 0 if there is none."""
        return min((ms for shipper in self._done.running if (ms := shipper.state.oldest_unacked_ms)), default=0)

    def last_ack_ms(self) -> int:
        """When one was last acknowledged, in epoch ms; 0 for never."""
        return max((shipper.last_ack_ms for shipper in self._done.running), default=0)

    @property
    def acked(self) -> int:
        """Records acknowledged."""
        done = self._done
        return done.acked + sum(shipper.acked for shipper in done.running)

    @property
    def lost(self) -> int:
        """Records that were given up, the spool being full."""
        done = self._done
        return done.lost + sum(shipper.lost for shipper in done.running)

    @property
    def refused(self) -> int:
        """Records that their topic refused for what they are."""
        done = self._done
        return done.refused + sum(shipper.refused for shipper in done.running)

    @property
    def refusal(self) -> str:
        """Why the last one was; '' if none was."""
        return next((shipper.refusal for shipper in self._done.running if shipper.refusal), self._refusal)

    def pass_on(self, damages: deque[Wreck]) -> None:
        """Add what could not be read since this was last done. `damaged` counts it once it is there: whoever sees the count finds the places."""
        done = self._done
        damaged = done.damaged + sum(shipper.damaged for shipper in done.running)
        damages.extend(self._wrecks)
        self._wrecks.clear()
        for shipper in done.running:
            while shipper.damages:
                damages.append(shipper.damages.popleft())
        self.damaged = damaged

    # the end

    def end(self) -> None:
        """Have the shippers end."""
        for held in self._topics.values():
            held.end()

    def close(self, wait_s: float) -> None:
        """Wait so long for that, and let go of what is open."""
        self.end()
        self._ending += self._topics.values()
        self._topics.clear()
        deadline = time.monotonic() + wait_s
        for held in self._ending:
            if held.thread is not None:
                held.thread.join(max(0.0, deadline - time.monotonic()))
            if not held.alive:
                self._settle(held)
        self._ending.clear()
        self.let_go()

    def let_go(self) -> None:
        """Close what is open. It is enough where no shipper has begun yet."""
        self._setting.let_go()
