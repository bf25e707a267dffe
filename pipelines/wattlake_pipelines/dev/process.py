"""One process of a server: it outlives the command that started it, and is found again, stopped or killed by another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wattlake_contracts.errors import WattlakeError

_POLL_S = 0.02
_ASKING_S = 0.5
#: A thread in the middle of a write to a slow disk stops only after it.
_FREEZING_S = 10.0


def _take(lock: int) -> bool:
    """Whether the lock could be had: who only asks whether the process runs holds it for an instant too."""
    until = time.monotonic() + _ASKING_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _is_still(pid: int) -> bool:
    """Whether every thread of a process is stopped: each is told by itself, and a busy machine has some that have not come to it."""
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            # after the name, which is in brackets and may hold anything
            states.append(thread.read_text().rpartition(")")[2].split()[0])
    return all(state == "T" for state in states)


class ServerProcess:
    """A process by its name in a folder.

    It holds a lock on NAME.pid as long as it lives, whoever started it and however it ends: so whether it runs is asked of the
    kernel, and a process id that another process has got since is never signalled. What it prints is in NAME.log, of its last
    start.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with what it prints."""
        return self.folder / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def pid(self) -> int | None:
        """Its process id; None if it does not run."""
        if self._child is not None:
            self._child.poll()  # a child that has ended and was not asked for would still count as a process
        try:
            lock = os.open(self._pid_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # shared, so that two who ask at once do not take each other for the process
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(lock, 32) or 0) or None
        finally:
            os.close(lock)
        return None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it, in a session of its own, so that Ctrl-C in the terminal is not meant for it. WattlakeError if it runs already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._pid_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _take(lock):
                raise WattlakeError(f"{self.name} runs already", subject=str(self.folder), next_step="stop it, or give another --dir")
            os.truncate(lock, 0)
            with self.log.open("wb") as log:
                self._child = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, pass_fds=(lock,),
                                               start_new_session=True, cwd=self.folder, env={**os.environ, **(environment or {})})
            os.pwrite(lock, str(self._child.pid).encode(), 0)
        finally:
            os.close(lock)

    def signal(self, number: int) -> bool:
        """Send it a signal; False if it does not run."""
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):  # it ended of itself just now, which is for pid() to tell
            os.kill(pid, number)
        return True

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, and wait until it is gone."""
        if self.signal(signal.SIGKILL):
            self.wait(30)

    def freeze(self) -> None:
        """Let it do nothing at all until thaw(): its connections stay open, and nobody answers. None of its threads runs any more when this returns."""
        self.signal(signal.SIGSTOP)
        until = time.monotonic() + _FREEZING_S
        while (pid := self.pid()) is not None and not _is_still(pid) and time.monotonic() < until:
            time.sleep(_POLL_S)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self, patience_s: float = 20) -> None:
        """Ask it to end (SIGTERM), and kill it if it has not after so many seconds."""
        if self.ask_to_stop() and not self.wait(patience_s):
            self.kill()

    def ask_to_stop(self) -> bool:
        """Send SIGTERM, and wait for nothing; False if it does not run."""
        return self.signal(signal.SIGTERM) and self.signal(signal.SIGCONT)  # one that is frozen hears nothing

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        until = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def tail(self, lines: int = 12) -> str:
        """The last lines that it printed."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def died(self, what: str) -> WattlakeError:
        """What to say of it when it has ended, or not done what it should have: with what it said last."""
        said = "".join(f"\n  | {line}" for line in self.tail().splitlines())
        return WattlakeError(f"{what}; it said last:{said}" if said else f"{what}, without a word", subject=f"{self.name} in {self.folder}",
                             next_step=f"the whole of it is in {self.log}")
