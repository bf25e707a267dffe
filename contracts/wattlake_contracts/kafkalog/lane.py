"""A stretch of a spool's partition on its way to Kafka: read in order, acknowledged in any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Damage, Stored


@dataclass
class Lane:
    """Offsets [base, end) of a partition. base: below it all is acknowledged. end: None where the partition still grows.

    damaged: records of it that could not be read. lost: those that the spool gave up before they were sent.
    """

    root: Path
    partition: str
    base: int
    end: int | None
    damaged: int = 0
    lost: int = 0
    _next: int = -1
    _acknowledged: set[int] = field(default_factory=set)
    #: sent, not acknowledged, and no longer in the spool
    _on_its_way: set[int] = field(default_factory=set)
    _records: Iterator[Stored | Damage] | None = None

    def __post_init__(self) -> None:
        self._next = self.base

    def take(self) -> Stored | None:
        """The next record to be sent; None if there is none now."""
        while True:
            if self._records is None:
                first, end = bounds(self.root, self.partition)
                self.skip_to(first if self.end is None else min(first, self.end))
                stop = end if self.end is None else min(end, self.end)
                if self._next >= stop:
                    return None
                self._records = read(self.root, self.partition, self._next, stop)
            try:
                item = next(self._records, None)
            except FileNotFoundError:
                item = None  # the spool has given up a segment meanwhile
            if item is None:
                self._records = None
                if not self._advanced():
                    return None
                continue
            if isinstance(item, Damage):
                self.damaged += item.records
                for offset in range(item.offset, item.offset + item.records):
                    self.acknowledge(offset)
                self._next = max(self._next, item.offset + item.records)
                continue
            self._next = item.offset + 1
            if item.offset in self._acknowledged:
                continue  # before the producer was made anew
            return item

    def _advanced(self) -> bool:
        """Whether there is more to read than there was."""
        first, end = bounds(self.root, self.partition)
        stop = end if self.end is None else min(end, self.end)
        return max(self._next, first) < stop

    def acknowledge(self, offset: int) -> None:
        """Kafka has that record, or nobody ever will."""
        self._on_its_way.discard(offset)
        if offset < self.base:
            return
        self._acknowledged.add(offset)
        while self.base in self._acknowledged:
            self._acknowledged.remove(self.base)
            self.base += 1

    def skip_to(self, first: int) -> None:
        """The spool holds nothing below this any more. What is on its way is lost only if it is not acknowledged (see `again`)."""
        if first <= self.base:
            return
        for offset in range(self.base, first):
            if offset not in self._acknowledged:
                if offset < self._next:
                    self._on_its_way.add(offset)
                else:
                    self.lost += 1
        self.base = first
        self._acknowledged = {offset for offset in self._acknowledged if offset >= first}
        self._next = max(self._next, first)
        while self.base in self._acknowledged:
            self._acknowledged.remove(self.base)
            self.base += 1

    def again(self) -> None:
        """Send from the oldest that is not acknowledged: what was acknowledged without our hearing of it is sent twice, and counts once."""
        self.lost += len(self._on_its_way)
        self._on_its_way.clear()
        self._next = self.base
        self._records = None

    @property
    def done(self) -> bool:
        """Whether all of it is acknowledged, and no more will come."""
        return self.end is not None and self.base >= self.end

    def waiting(self) -> int:
        """Records that are written and not acknowledged."""
        first, end = bounds(self.root, self.partition)
        stop = end if self.end is None else min(end, self.end)
        return max(0, stop - max(self.base, first)) - len(self._acknowledged)
