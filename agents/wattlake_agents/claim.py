"""One agent to a state folder: a second one is refused, and told of the first."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from wattlake_agents.health import load
from wattlake_agents.spool import passing
from wattlake_agents.state import LOCK, unusable
from wattlake_contracts.errors import WattlakeError


def claim(state: Path) -> int | None:
    """A descriptor that holds the state folder for this agent until it is closed; None where a full disk leaves no room for the lock.

    WattlakeError if another agent holds it, or the lock may not be written.
    """
    try:
        # for its owner alone: whoever can open it can hold it, and keep every agent from starting
        lock = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if passing(error):
            return None  # the agent waits for room all the same; the lock of its part of the log still keeps another one out
        raise unusable(error, state / LOCK) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise WattlakeError(f"an agent runs already{_which(state)}", subject=str(state),
                            next_step="stop it first (`wattlake agent status` says how it does), or give this one another agent.state_dir") from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _which(state: Path) -> str:
    """Its process and log, where its last sign of life can be read."""
    beat = load(state)
    return f" (pid {beat.pid}, log {beat.log})" if beat is not None and not beat.stopped_ms else ""
