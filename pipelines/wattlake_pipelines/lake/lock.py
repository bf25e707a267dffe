"""The lock of the one committer: who holds it, and how another takes over from one that does not go on.

The lock is a file held by flock. One that takes over puts a new file in its place, and the old one
stays beside it under the number of its epoch for as long as its holder lives: so that what the
holder has under staging is told from what the dead have left.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import LOCK

#: Room for what a holder says of itself, written over in place.
_BYTES = 512
#: A sign of progress is written down no more often than this.
_EVERY_S = 1.0


class AtWorkError(WattlakeError):
    """Another committer holds the lake."""


@dataclass(frozen=True)
class Holder:
    """Who is at work. since_ms: since when. progress_ms, step: when it last came on, and to where."""

    pid: int
    host: str
    since_ms: int
    progress_ms: int
    step: str

    def __str__(self) -> str:
        return (f"process {self.pid} on host {self.host}, at work since {_utc(self.since_ms)}, "
                f"last sign of progress {_utc(self.progress_ms)} ({self.step})")


class Lock:
    """The lock of a lake, held from the making of this object until `close`.

    Between the two, `settle` is to be called while the catalogue is locked for writing: until then
    another one may still come first. AtWorkError if another committer is at work and take_over is
    not wanted; WattlakeError if the lake cannot be written.
    """

    def __init__(self, lake: Path, *, take_over: bool = False) -> None:
        self._place = lake / LOCK
        self._beaten = 0.0
        self._made: Path | None = None
        try:
            self._file = os.open(self._place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unwritable(lake, error) from error
        self._before = _holder(self._file)
        if _held(self._file):
            os.close(self._file)
            if not take_over:
                raise at_work(lake, self._before)
            self._made = self._place.with_name(f"{LOCK}.new-{uuid4().hex}")
            try:
                self._file = os.open(self._made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise _unwritable(lake, error) from error
            fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def takes_over(self) -> bool:
        """Whether another holds the lake, and is to be shut out."""
        return self._made is not None

    def settle(self, epoch: int) -> None:
        """Make sure that this lock is the one in place, and sign it. epoch: the last one taken, its holder's."""
        if self._made is not None:
            self._place.rename(_of(self._place, epoch))
            self._made.rename(self._place)
            self._made = None
        elif not self._place.exists() or not os.path.samestat(os.fstat(self._file), self._place.stat()):
            raise at_work(self._place.parent, None)
        now = time.time_ns() // 1_000_000
        self._holder = Holder(os.getpid(), socket.gethostname(), now, now, "opened")
        self._sign()

    def beat(self, step: str) -> None:
        """Note that the work has come to a step."""
        if (now := time.monotonic()) - self._beaten >= _EVERY_S or step != self._holder.step:
            self._beaten = now
            self._holder = replace(self._holder, progress_ms=time.time_ns() // 1_000_000, step=step)
            # what others are told of this holder is a kindness: what holds the lake is the lock, and a disk that fails is met by the work itself
            with suppress(OSError):
                self._sign()

    def _sign(self) -> None:
        os.pwrite(self._file, json.dumps(asdict(self._holder)).ljust(_BYTES - 1).encode()[: _BYTES - 1] + b"\n", 0)

    def others(self) -> list[Holder]:
        """Who else is known to be at work on this lake: the holder that this one takes over from, and earlier ones."""
        found = [holder for _, holder in _earlier(self._place) if holder is not None]
        return found if self._made is None or self._before is None else [*found, self._before]

    def close(self) -> None:
        """Give it up."""
        if self._made is not None:
            self._made.unlink(missing_ok=True)
        os.close(self._file)


def living_epochs(lake: Path) -> set[int]:
    """The epochs of committers that others have taken over from, and that are not gone yet."""
    return {epoch for epoch, _ in _earlier(lake / LOCK)}


def at_work(lake: Path, holder: Holder | None) -> AtWorkError:
    """What to say of a lake that another committer holds."""
    who, stop = (f": {holder}", f"stop it (kill {holder.pid})") if holder is not None else ("", "stop it")
    return AtWorkError(f"another committer is at work{who}", subject=str(lake),
                       next_step=f"wait for it, or {stop}; one that is frozen or cannot be reached is shut out by running this with --take-over")


def stuck(lake: Path, holders: list[Holder]) -> WattlakeError:
    """What to say of a catalogue that somebody keeps locked for writing."""
    if not holders:
        return WattlakeError("the catalogue is locked by another program", subject=str(lake), next_step="close what else writes to it, and run this again")
    killing = "; ".join(f"kill -9 {holder.pid} (on {holder.host})" for holder in holders)
    return WattlakeError(f"the catalogue is locked by a committer in the middle of a commit: {'; '.join(map(str, holders))}", subject=str(lake),
                         next_step=f"end it: {killing}; then run this again: what it had begun counts once or not at all")


def _earlier(place: Path) -> list[tuple[int, Holder | None]]:
    """(epoch, holder) of the earlier locks that are held still; those that are not are deleted."""
    found = []
    for path in place.parent.glob(f"{place.name}.*"):
        epoch = path.suffix[1:]
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not _held(file):
            path.unlink(missing_ok=True)
        elif epoch.isdecimal():
            found.append((int(epoch), _holder(file)))
        os.close(file)
    return sorted(found, key=lambda pair: pair[0])


def _of(place: Path, epoch: int) -> Path:
    return place.with_name(f"{place.name}.{epoch}")


def _held(file: int) -> bool:
    """Whether another process holds the lock; if none does, this one does now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _holder(file: int) -> Holder | None:
    """What a lock's file says of its holder; None if it says nothing that can be read."""
    try:
        return Holder(**json.loads(os.pread(file, _BYTES, 0)))
    except (ValueError, TypeError):
        return None


def _unwritable(lake: Path, error: OSError) -> WattlakeError:
    return WattlakeError(f"cannot be written: {error.strerror}", subject=str(lake), next_step="check owner and mode, or give another --lake")


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
