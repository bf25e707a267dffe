"""Records written apart in their spool, by topic, so that they leave the place where they hold up others."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from wattlake_contracts.filelog.partition import LogError, partitions
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.aside import open_aside
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.record import Stored

#: Where they wait, a folder for each topic (its name without the prefix); not a partition, by its name.
HELD = ".held"
#: After a failed write, the next try.
_RETRY_S = 1.0
_SEGMENT_BYTES = 4 * 2**20
#: So much is written in one go.
_WRITE_BYTES = 2**20


class SettingApart:
    """Topics are named without their prefix. spool: its folder. max_bytes: what the spool may hold; None: no bound.

    pending_bytes: of the payloads that are to be written. error: why one cannot be, '' if all can.
    """

    def __init__(self, spool: Path, prefix: str, max_bytes: int | None) -> None:
        self.error, self.pending_bytes = "", 0
        self._spool, self._prefix = spool, prefix
        self._segment_bytes = _SEGMENT_BYTES if max_bytes is None else min(_SEGMENT_BYTES, max(max_bytes // 32, 64 * 1024))
        self._writers: dict[tuple[str, str], LogWriter] = {}
        #: to be written, by (topic, partition) and offset
        self._pending: dict[tuple[str, str], dict[int, tuple[Lane, Stored]]] = defaultdict(dict)
        self._again_at = 0.0

    def take(self, topic: str, lane: Lane, stored: Stored) -> None:
        """Have a record written by the next `sync`, which acknowledges it in its lane."""
        items = self._pending[topic, lane.partition]
        if stored.offset not in items:
            self.pending_bytes += len(stored.record.payload)
        items[stored.offset] = (lane, stored)

    def sync(self, now: float) -> set[str]:
        """Write what was taken, with one fsync for each partition and some MiB; the topics of which all is written.

        What cannot be written stays in its lane, and is tried again.
        """
        written: set[str] = set()
        if not self._pending or now < self._again_at:
            return written
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
            written.add(topic)
        self.error = why
        return written

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

    def is_pending(self, topic: str) -> bool:
        """Whether records of a topic are still to be written."""
        return any(key[0] == topic for key in self._pending)

    def _writer(self, topic: str, name: str) -> LogWriter:
        if (topic, name) not in self._writers:
            self._writers[topic, name] = open_aside(self._spool, f"{HELD}/{topic}", name, segment_bytes=self._segment_bytes)
        return self._writers[topic, name]

    def recovered(self, topic: str) -> bool:
        """Whether all that is durable of a topic can be read: after a loss of power its marks may tell of less, until a writer has been there."""
        folder = self._spool / HELD / topic
        try:
            for name in partitions(folder) if folder.is_dir() else ():
                self._writer(topic, name)
        except (OSError, LogError):  # it is tried again, and until then nothing is deleted
            return False
        return True

    def close(self, topic: str, name: str) -> bool:
        """Let go of a partition; False if it was not held."""
        writer = self._writers.pop((topic, name), None)
        if writer is None:
            return False
        writer.close()
        return True

    def let_go(self) -> None:
        """Close what is open."""
        while self._writers:
            with suppress(OSError):  # what is accepted is durable
                self._writers.popitem()[1].close()
