"""Records of topics that take none: they wait in the spool apart from all others, and go from there once their topic takes them.

Each such topic has a spool of its own within the spool, and a shipper, a producer and a thread of its own: whatever goes wrong there touches no other topic.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import LogError, partitions, segments
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.aside import open_aside
from wattlake_contracts.kafkalog.claim import LOCK
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.standing import HeldTopic
from wattlake_contracts.kafkalog.unknown import Unknown
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.record import Stored

if TYPE_CHECKING:
    from wattlake_contracts.kafkalog.shipping import Shipper

#: Where they wait, a folder for each topic (its name without the prefix); not a partition, by its name.
HELD = ".held"
#: A topic is held for so long at least: one that comes and goes must not keep the others busy with new producers.
_AT_LEAST_S = 5.0
#: After a failed write, and after a shipper that could not begin, the next try.
_RETRY_S = 1.0
_SEGMENT_BYTES = 4 * 2**20
#: So much is written in one go.
_WRITE_BYTES = 2**20


class _Held:
    """One topic. why: what it was held for."""

    def __init__(self, folder: Path, why: str) -> None:
        self.folder, self.why = folder, why
        self.since_ms = time.time_ns() // 1_000_000
        self.until = time.monotonic() + _AT_LEAST_S
        self.shipper: Shipper | None = None
        self.thread: threading.Thread | None = None
        #: since when nothing has waited
        self.empty_at: float | None = None

    @property
    def holds(self) -> bool:
        return self.shipper is None or not self.shipper.flows or time.monotonic() < self.until

    def start(self, make: Callable[[Path], Shipper]) -> None:
        """Begin to ship it. Where that cannot be, `why` says so, and it can be tried again."""
        try:
            self.shipper = make(self.folder)
        except (OSError, WattlakeError) as error:  # a full disk, or the shipper before is not at its end
            self.why = self.why or str(error).splitlines()[0]
            return
        self.thread = threading.Thread(target=self.shipper.run, name=f"ship {self.folder.name}", daemon=True)
        self.thread.start()

    def end(self) -> None:
        if self.shipper is not None:
            self.shipper.stop.set()
            self.shipper.wake.set()

    @property
    def alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class _Done(NamedTuple):
    """What has been done. acked, lost, damaged, refused: records, of shippers that have ended. running: those that count on.

    Other threads read the sums: a shipper goes from one part to the other in one step, so that none is missing or counts twice meanwhile.
    """

    acked: int = 0
    lost: int = 0
    damaged: int = 0
    refused: int = 0
    running: tuple[Shipper, ...] = ()

    def ended(self, shipper: Shipper) -> _Done:
        """With what a shipper, that counts no more, has done."""
        if shipper not in self.running:
            return self
        return _Done(self.acked + shipper.acked, self.lost + shipper.lost, self.damaged + shipper.damaged, self.refused + shipper.refused,
                     tuple(one for one in self.running if one is not shipper))


class Held:
    """What of a spool waits for topics that take nothing. root: the spool. make: a shipper of a folder, for one topic; None: none is ever held.

    Only the thread that ships the spool may call this; others may ask for the counts. error: why a record cannot be set apart, '' if all can.
    """

    def __init__(self, root: Path, prefix: str, make: Callable[[Path], Shipper] | None, max_bytes: int | None) -> None:
        self.error = ""
        self._root, self._prefix, self._make, self._max_bytes = root / HELD, prefix, make, max_bytes
        self._topics: dict[str, _Held] = {}
        self._ending: list[_Held] = []
        self._writers: dict[tuple[str, str], LogWriter] = {}
        #: to be written, by (topic, partition) and offset
        self._pending: dict[tuple[str, str], dict[int, tuple[Lane, Stored]]] = defaultdict(dict)
        #: of the payloads among them
        self.pending_bytes = 0
        self._again_at = self._start_at = 0.0
        self._done = _Done()
        #: records that could not be read, by what was passed on of them
        self.damaged = 0
        #: of shippers that have ended, to be passed on
        self._wrecks: list[Wreck] = []
        self.refusal = ""
        try:
            for topic in TOPICS if make is not None else ():
                if self._partitions(topic):
                    self._topics[topic] = _Held(self._root / topic, "")
                    # of what lies deeper the marks are seen to here, before it has a shipper, and then by that one
                    if self._recovered(topic) and not Unknown(self._root / topic).recover() and not self._waiting(topic):
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
            self._topics[name] = _Held(self._root / name, why)
            self._start_at = 0.0
        else:
            # it took what had waited, and takes no more
            held.why, held.until = why, time.monotonic() + _AT_LEAST_S
            if held.shipper is not None:
                held.shipper.flows = False
        return True

    def holds(self, topic: str) -> bool:
        """Whether records of a topic, given with its prefix, must wait apart."""
        held = self._topics.get(topic.removeprefix(self._prefix))
        return held is not None and held.holds

    # their records

    def take(self, topic: str, lane: Lane, stored: Stored) -> None:
        """Have a record written apart by the next `sync`, which acknowledges it in its lane."""
        items = self._pending[topic.removeprefix(self._prefix), lane.partition]
        if stored.offset not in items:
            self.pending_bytes += len(stored.record.payload)
        items[stored.offset] = (lane, stored)

    def sync(self, now: float) -> None:
        """Write what was taken, with one fsync for each partition and some MiB. What cannot be written stays in its lane, and is tried again."""
        if not self._pending or now < self._again_at:
            return
        # others read the error meanwhile: it stands until it is known whether it still does
        why = ""
        for (topic, partition), items in tuple(self._pending.items()):
            try:
                writer = self._writer(topic, partition.rpartition("/")[2])
                while items:
                    self._write(writer, items)
            except (OSError, LogError) as error:
                why = f"records of {self._prefix}{topic}, which takes none, cannot be set apart: {getattr(error, 'strerror', None) or error}"
                self._again_at = now + _RETRY_S
                continue
            del self._pending[topic, partition]
            held = self._topics.get(topic)
            if held is not None and held.shipper is not None:
                held.shipper.wake.set()
        self.error = why

    def _write(self, writer: LogWriter, items: dict[int, tuple[Lane, Stored]]) -> None:
        """Write the first of them, which then are here and no longer in their lanes."""
        written, size = [], 0
        for offset, (lane, stored) in items.items():
            written.append(offset)
            size += len(stored.record.payload)
            if lane.kept(offset) is not None:
                writer.append(stored.record.meta, stored.record.seq, stored.record.payload, stored.record.appended_ms)
            # the writer has them in memory once more, and what little room a disk has is used
            if size >= _WRITE_BYTES:
                break
        writer.sync()
        for offset in written:
            items.pop(offset)[0].acknowledge(offset)
        self.pending_bytes -= size

    def _writer(self, topic: str, name: str) -> LogWriter:
        if (topic, name) not in self._writers:
            bound = _SEGMENT_BYTES if self._max_bytes is None else min(_SEGMENT_BYTES, max(self._max_bytes // 32, 64 * 1024))
            self._writers[topic, name] = open_aside(self._root.parent, f"{HELD}/{topic}", name, segment_bytes=bound)
        return self._writers[topic, name]

    def _recovered(self, topic: str) -> bool:
        """Whether all that is durable of a topic can be read: after a loss of power its marks may tell of less, until a writer has been there."""
        try:
            for name in partitions(self._root / topic) if (self._root / topic).is_dir() else ():
                self._writer(topic, name)
        except (OSError, LogError):  # it is tried again, and until then nothing is deleted
            return False
        return True

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
            if not self._recovered(topic) or self._waiting(topic) or any(key[0] == topic for key in self._pending):
                held.empty_at = None
            elif held.empty_at is None:
                held.empty_at = now
            elif now - held.empty_at > _AT_LEAST_S:
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
                listed = segments(self._root / topic / name)
                for i, (_, path) in enumerate(listed):
                    with suppress(FileNotFoundError):
                        stat = path.stat()
                        total += stat.st_size
                        if i + 1 < len(listed):
                            found.append((stat.st_mtime_ns, path, stat.st_size))
        for _, path, size in sorted(found):
            if total <= max_bytes:
                return
            with suppress(OSError):  # it stays, and goes another time; the shipper counts what it had not taken as lost
                path.unlink()
                total -= size

    def _settle(self, held: _Held) -> None:
        """A shipper has ended: keep its counts, and delete what it has shipped all of."""
        if held.shipper is not None:
            self.refusal = held.shipper.refusal or self.refusal
            self._wrecks.extend(held.shipper.damages)
            self._done = self._done.ended(held.shipper)
        with suppress(OSError, LogError):  # it stays, and has nothing in it that is not shipped
            self._delete(held)

    def _delete(self, held: _Held) -> None:
        topic = held.folder.name
        if topic in self._topics or any(one.alive and one.folder == held.folder for one in self._ending):
            return
        for name in self._partitions(topic):
            if (topic, name) in self._writers and not self._waiting_in(topic, name):
                self._writers.pop((topic, name)).close()
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
        for shipper in done.running:
            self.refusal = shipper.refusal or self.refusal
        return done.refused + sum(shipper.refused for shipper in done.running)

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
        while self._writers:
            with suppress(OSError):  # what is accepted is durable
                self._writers.popitem()[1].close()
