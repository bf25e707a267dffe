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

    damaged: records of it that could not be read.
    """

    root: Path
    partition: str
    base: int
    end: int | None
    damaged: int = 0
    _next: int = -1
    _acknowledged: set[int] = field(default_factory=set)
    _records: Iterator[Stored | Damage] | None = None

    def __post_init__(self) -> None:
        self._next = self.base

    def take(self) -> Stored | None:
        """The next record to be sent; None if there is none now."""
        while True:
            if self._records is None:
                first, end = bounds(self.root, self.partition)
                # what the spool has given up is gone: its writer has counted it
                self._next = max(self._next, first)
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
            return item

    def _advanced(self) -> bool:
        """Whether there is more to read than there was."""
        first, end = bounds(self.root, self.partition)
        stop = end if self.end is None else min(end, self.end)
        return max(self._next, first) < stop

    def acknowledge(self, offset: int) -> None:
        """Kafka has that record, or nobody ever will."""
        self._acknowledged.add(offset)
        while self.base in self._acknowledged:
            self._acknowledged.remove(self.base)
            self.base += 1

    def skip_to(self, first: int) -> None:
        """The spool holds nothing below this any more."""
        self.base = max(self.base, first)
        self._acknowledged = {offset for offset in self._acknowledged if offset >= self.base}
        self._next = max(self._next, self.base)
        while self.base in self._acknowledged:
            self._acknowledged.remove(self.base)
            self.base += 1

    def again(self) -> None:
        """Send from the oldest that is not acknowledged: what was sent beyond it may be sent twice, and counts once."""
        self._next = self.base
        self._acknowledged.clear()
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
