"""Which process started the ranks of this node."""

from __future__ import annotations

import os
from pathlib import Path

#: No rank lies deeper under its launcher than that.
_MOST = 64


def launcher(variable: str, value: str | None, proc: Path = Path("/proc")) -> str:
    """`PID-START` of the nearest ancestor outside this rank: the first without this value of the rank's variable.

    A shell or a wrapper between the launcher and this process has the variable too, and is passed
    over. START is in clock ticks since the machine's start (proc(5), stat, field 22), so that a
    number of a process that comes again names no other's job. Without procfs: the parent's PID.
    """
    pid = os.getppid()
    for _ in range(_MOST):
        try:
            # an ancestor of another user may not be looked into, and is no part of this rank
            environment = (proc / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            break
        above = _stat(proc, pid)
        if value is None or f"{variable}={value}".encode() not in environment or above is None or above[0] == 0:
            break
        pid = above[0]
    stat = _stat(proc, pid)
    return f"{pid}-{stat[1]}" if stat is not None else str(pid)


def _stat(proc: Path, pid: int) -> tuple[int, int] | None:
    """(parent, start in ticks) of a process, or None if that cannot be read."""
    try:
        # the name is in parentheses and may hold anything
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[1]), int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
