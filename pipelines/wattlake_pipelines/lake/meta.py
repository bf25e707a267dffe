"""What a lake knows about itself: its layout version, its id, its settings and the committer's epoch.

Kept in a table of the catalogue's own database, and touched only while DuckDB does not have it open:
two SQLite libraries in one process would drop each other's locks.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import uuid4

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import DATA, LAKE_VERSION, STAGING, catalogue
from wattlake_pipelines.lake.room import is_nothing_left, no_room

TABLE = "wattlake_meta"


def exists(lake: Path) -> bool:
    """Whether a lake is there."""
    return catalogue(lake).is_file()


def create(lake: Path, shards: int, settings: dict[str, str]) -> None:
    """Make the folder and an empty catalogue in WAL mode. WattlakeError if that cannot be written."""
    if shards < 1:
        raise WattlakeError(f"a lake needs at least 1 shard, not {shards}", next_step="mend [pipelines] shards")
    try:
        for folder in (lake, lake / DATA, lake / STAGING):
            folder.mkdir(parents=True, exist_ok=True)
        with _connect(lake) as database:
            # In the default rollback mode one hot reader makes each commit wait for seconds.
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            made = {"lake_version": str(LAKE_VERSION), "lake_id": uuid4().hex, "shards": str(shards), "epoch": "0", **settings}
            database.executemany(f"INSERT OR IGNORE INTO {TABLE} VALUES (?, ?)", made.items())
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WattlakeError(f"cannot make a lake there: {reason}", subject=str(lake),
                            next_step="check owner, mode and free space, or give another --lake") from error


def _connect(lake: Path) -> sqlite3.Connection:
    return sqlite3.connect(catalogue(lake), timeout=30, isolation_level="IMMEDIATE")


def read(lake: Path) -> dict[str, str]:
    """All that the lake knows about itself. WattlakeError if it is no lake, or of a newer layout."""
    if not exists(lake):
        raise WattlakeError("no lake there yet", subject=str(lake), next_step="`wattlake run` makes one, or give another --lake")
    database = _connect(lake)
    try:
        found = dict(database.execute(f"SELECT key, value FROM {TABLE}").fetchall())
    except sqlite3.OperationalError as error:
        if is_nothing_left(lake):
            raise no_room(lake) from error
        raise WattlakeError(f"the catalogue cannot be read: {error}", subject=str(catalogue(lake)),
                            next_step="check the disk and who else uses the lake, and run the same command again") from error
    except sqlite3.DatabaseError as error:
        raise WattlakeError(f"is not a Wattlake catalogue: {error}", subject=str(catalogue(lake)), next_step="give another --lake") from error
    finally:
        database.close()
    version = int(found.get("lake_version", "0"))
    if version > LAKE_VERSION:
        raise WattlakeError(f"was made by a newer Wattlake (layout {version}; this one knows {LAKE_VERSION})",
                            subject=str(lake), next_step="upgrade Wattlake")
    return found


def next_epoch(lake: Path) -> int:
    """Take the next committer's epoch: a committer of an earlier one is refused from now on."""
    database = _connect(lake)
    try:
        with database:
            database.execute(f"UPDATE {TABLE} SET value = CAST(value AS INTEGER) + 1 WHERE key = 'epoch'")
            row = database.execute(f"SELECT value FROM {TABLE} WHERE key = 'epoch'").fetchone()
    finally:
        database.close()
    return int(row[0])
