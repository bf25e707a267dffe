"""The parent's side: starts the child, asks it, and ends it when its time is up."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_warehouse.catalogue import copy_catalogue
from wattlake_warehouse.sql.limits import Limits
from wattlake_warehouse.sql.messages import Answer, Columns, End, Failure, Question, Ready, Rows, Setup

_START_S = 60.0
_CHUNK = 1 << 16
#: the child needs to know nothing of who asks
_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


@dataclass(frozen=True)
class Result:
    """What a statement gave. cut: there is more than the row limit let through."""

    columns: list[str]
    rows: list[list[Any]]
    cut: bool


class Session:
    """Asks one lake, as of one commit. A statement that ran out of time costs the child; the next one gets a new one."""

    def __init__(self, lake: Path, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self.landlock = 0
        self._lake, self._copy = lake.absolute(), copy_catalogue(lake, folder)
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._child: subprocess.Popen[bytes] | None = None
        self._pending = b""

    def ask(self, sql: str) -> Result:
        """The statement's result. UsageError if it is not allowed; WattlakeError if it fails or breaks a limit."""
        child = self._started()
        deadline = time.monotonic() + self.limits.timeout_s
        self._send(child, Question(sql))
        columns: list[str] = []
        rows: list[list[Any]] = []
        while True:
            answer = self._next(child, deadline, "the statement", f"it ran for more than {self.limits.timeout_s:g} s",
                                "ask for less, or raise --timeout")
            if isinstance(answer, Columns):
                columns = answer.names
            elif isinstance(answer, Rows):
                rows += answer.rows
            elif isinstance(answer, End):
                return Result(columns, rows, answer.cut)
            elif isinstance(answer, Failure):
                raise (UsageError if answer.usage else WattlakeError)(answer.what, next_step=answer.next_step)

    def start(self) -> None:
        """Start the child now, so that what is wrong with the lake is said at once."""
        self._started()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        self._child, self._pending = None, b""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._child = subprocess.Popen([sys.executable, "-I", "-m", "wattlake_warehouse.sql.child"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self._scratch, env=environment)
        self._send(self._child, Setup(str(self._lake), str(self._copy), str(self._scratch), self.limits))
        answer = self._next(self._child, time.monotonic() + _START_S, "the SQL process",
                            f"it was not ready after {_START_S:g} s", "try again")
        if isinstance(answer, Failure):
            self.close()
            raise WattlakeError(answer.what, subject=str(self._lake), next_step=answer.next_step)
        assert isinstance(answer, Ready)
        self.landlock = answer.landlock
        return self._child

    @staticmethod
    def _send(child: subprocess.Popen[bytes], message: Setup | Question) -> None:
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # a child that is gone is noticed where its answer is missing
            child.stdin.write(msgspec.json.encode(message) + b"\n")
            child.stdin.flush()

    def _next(self, child: subprocess.Popen[bytes], deadline: float, subject: str, late: str, next_step: str) -> Answer:
        """The child's next line; ends the child if it does not come in time."""
        assert child.stdout is not None
        parts = [self._pending]
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise WattlakeError(late, subject=subject, next_step=next_step)
                chunk = os.read(child.stdout.fileno(), _CHUNK)
                if not chunk:
                    code = child.wait()
                    self.close()
                    raise WattlakeError(f"the SQL process ended (exit status {code}): most likely it ran out of memory", subject=subject,
                                        next_step="ask for less at once, or raise --memory")
                parts.append(chunk)
        line, _, rest = b"".join(parts).partition(b"\n")
        self._pending = rest
        return _decoder.decode(line)


@contextmanager
def open_session(lake: Path, limits: Limits) -> Iterator[Session]:
    """A session on the lake as of its last commit; nothing of it is left behind. WattlakeError if there is no lake to read."""
    with tempfile.TemporaryDirectory(prefix="wattlake-sql-", ignore_cleanup_errors=True) as folder:
        session = Session(lake, Path(folder), limits)
        try:
            yield session
        finally:
            session.close()
