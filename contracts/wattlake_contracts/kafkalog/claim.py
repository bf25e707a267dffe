"""Who ships a spool: one process holds its lock for as long as it does."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.log_address import SPOOL_DIR

#: Only one process ships a spool.
LOCK = ".ship.lock"
#: One that only asks who ships holds the lock for some microseconds: so it is tried this often, with this pause between.
_TRIES, _PAUSE_S = 5, 0.02


def claim(root: Path) -> int:
    """Take a spool to ship it, until the descriptor is closed. WattlakeError if another process ships it or it cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LogError(f"the spool cannot be used: {error.strerror}", subject=str(root),
                       next_step=f"check its owner and mode, or set {SPOOL_DIR} to another folder") from error
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not left:
                os.close(lock)
                raise WattlakeError("another process ships this spool already", subject=str(root),
                                    next_step=f"stop it, or set {SPOOL_DIR} to another folder") from error
            time.sleep(_PAUSE_S)
        else:
            break
    return lock


def shipped(root: Path) -> bool | None:
    """Whether a process of this machine, in whatever container, ships a spool; None where that cannot be told."""
    try:
        lock = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(lock)
    return False
