"""A disk that is full, told as such whoever met it: SQLite, DuckDB, Arrow or Python."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattlake_contracts.errors import WattlakeError

#: SQLite's words and the C library's; DuckDB, Arrow and Beam pass them on in errors of their own.
_WORDS = ("database or disk is full", "No space left on device", "Disk quota exceeded")
_NUMBERS = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: BaseException) -> bool:
    """Whether the error says that there is no room on a disk."""
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return True
    return any(words in str(error) for words in _WORDS)


@contextmanager
def room_in(lake: Path) -> Iterator[None]:
    """Work that fills a lake. WattlakeError if its disk, or that of the temporary files, is full; any other error as it is."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise WattlakeError("there is no room left on the disk", subject=str(lake),
                            next_step="make room and run the same command again: what is in the lake already counts once") from error
