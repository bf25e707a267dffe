"""Processes that the demo starts: none outlives it, and each has a log."""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: PR_SET_PDEATHSIG of prctl(2): the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1
_STOP_S = 20.0


def wattlake(*arguments: str) -> list[str]:
    """The same `wattlake` command as this one, whatever PATH says."""
    return [sys.executable, "-c", "from wattlake_agents.command import main; main()", *arguments]


def script(module: str, **given: object) -> list[str]:
    """A part of the workload as a command with its options."""
    return [sys.executable, "-m", f"wattlake_agents.demo.workload.{module}", *options(**given)]


def options(**given: object) -> list[str]:
    """from_site="a" → --from-site a."""
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def shown(command: Sequence[str]) -> str:
    """The command as a person would type it."""
    own = wattlake()
    words = ["wattlake", *command[len(own):]] if list(command[: len(own)]) == own else list(command)
    return shlex.join(words)


def start(command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path, stdout: int | None = None) -> subprocess.Popen[str]:
    """Start a command; its stderr, and its stdout where nobody reads it, go to the end of the log.

    It gets SIGTERM when this process dies, however that happens (on Linux).
    """
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {shown(command)}\n")
        out.flush()
        return subprocess.Popen(command, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out if stdout is None else stdout,
                                stderr=out, text=True, encoding="utf-8", errors="replace",
                                preexec_fn=functools.partial(_tie, os.getpid()) if sys.platform == "linux" else None)  # noqa: PLW1509  # this process has one thread


def stop(process: subprocess.Popen[str]) -> int:
    """End a process that ends cleanly on SIGTERM, by SIGKILL if it does not; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether `holds()` came true while the process lived and before the time was up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if holds():
            return True
        time.sleep(0.05)
    return False


def _tie(parent: int) -> None:
    """Between fork and exec: let this process end with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # the parent may have died before the call
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
