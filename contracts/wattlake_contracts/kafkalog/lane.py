"""A stretch of a spool's partition on its way to Kafka: read in order, acknowledged in any, and kept in memory in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Damage, Stored


@dataclass
class Lane:
    """Offsets [start, end) of a partition. end: None where the partition still grows.

    What was taken is kept until it is acknowledged, for the spool may give it up meanwhile. damaged: stretches
    that could not be read. lost: those that the spool gave up before they were taken. kept_bytes: of the payloads in memory.
    """

    root: Path
    partition: str
    start: int
    end: int | None
    damaged: list[Damage] = field(default_factory=list)
    lost: int = 0
    kept_bytes: int = 0
    #: all below it was taken, or never will be
    _next: int = -1
    #: taken and not acknowledged, by offset, in order
    _kept: dict[int, Stored] = field(default_factory=dict)
    #: of those, what is to be sent again
    _again: deque[int] = field(default_factory=deque)
    _records: Iterator[Stored | Damage] | None = None

    def __post_init__(self) -> None:
        self._next = self.start

    @property
    def base(self) -> int:
        """Below it all is acknowledged, or cannot be sent."""
        return next(iter(self._kept), self._next)

    @property
    def done(self) -> bool:
        """Whether all of it is acknowledged, and no more will come."""
        return self.end is not None and self.base >= self.end

    def take(self, *, fresh: bool = True) -> Stored | None:
        """The next record to be sent, first what is to be sent again; None if there is none now. fresh: whether the spool may be read."""
        while self._again:
            if (stored := self._kept.get(self._again.popleft())) is not None:
                return stored
        stored = self._read() if fresh else None
        if stored is not None:
            self._kept[stored.offset] = stored
            self.kept_bytes += len(stored.record.payload)
        return stored

    def kept(self, offset: int) -> Stored | None:
        """What was taken from there; None once it is acknowledged."""
        return self._kept.get(offset)

    def _read(self) -> Stored | None:
        """The next good record of the spool."""
        fruitless = -1
        while True:
            if self._records is None:
                first, stop = self._bounds()
                self.give_up_below(first)
                # where segments were taken away from outside, reading gives nothing for what the mark says is there
                if self._next >= stop or fruitless == self._next:
                    return None
                fruitless = self._next
                self._records = read(self.root, self.partition, self._next, stop)
            try:
                item = next(self._records, None)
            except FileNotFoundError:
                item = None  # the spool has given up a segment meanwhile
            if item is None:
                self._records = None
                continue
            # what was given up after the bounds were looked at
            self.lost += max(0, item.offset - self._next)
            if isinstance(item, Stored):
                self._next = item.offset + 1
                return item
            if item.records:
                self.damaged.append(item)
            self._next = max(self._next, item.offset + item.records)

    def _bounds(self) -> tuple[int, int]:
        """What of it the spool has now."""
        first, end = bounds(self.root, self.partition)
        return (first, end) if self.end is None else (min(first, self.end), min(end, self.end))

    def give_up_below(self, first: int) -> None:
        """The spool holds nothing below this any more: what was not taken is lost, and what was taken is not."""
        if first > self._next:
            self.lost += first - self._next
            self._next = first
            # the segment that was being read is gone, though it could be read on
            self._records = None

    def look(self) -> None:
        """See what the spool has given up."""
        self.give_up_below(self._bounds()[0])

    def acknowledge(self, offset: int) -> bool:
        """Kafka has that record, or nobody ever will; whether that is news."""
        if (stored := self._kept.pop(offset, None)) is None:
            return False
        self.kept_bytes -= len(stored.record.payload)
        return True

    def again(self) -> None:
        """Send all that is not acknowledged once more, from memory: what was acknowledged without our hearing of it counts once."""
        self._again = deque(self._kept)

    def split(self) -> Lane | None:
        """End with what there is now, and give a lane for what comes from now on; None if nothing of it waits."""
        end = self._bounds()[1]
        if self.end is not None or end <= self.base or end < self._next:
            return None
        self.end = end
        return Lane(self.root, self.partition, end, None)

    def waiting(self) -> int:
        """Records that are written and not acknowledged."""
        first, stop = self._bounds()
        return len(self._kept) + max(0, stop - max(self._next, first))

    def oldest_ms(self) -> int | None:
        """When the oldest of them was appended; None if there is none that can be read."""
        for stored in self._kept.values():
            return stored.record.appended_ms
        at = max(self._next, self._bounds()[0])
        try:
            found = [item.record.appended_ms for item in read(self.root, self.partition, at, at + 1) if isinstance(item, Stored)]
        except FileNotFoundError:
            return None
        return found[0] if found else None
