"""Partitions within a spool's folder for what leaves its own place: a loss of power takes nothing of them, and all of it is found again after one."""

from __future__ import annotations

from pathlib import Path

from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.filelog.writer import LogWriter, sync_folder


def open_aside(spool: Path, folder: str, name: str, *, segment_bytes: int = 16 * 2**20) -> LogWriter:
    """The writer of a partition. folder: a path within the spool. OSError, LogError: there is none.

    What it has accepted may leave its own place in the spool.
    """
    # what was taken from one place fits in the other
    writer = LogWriter(spool / folder, name, segment_bytes=segment_bytes, max_record_bytes=2**30)
    try:  # it has synced its own folder; what leaves another place must be found here after a loss of power too
        for above in (Path(folder), *Path(folder).parents):
            sync_folder(spool / above)
    except OSError:
        writer.close()
        raise
    return writer


def recover(spool: Path, folder: str, name: str) -> str:
    """Have the mark of a partition that nobody writes tell of all that is durable: after a loss of power it may tell of less. Why it cannot, '' if it does."""
    try:
        open_aside(spool, folder, name).close()
    except (OSError, LogError) as error:
        return f"what is in {spool / folder / name} cannot be looked through: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}"
    return ""
