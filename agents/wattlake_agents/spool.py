"""The agent's records on their way to the log: kept in memory, within bounds, while the disk is full."""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from wattlake_agents.json_message import json_payloads
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.filelog.writer import LogWriter, RecordTooLarge
from wattlake_contracts.log_address import SPOOL_DIR, FileLog, KafkaLog
from wattlake_contracts.record import ARROW, JSON, Meta

#: What may wait in memory for the disk to have room again.
PENDING_BYTES = 8 * 2**20
_SEGMENT_BYTES = 16 * 2**20


class Spool:
    """Numbers the records of one life of a writer and writes them to its partition.

    A record keeps its number however often it must be tried, so that it counts once. lost_rows:
    readings and events given up because the disk stayed full or no record takes them; lost_records: records deleted from the
    log because it reached its bound.
    """

    def __init__(self, root: Path, node: str, partition: str, *, max_bytes: int | None = None, pending_bytes: int = PENDING_BYTES,
                 max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.root, self.node, self.boot = root, node, secrets.token_hex(8)
        self.error = ""
        self.lost_rows = self.written = self.rows = 0
        self.last_sync_ms = 0
        self._partition, self._max_bytes, self._pending_limit = partition, max_bytes, pending_bytes
        #: half of what a record may hold
        self._max_record_bytes, self._json_bytes = max_record_bytes, max_record_bytes // 2
        self._writer: LogWriter | None = None
        self._metas: dict[tuple[str, str], Meta] = {}
        self._pending: deque[tuple[Meta, int, bytes, int, int]] = deque()
        self._pending_bytes = 0
        self._seq = 0
        self._lost_records = 0

    @property
    def lost_records(self) -> int:
        return self._lost_records + (self._writer.lost_records if self._writer is not None else 0)

    @property
    def pending(self) -> int:
        """Records that wait for the disk."""
        return len(self._pending)

    @property
    def pending_rows(self) -> int:
        """The rows of those records."""
        return sum(item[3] for item in self._pending)

    def open(self) -> None:
        """Take the partition. LogError if it cannot be had; a full disk is only noted."""
        try:
            # whole segments are deleted, so a small log needs small ones
            segment = _SEGMENT_BYTES if self._max_bytes is None else min(_SEGMENT_BYTES, max(self._max_bytes // 8, MAX_RECORD_BYTES))
            self._writer = LogWriter(self.root, self._partition, segment_bytes=segment, max_bytes=self._max_bytes,
                                     max_record_bytes=self._max_record_bytes)
        except OSError as error:
            if not passing(error):
                raise LogError(f"cannot write the log in {self.root}: {error.strerror}") from error
            self.error = f"cannot write the log: {error.strerror}"
        except LogError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or not passing(cause):
                raise
            self.error = f"cannot write the log: {cause.strerror}"

    def add(self, kind: str, payload: bytes, rows: int, *, arrow: bool = False) -> None:
        """Take a record in. It is accepted once `sync` says so; the oldest go when too much waits."""
        content = ARROW if arrow else JSON
        meta = self._metas.get((kind, content))
        if meta is None:
            meta = self._metas[kind, content] = Meta(kind, self.node, self.boot, content_type=content)
        self._pending.append((meta, self._seq, payload, rows, time.time_ns() // 1_000_000))
        self._seq += 1
        self._pending_bytes += len(payload)
        while self._pending_bytes > self._pending_limit and len(self._pending) > 1:
            _, _, old, old_rows, _ = self._pending.popleft()
            self._pending_bytes -= len(old)
            self.lost_rows += old_rows

    def add_json(self, kind: str, rows: list[dict[str, object]]) -> None:
        """Take rows of a JSON kind in, as one record, or several where one would be too large."""
        for payload, count in json_payloads(rows, lambda payload: len(payload) <= self._json_bytes):
            self.add(kind, payload, count)

    def sync(self) -> bool:
        """Write what waits, durably; whether all of it is accepted now. Never raises for a full disk."""
        if not self._pending:
            return True
        try:
            if self._writer is None:
                self.open()
                if self._writer is None:
                    return False
            for item in tuple(self._pending):
                meta, seq, payload, rows, appended_ms = item
                try:
                    self._writer.append(meta, seq, payload, appended_ms)
                except RecordTooLarge:  # one row that no log takes: it must not hold up all others
                    self._pending.remove(item)
                    self._pending_bytes -= len(payload)
                    self.lost_rows += rows
            self._writer.sync()
        except OSError as error:
            self.error = f"cannot write the log: {error.strerror}"
            return False
        except LogError as error:
            self.error = str(error)
            return False
        self.error = ""
        self.written += len(self._pending)
        self.rows += sum(item[3] for item in self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        self.last_sync_ms = time.time_ns() // 1_000_000
        return True

    def close(self) -> None:
        """Give the partition up; what waits is tried once more."""
        self.sync()
        if self._writer is not None:
            with suppress(OSError):  # it was noted by sync already, and there is nothing left to try
                self._writer.close()
            self._lost_records, self._writer = self.lost_records, None


def refused(error: LogError, root: Path, node: str, address: FileLog | KafkaLog) -> WattlakeError:
    """Why a log, or the spool of one on Kafka, cannot be written at all, as its user is told: what, on which file, and what to do about it."""
    cause = error.__cause__
    what, elsewhere = ("spool", f"set {SPOOL_DIR} to another folder") if isinstance(address, KafkaLog) else ("log", "give another --log")
    if isinstance(cause, BlockingIOError):
        another = elsewhere if what == "spool" else "give this one another --log or --node"
        return WattlakeError(f"an agent of node {node} writes this {what} already", subject=str(root), next_step=f"stop that agent, or {another}")
    if not isinstance(cause, OSError):
        return WattlakeError(str(error), subject=str(root), next_step="give another --node")
    if isinstance(cause, PermissionError):
        step = f"run as its owner, or let {_user() or 'this user'} write there (chown, chmod), or {elsewhere}"
    elif isinstance(cause, FileExistsError | NotADirectoryError):
        step = f"a file stands where a folder must be: move it away, or {elsewhere}"
    elif cause.errno == errno.EROFS:
        step = f"the file system is read-only: mount it for writing, or {elsewhere}"
    elif isinstance(cause, FileNotFoundError):
        step = f"no folder can be made there: {elsewhere}"
    else:
        step = f"mend the file system, or {elsewhere}"
    return WattlakeError(f"the {what} cannot be written: {cause.strerror}", subject=str(cause.filename or root), next_step=step)


def _user() -> str | None:
    """Who this process runs as, or None if the system has no name for them."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def passing(error: OSError) -> bool:
    """Whether it may pass by itself: no space, no quota, an I/O error."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
