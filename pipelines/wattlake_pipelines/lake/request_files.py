"""The folder in which one process asks something of the committer that holds a lake, and is answered.

A request is a file that is there whole or not at all. Its name says how it stands, and each change
of that is a renaming, so that two who want it cannot both have it:

    ID.asked      it waits, and whoever asked may take it back
    ID.taken      the committer has it
    ID.answer     what came of it; left for an hour

Whoever may write in this folder may write to the lake: the committer makes it with the lake's own
mode. All the same, what lies there is taken for a mistake until it is read: neither links nor large
files are followed, and nothing in one is run.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec

from wattlake_contracts.errors import FAILED, USAGE, UsageError, WattlakeError
from wattlake_contracts.layout import REQUESTS
from wattlake_pipelines.lake.committer import fsync
from wattlake_pipelines.lake.keys import Change

ASKED, TAKEN, ANSWER, BACK, WRITTEN = ".asked", ".taken", ".answer", ".back", ".tmp"
#: No request and no answer is larger: a node's name has 1,000 bytes at most, a path 4,096.
_MOST_BYTES = 16 * 1024
#: After so long nobody waits any more for what was asked, nor for an answer.
OLD_MS = 3_600_000
_Message = TypeVar("_Message", bound=msgspec.Struct)


class Request(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is asked, and when, by the clock of whoever asks."""

    asked_ms: int
    change: Change


class Answer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What came of a request. refused: why it was not done, None if it was; the rest as of WattlakeError."""

    refused: str | None = None
    subject: str = ""
    next_step: str = ""
    exit_code: int = FAILED

    def error(self) -> WattlakeError | None:
        """What to tell whoever asked, if it was not done."""
        if self.refused is None:
            return None
        kind = UsageError if self.exit_code == USAGE else WattlakeError
        return kind(self.refused, subject=self.subject, next_step=self.next_step)


class RequestFolderError(WattlakeError):
    """The folder of requests cannot be used; all else of the lake can."""


class UnfitError(Exception):
    """A file in the folder is no request, or no answer; says why."""


def is_served(lake: Path) -> bool:
    """Whether some committer of this lake has taken requests: one of an earlier Wattlake takes none."""
    return _folder(lake).is_dir() and not _folder(lake).is_symlink()


def make_folder(lake: Path) -> None:
    """Make the folder, for those who may write to the lake. RequestFolderError if it cannot be."""
    folder = _folder(lake)
    with _usable(folder):
        if not os.path.lexists(folder):
            # under another name until it has its mode: a committer may be killed in between, and the next one goes on from there
            made = folder.with_name(f"{REQUESTS}.new")
            with suppress(FileExistsError):
                made.mkdir()
            made.chmod(stat.S_IMODE(lake.stat().st_mode))
            made.rename(folder)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def put(lake: Path, request: Request) -> str:
    """Ask; give the request's id. RequestFolderError if it cannot be written."""
    name = uuid4().hex[:16]
    _write(_folder(lake), name, ASKED, msgspec.json.encode(request))
    return name


def take_back(lake: Path, name: str) -> bool:
    """Ask no more. False if the committer has taken the request, or answered it."""
    folder = _folder(lake)
    with _usable(folder):
        try:
            (folder / (name + ASKED)).rename(folder / (name + BACK))
        except FileNotFoundError:
            return False
        fsync(folder)
        (folder / (name + BACK)).unlink(missing_ok=True)
    return True


def answer_to(lake: Path, name: str) -> Answer | None:
    """The answer to a request, if there is one. WattlakeError if it cannot be read."""
    path = _folder(lake) / (name + ANSWER)
    try:
        return _read(path, Answer)
    except FileNotFoundError:
        return None
    except UnfitError as error:
        raise WattlakeError(f"the committer's answer cannot be read: {error}", subject=str(path),
                            next_step="see `wattlake lake key list` for what holds") from error


def waiting(lake: Path) -> list[str]:
    """The ids of the requests that are taken or wait, in the order in which they were asked. RequestFolderError if they cannot be listed."""
    found: dict[str, int] = {}
    folder = _folder(lake)
    with _usable(folder):
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return []
        for entry in entries:
            name, dot, kind = entry.name.partition(".")
            # folders and the like are nobody's requests; a link is one, and is refused
            if _is_id(name) and dot + kind in (ASKED, TAKEN) and (entry.is_symlink() or entry.is_file(follow_symlinks=False)):
                with suppress(FileNotFoundError):  # taken back meanwhile
                    found[name] = entry.stat(follow_symlinks=False).st_mtime_ns
    return sorted(found, key=lambda name: (found[name], name))


def take(lake: Path, name: str) -> bool:
    """Take a request, so that it cannot be taken back. False if it was taken back; True, too, for one that a committer before this one had taken."""
    folder = _folder(lake)
    with _usable(folder):
        try:
            (folder / (name + ASKED)).rename(folder / (name + TAKEN))
        except FileNotFoundError:
            return (folder / (name + TAKEN)).is_symlink() or (folder / (name + TAKEN)).exists()
    return True


def read(lake: Path, name: str) -> Request:
    """A request that is taken. UnfitError if it is none."""
    return _read(_folder(lake) / (name + TAKEN), Request)


def let_go(lake: Path, name: str) -> None:
    """Let a request that was taken wait again: nothing of it was done."""
    folder = _folder(lake)
    with _usable(folder), suppress(FileNotFoundError):
        (folder / (name + TAKEN)).rename(folder / (name + ASKED))


def is_answered(lake: Path, name: str) -> bool:
    """Whether there is an answer."""
    return (_folder(lake) / (name + ANSWER)).exists()


def answer(lake: Path, name: str, said: Answer) -> None:
    """Answer a request that is taken; only then it is gone."""
    _write(_folder(lake), name, ANSWER, msgspec.json.encode(said))


def close(lake: Path, name: str) -> None:
    """Put away a request that is answered."""
    folder = _folder(lake)
    with _usable(folder):
        (folder / (name + TAKEN)).unlink(missing_ok=True)


def sweep(lake: Path) -> None:
    """Delete what nobody waits for: old answers, and what a process that died had half written or taken back."""
    folder = _folder(lake)
    oldest_ns = time.time_ns() - OLD_MS * 1_000_000
    with _usable(folder):
        for entry in list(os.scandir(folder)):
            name, dot, kind = entry.name.partition(".")
            if _is_id(name) and dot + kind in (ANSWER, BACK, WRITTEN) and not (folder / (name + TAKEN)).exists():
                with suppress(FileNotFoundError, IsADirectoryError):
                    if entry.stat(follow_symlinks=False).st_mtime_ns < oldest_ns:
                        Path(entry.path).unlink()


def _folder(lake: Path) -> Path:
    return lake / REQUESTS


def _is_id(name: str) -> bool:
    return len(name) == 16 and set(name) <= set("0123456789abcdef")


def _write(folder: Path, name: str, kind: str, content: bytes) -> None:
    """A file that is there whole or not at all, also after a crash."""
    made = folder / (name + WRITTEN)
    with _usable(folder):
        # what a committer that was killed had begun to answer
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "wb") as file:
            # the other side may be another user: all of it is public
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.rename(folder / (name + kind))
        fsync(folder)


def _read(path: Path, kind: type[_Message]) -> _Message:
    try:
        # a pipe would else be waited for
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnfitError("is a link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UnfitError("is no file")
        content = os.read(file, _MOST_BYTES + 1)
    except OSError as error:
        raise UnfitError(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(file)
    if len(content) > _MOST_BYTES:
        raise UnfitError(f"has more than {_MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnfitError(f"is not as it should be: {error}") from error


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestFolderError(f"requests cannot be kept there: {error.strerror}", subject=str(folder),
                                 next_step="check owner, mode and free space of the folder; it may be deleted, a follower makes it anew") from error
