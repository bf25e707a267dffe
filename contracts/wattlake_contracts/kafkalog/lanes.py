"""All that a spool holds for Kafka: its partitions as lanes, their cursors, and the segments that are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import partitions, segments, written
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.wreckage import Wreck, keep

#: So much unsent data is a backlog: it goes at its own pace, beside what is new.
BACKLOG_BYTES = 2 * 2**20
#: Of a partition: each may have a file open, and is looked at each second.
_MOST_LANES = 4
#: So many damaged places are kept to be told of.
_MOST_TOLD = 100


class Lanes:
    """The lanes of every partition of a spool, in order; the last of each grows.

    damaged: records that could not be read. lost: those that the spool gave up, being full, before they were taken; after
    a shipper that ended with such in memory it may be more than are lost, never fewer. whole: the spool that this one is a part of, if it is.
    """

    def __init__(self, root: Path, whole: Path | None = None) -> None:
        self.root, self._whole = root, whole or root
        self.damaged = self.lost = 0
        #: what could not be read, for whoever takes it from here
        self.damages: deque[Wreck] = deque(maxlen=_MOST_TOLD)
        self._lanes: dict[str, list[Lane]] = {}
        self._stored: dict[str, list[cursor.Span]] = {}

    def __iter__(self) -> Iterator[Lane]:
        return (lane for lanes in self._lanes.values() for lane in lanes)

    def look(self, others: Iterable[str] = ()) -> None:
        """Look for new partitions. others: those that lie deeper in the spool, as paths within it."""
        for name in (*partitions(self.root), *others):
            if name not in self._lanes:
                spans = self._stored[name] = cursor.load(self.root / name)
                first = bounds(self.root, name)[0]
                # without a cursor nobody knows whether what the spool no longer has was shipped: it is not called lost
                self._lanes[name] = [Lane(self.root, name, start or first, end) for start, end in spans]

    def split(self) -> None:
        """Where much has piled up, let what comes from now on go beside it; a partition has few lanes, however often the brokers come and go."""
        if self.bytes() < BACKLOG_BYTES:
            return
        for lanes in self._lanes.values():
            if len(lanes) < _MOST_LANES and (live := lanes[-1].split()) is not None:
                lanes.append(live)

    def again(self) -> None:
        """Send once more all that was taken and is not acknowledged."""
        for lane in self:
            lane.again()

    def tidy(self) -> None:
        """Forget what is done, delete what all of it is shipped of, and keep the rest in the cursors."""
        for name, lanes in self._lanes.items():
            for lane in lanes:
                lane.look()
                for damage in lane.damaged:
                    segment = self.root / name / damage.segment
                    place = f"{segment.relative_to(self._whole)} from byte {damage.position}"
                    self.damages.append(Wreck(place, damage.records, keep(self._whole, segment, damage)))
                    # whoever sees the count finds the place
                    self.damaged += damage.records
                lane.damaged.clear()
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

    def backlog(self) -> int:
        """Records written and not acknowledged."""
        return sum(lane.waiting() for lane in self)

    def bytes(self) -> int:
        """About how many bytes they are: by whole segments."""
        return sum(self._bytes(name) for name in self._lanes)

    def _bytes(self, name: str) -> int:
        lanes = self._lanes[name]
        total = 0
        listed = written(self.root / name)
        for i, (base, _, size) in enumerate(listed):
            stop = listed[i + 1][0] if i + 1 < len(listed) else bounds(self.root, name)[1]
            left = sum(max(0, min(stop, stop if lane.end is None else lane.end) - max(base, lane.base)) for lane in lanes)
            total += size * left // max(1, stop - base)
        return total

    def kept_bytes(self) -> int:
        """What of them is in memory."""
        return sum(lane.kept_bytes for lane in self)

    def oldest_ms(self) -> int:
        """When the oldest of them was appended, in epoch ms; 0 if there is none."""
        # a partition's lanes are in its order: the first that has something has the oldest
        firsts = (next((ms for lane in lanes if (ms := lane.oldest_ms()) is not None), None) for lanes in self._lanes.values())
        return min((ms for ms in firsts if ms is not None), default=0)
