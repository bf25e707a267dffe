"""Only one process ships a spool."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import LogError

LOCK = ".ship.lock"


def claim(root: Path) -> int:
    """The descriptor that holds a spool until it is closed. WattlakeError if another process ships it, or it cannot be used."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LogError(f"the spool cannot be used: {error.strerror}", subject=str(root),
                       next_step="check its owner and mode, or set kafka.spool_dir to another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise WattlakeError("another process ships this spool already", subject=str(root), next_step="stop it, or set kafka.spool_dir") from error
    return lock
