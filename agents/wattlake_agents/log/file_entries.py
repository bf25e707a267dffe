"""The records of a log in a folder, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from wattlake_agents.log.entry import Entry, entry_of
from wattlake_agents.log.payload import PayloadReader
from wattlake_contracts.errors import UsageError
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import Damage, Stored

#: How often a log that is followed is looked at.
_LOOK_S = 0.5


class FileEntries:
    """A file log. topic: only records that would go to that topic (by its name without prefix). partition: only that one. rows: shown of each record.

    WattlakeError if there is no log; UsageError if there is no such partition.
    """

    def __init__(self, root: Path, topic: str | None, partition: str | None, rows: int) -> None:
        self._root, self._topic, self._partition, self._rows = root, topic, partition, rows
        self._payloads = PayloadReader()
        self._ends: dict[str, int] = {}
        self._names()

    def _names(self) -> list[str]:
        names = partitions(self._root)
        if self._partition is None:
            return names
        if self._partition not in names:
            raise UsageError(f"there is no partition {self._partition!r}", subject=str(self._root), next_step="`wattlake log status` lists them")
        return [self._partition]

    def all(self, start: int | None) -> Iterator[Entry]:
        """Everything from an offset on, partition by partition."""
        for name in self._names():
            first, end = bounds(self._root, name)
            yield from self._read(name, max(first, start or 0), end)

    def ends(self) -> dict[str, int]:
        """Where each partition ends: the offset that its next record will have."""
        return {name: bounds(self._root, name)[1] for name in self._names()}

    def last(self, count: int) -> list[Entry]:
        """The last records of all partitions together, by their time; remembers where that was, for `coming`."""
        found: list[Entry] = []
        self._ends.clear()
        for name in self._names():
            first, end = bounds(self._root, name)
            self._ends[name] = end
            # of a topic there may be few among the last: look further back, each time twice as far
            back = max(count, 1)
            while True:
                start = max(first, end - back)
                some = list(self._read(name, start, end)) if count else []
                if len(some) >= count or start == first:
                    break
                back *= 2
            found += some[-count:] if count else []
        return sorted(found, key=lambda e: e.order)[-count:] if count else []

    def coming(self) -> Iterator[Entry | None]:
        """What is written after `last`, in new partitions too; None each time all of it was given."""
        while True:
            for name in self._names():
                first, end = bounds(self._root, name)
                yield from self._read(name, max(first, self._ends.get(name, 0)), end)
                self._ends[name] = end
            yield None
            time.sleep(_LOOK_S)

    def _read(self, name: str, start: int, end: int) -> Iterator[Entry]:
        try:
            for item in read(self._root, name, start, end):
                if entry := self._entry(name, item):
                    yield entry
        except FileNotFoundError:
            return  # its oldest segments were given up meanwhile

    def _entry(self, name: str, item: Stored | Damage) -> Entry | None:
        if isinstance(item, Damage):
            # of which topic it was nobody knows: it is shown whatever is asked for
            lost = f"{item.records} records lost: " if item.records != 1 else ""
            return Entry(name, item.offset, 0, len(item.raw), reason=f"{lost}{item.reason} (in {item.segment} at byte {item.position})")
        kind = KINDS.get(item.record.meta.kind)
        if self._topic is not None and (kind is None or kind.topic != self._topic):
            return None
        return entry_of(name, item.offset, item.record, self._payloads, self._rows)

    def close(self) -> None:
        """No more is wanted."""
        self._payloads.close()
