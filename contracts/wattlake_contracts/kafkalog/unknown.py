"""Records of kinds that this version does not know: they wait in the spool for a version that does.

A newer version may have written them before it gave way to this one. Which topic they go to, only it knows.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import LogError, partitions
from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.aside import open_aside, recover
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import Record, Stored

#: Where they wait, a folder for each kind; not a partition, by its name.
UNKNOWN = ".unknown"
_FOLDER = re.compile(r"[A-Za-z0-9_%-][A-Za-z0-9_.%-]{0,199}")


class Unknown:
    """What of a spool is of unknown kinds. root: the spool. Only the process that ships the spool may have one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        #: why what waits in a partition cannot be told; '' if all can
        self.error = ""
        self._writers: dict[tuple[str, str], LogWriter] = {}
        #: partitions whose marks tell of all that is durable
        self._recovered: set[tuple[str, str]] = set()

    def recover(self) -> str:
        """Have the marks tell of all that is durable, where they do not since a loss of power. Gives `error`; what fails is tried again by the next call."""
        self.error = ""
        for folder in self._folders():
            for name in partitions(self._root / UNKNOWN / folder):
                # a writer has seen to it when it was opened
                if (folder, name) in self._recovered or (folder, name) in self._writers:
                    continue
                if why := recover(self._root, f"{UNKNOWN}/{folder}", name):
                    self.error = why
                else:
                    self._recovered.add((folder, name))
        return self.error

    def keep(self, partition: str, record: Record) -> None:
        """Write a record down, durably. OSError, LogError: it is not."""
        where = folder_of(record.meta.kind), partition.rpartition("/")[2]
        if where not in self._writers:
            # opening one reads what it holds, so it stays open
            self._writers[where] = open_aside(self._root, f"{UNKNOWN}/{where[0]}", where[1])
        writer = self._writers[where]
        writer.append(record.meta, record.seq, record.payload, record.appended_ms)
        writer.sync()

    def take(self, lane: Lane, stored: Stored) -> str:
        """Set a record of a lane aside, so that it holds up no other; why that cannot be, '' if it is done."""
        try:
            self.keep(lane.partition, stored.record)
        except (OSError, LogError) as error:
            return f"a record of the unknown kind {stored.record.meta.kind!r} cannot be set aside: {error}"
        lane.acknowledge(stored.offset)
        return ""

    def shippable(self) -> list[str]:
        """The partitions whose kind this version knows after all, as paths within the spool."""
        return [f"{UNKNOWN}/{folder}/{name}" for folder in sorted({folder_of(kind) for kind in KINDS} & set(self._folders()))
                for name in partitions(self._root / UNKNOWN / folder)]

    def waiting(self) -> dict[str, int]:
        """For each kind (its folder) that this version does not know: how many records wait."""
        known = {folder_of(kind) for kind in KINDS}
        found = {folder: sum(self._waiting(self._root / UNKNOWN / folder, name) for name in partitions(self._root / UNKNOWN / folder))
                 for folder in self._folders() if folder not in known}
        return {folder: count for folder, count in found.items() if count}

    @staticmethod
    def _waiting(root: Path, name: str) -> int:
        # a part of it may have been shipped by a version that knew it
        return cursor.within(cursor.load(root / name), *bounds(root, name))

    def _folders(self) -> list[str]:
        where = self._root / UNKNOWN
        return sorted(path.name for path in where.iterdir() if path.is_dir()) if where.is_dir() else []

    def close(self) -> None:
        """Let go of what is open."""
        while self._writers:
            self._writers.popitem()[1].close()


def folder_of(kind: str) -> str:
    """The folder of a kind, whatever its name is: every version gives the same."""
    name = quote(kind, safe="")
    return name if _FOLDER.fullmatch(name) else "%" + sha256(kind.encode()).hexdigest()[:32]
