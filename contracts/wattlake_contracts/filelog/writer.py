"""Writing a partition of the file log, durably and within a bounded size."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.format import HEADER_BYTES, MAX_RECORD_BYTES, encode_mark, encode_meta, encode_record
from wattlake_contracts.filelog.partition import LOCK, MARK, LogError, check_name, read_mark, segment_name, segments, written
from wattlake_contracts.filelog.reader import scan
from wattlake_contracts.record import Meta, Stored

#: In place of a descriptor: given up for good, or to be opened again.
_CLOSED, _SHUT = -1, -2
#: So many zeros are written beyond small records: the fsync of a record that takes their place need not tell the file system of a file that has grown.
_AHEAD = bytes(128 * 2**10)
#: What is larger is worth a growth of its own, and not the writing of as many zeros first.
_SMALL_BYTES = len(_AHEAD) // 8


class RecordTooLarge(LogError):  # noqa: N818 - says what is the case, as its callers read it
    """The record is larger than the log allows; it was not written."""


class LogWriter:
    """The one writer of a partition.

    root: the log's folder. partition: the writer's own name in it. segment_bytes: a segment is
    closed when it grows beyond this. max_bytes: the oldest segments are deleted when all together
    grow beyond this, and their records counted in `lost_records` (None: never).

    A record is accepted once `sync` has returned. LogError if another process holds the partition
    or the folder cannot be written; OSError from the disk is passed on, and the log stays usable:
    what was not synced is cut off and can be appended again. What fails once a record is durable
    (its mark, a new segment, deleting an old one) is made up for by the next sync, which accepts
    nothing until then: a record that is accepted is never told as failed.
    """

    def __init__(self, root: Path, partition: str, *, segment_bytes: int = 16 * 2**20, max_bytes: int | None = None,
                 max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.folder = root / check_name(partition)
        self.segment_bytes, self.max_bytes, self.max_record_bytes = segment_bytes, max_bytes, max_record_bytes
        self.lost_records = 0
        self._file = self._mark = _CLOSED
        self._pending: list[bytes] = []
        #: whether the mark tells of all that is durable, and the folder durably of the segment that is written
        self._marked = self._listed = False
        #: whether the mark on the disk itself tells of that segment
        self._kept_mark = True
        #: whether zeros are written ahead: not for a single record, and not on a disk that has no room to spare
        self._again, self._roomy = False, True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(f"cannot write the log in {root}: {error.strerror}; check its owner and mode, or write to another folder") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise LogError(f"{self.folder} is being written by another process; stop it, or use another log") from error
        try:
            self._mark = os.open(self.folder / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._recover()
        except BaseException:
            # neither the lock nor a descriptor may outlive a writer that never was: the same process may try again
            self._give_up()
            raise

    def _recover(self) -> None:
        """Keep the valid prefix of the last segment, and go on after the last offset ever given out."""
        found = segments(self.folder)
        mark = read_mark(self.folder)
        self.first_offset = found[0][0] if found else (mark[0] if mark else 0)
        # a power cut may leave an old mark, and a last segment without a record; but its name was durable before any record in it was
        # accepted, and what a cursor says is shipped was given out: readers would pass over new records under such offsets
        found_next, keep, stump_bytes = found[-1][0] if found else 0, 0, 0
        if found:
            base, path = found[-1]
            raw = path.read_bytes()
            # what is within the mark stays, damaged or not; where fsynced bytes are gone all the same, the
            # stump of a record must not stand before the next one
            keep = mark[2] if mark and mark[1] == base and mark[2] <= len(raw) else 0
            for item in scan(raw, memoryview(raw), path.name, base, base, base, 2**63, {}):
                if isinstance(item, Stored):
                    found_next = max(found_next, item.offset + 1)
                    keep = max(keep, item.end)
            stump_bytes = len(raw) - min(keep, len(raw))
        self.next_offset = max(found_next, mark[0] if mark else 0, *cursor.given(self.folder))
        if mark is None:
            # a mark is on the disk before the first record, so that only a damaged disk loses it: how many records stood in what
            # cannot be read there nobody knows, and their offsets are not given again
            self.next_offset = max(self.next_offset, found_next + stump_bytes // HEADER_BYTES)
        # what the segments do not say must outlast the next power cut
        self._kept_mark = mark is not None and self.next_offset == found_next
        if found:
            self._open(base, path, min(keep, len(raw)))
        else:
            self._open(self.next_offset, self.folder / segment_name(self.next_offset), 0)
        _sync_data(self._file)
        self._make_up()

    def _open(self, base: int, path: Path, size: int) -> None:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(opened, size)
        except OSError:
            # what stands beyond was told as failed: nothing is written after it, or before it
            _close(opened)
            raise
        self._file, self._base, self._size = opened, base, size
        #: up to where the segment is written, with zeros or not
        self._reached = size

    def append(self, meta: Meta, seq: int, payload: bytes | memoryview, appended_ms: int | None = None) -> int:
        """Take a record in and give its offset; it counts as accepted only after `sync`.

        RecordTooLarge if it could never be shipped; nothing is written then.
        """
        head = encode_meta(meta)
        if HEADER_BYTES + len(head) + len(payload) > self.max_record_bytes:
            raise RecordTooLarge(
                f"a {meta.kind} record of {len(payload)} bytes is over the limit of {self.max_record_bytes}; send fewer rows at a time")
        when = time.time_ns() // 1_000_000 if appended_ms is None else appended_ms
        offset = self.next_offset + len(self._pending)
        self._pending.append(encode_record(head, payload, offset, seq, when))
        return offset

    def sync(self) -> int:
        """Write and fsync what was appended; give the end offset, below which all is accepted.

        OSError (disk full, I/O error): what was appended since the last sync is forgotten and not
        accepted; the caller appends it again when there is room.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return self.next_offset
        blob = b"".join(pending)
        if self._file == _SHUT:
            self._open(self._base, self.folder / segment_name(self._base), self._size)
        self._make_up()
        try:
            _write_all(self._file, blob, self._size)
            self._go_ahead(self._size + len(blob), len(blob))
            _sync_data(self._file)
        except OSError:
            self._reopen()
            raise
        # accepted: from here on nothing may fail, or the caller would append it again
        self._size += len(blob)
        self.next_offset += len(pending)
        self._again, self._marked = True, False
        with suppress(OSError):
            self._make_up()
            if self._size >= self.segment_bytes:
                self._roll()
                self._make_up()
        if self.max_bytes is not None:
            with suppress(OSError):
                self._trim(self.max_bytes)
        return self.next_offset

    def _go_ahead(self, end: int, written_bytes: int) -> None:
        """Have zeros stand beyond what was written to this end, where the next records will be. That there is no room for them is no failure."""
        if end <= self._reached:
            return
        self._reached = end
        more = min(len(_AHEAD), self.segment_bytes - end)
        if not (self._again and self._roomy) or written_bytes > _SMALL_BYTES or more <= 0:
            return
        try:
            _write_all(self._file, _AHEAD[:more], end)
        except OSError:
            # the last pages of a disk are for others' files
            self._roomy = False
            with suppress(OSError):
                os.ftruncate(self._file, end)
        else:
            self._reached = end + more

    def _reopen(self) -> None:
        # After a failed fsync the kernel may drop dirty pages and report success next time, so the
        # descriptor is not trusted again: cut back to what was durable and open anew.
        _close(self._file)
        # it may have been for the zeros that there was no room
        self._file, self._listed, self._roomy = _SHUT, False, False
        with suppress(OSError):  # the next sync tries again, and says so if it still cannot
            self._open(self._base, self.folder / segment_name(self._base), self._size)

    def _make_up(self) -> None:
        """What is still to be done about records that are durable. OSError is passed on; it is then still to be done."""
        if not self._listed:
            sync_folder(self.folder)
            self._listed = True
        if not self._marked:
            _write_all(self._mark, encode_mark(self.next_offset, self._base, self._size), 0)
            self._marked = True
        if not self._kept_mark:
            _sync_data(self._mark)
            self._kept_mark = True

    def _cut_off(self) -> None:
        """Have the segment end with its last record; readers pass over what stands beyond, where this fails."""
        if self._reached > self._size:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
                self._reached = self._size

    def _roll(self) -> None:
        self._cut_off()
        try:
            path = self.folder / segment_name(self.next_offset)
            new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return  # no room for a new segment: the old one goes on growing
        _close(self._file)
        self._file, self._base, self._size, self._reached, self._roomy = new, self.next_offset, 0, 0, True
        self._listed = self._marked = self._kept_mark = False

    def _trim(self, max_bytes: int) -> None:
        found = written(self.folder)
        total = sum(size for _, _, size in found)
        wanted = cursor.load(self.folder) if total > max_bytes else []
        for i, (base, path, size) in enumerate(found[:-1]):
            if total <= max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
            # what has been shipped is not lost
            self.lost_records += cursor.within(wanted, base, found[i + 1][0])
            self.first_offset = found[i + 1][0]

    def close(self) -> None:
        """Sync and give the partition up."""
        if self._file == _CLOSED:
            return
        try:
            self.sync()
            if self._file != _SHUT:
                self._cut_off()
                with suppress(OSError):  # the next writer finds what is durable without the mark
                    # what a writer leaves behind is to be seen after a power cut too, though none comes after it
                    self._kept_mark = False
                    self._make_up()
        finally:
            self._give_up()

    def _give_up(self) -> None:
        for descriptor in (self._file, self._mark, self._lock):
            if descriptor >= 0:
                _close(descriptor)
        self._file = _CLOSED

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_pooled(root: Path, stem: str, **options: int | None) -> LogWriter:
    """A writer on the first free partition of `stem.0`, `stem.1`, …: short-lived writers share a few folders."""
    last: LogError | None = None
    for i in range(1000):
        try:
            return LogWriter(root, f"{stem}.{i}", **options)  # type: ignore[arg-type]  # same keywords
        except LogError as error:
            if not (root / f"{stem}.{i}" / LOCK).exists() or not isinstance(error.__cause__, BlockingIOError):
                raise
            last = error
    raise LogError(f"all 1000 partitions {stem}.* are busy") from last


#: macOS has no fdatasync
_sync_data = getattr(os, "fdatasync", os.fsync)


def _close(descriptor: int) -> None:
    # it is closed even where this fails, and what matters has been synced
    with suppress(OSError):
        os.close(descriptor)


def _write_all(descriptor: int, blob: bytes, position: int) -> None:
    view = memoryview(blob)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def sync_folder(folder: Path) -> None:
    """Have what was made in a folder, or taken out of it, be so after a loss of power too. OSError is passed on."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
