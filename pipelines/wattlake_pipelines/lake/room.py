"""A disk that is full, told as such whoever met it: SQLite, DuckDB, Arrow or Python."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import RESERVE

#: SQLite's words and the C library's; DuckDB, Arrow and Beam pass them on in errors of their own.
_WORDS = ("database or disk is full", "No space left on device", "Disk quota exceeded")
_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
#: With less than this SQLite can open no catalogue, and calls it a disk I/O error.
_NOTHING = 64 * 1024
#: What is kept back, and how much must be free for that: a small disk has better uses for it.
_RESERVE, _ROOMY = 4 * 2**20, 64 * 2**20


def is_full(error: BaseException) -> bool:
    """Whether the error says that there is no room on a disk."""
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return True
    return any(words in str(error) for words in _WORDS)


def is_nothing_left(folder: Path) -> bool:
    """Whether the disk of a folder has no room even for a catalogue's scratch files."""
    return folder.is_dir() and shutil.disk_usage(folder).free < _NOTHING


def keep_reserve(lake: Path) -> None:
    """Keep some room back, if there is enough and it is not kept already."""
    reserve = lake / RESERVE
    with contextlib.suppress(OSError):  # a reserve is a kindness: without one everything else goes on
        if not reserve.exists() and shutil.disk_usage(lake).free > _ROOMY:
            # random, for a file system that compresses would keep nothing back for zeros
            reserve.write_bytes(os.urandom(_RESERVE))


def give_up_reserve(lake: Path) -> None:
    """Let upkeep have what was kept back."""
    (lake / RESERVE).unlink(missing_ok=True)


def no_room(lake: Path) -> WattlakeError:
    """What to say of a lake whose disk is full."""
    return WattlakeError("there is no room left on the disk", subject=str(lake),
                         next_step="make room (`wattlake lake maintain` deletes what the lake does not need) and run the same command again: "
                                   "what is in the lake already counts once")


@contextmanager
def room_in(lake: Path) -> Iterator[None]:
    """Work that fills a lake. WattlakeError if its disk, or that of the temporary files, is full; any other error as it is."""
    try:
        yield
    except Exception as error:
        if not (is_full(error) or (isinstance(error, (sqlite3.Error, duckdb.Error)) and is_nothing_left(lake))):
            raise
        raise no_room(lake) from error
