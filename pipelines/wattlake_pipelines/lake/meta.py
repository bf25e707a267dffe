"""What a lake knows about itself: its layout version, its id, its settings and the committer's epoch.

Kept in a table of the catalogue's own database, and touched only while DuckDB does not have it open:
two SQLite libraries in one process would drop each other's locks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import DATA, LAKE_VERSION, STAGING, catalogue
from wattlake_contracts.tables import RAW_READINGS
from wattlake_pipelines.lake.manifest import READING_STATISTICS
from wattlake_pipelines.lake.room import is_nothing_left, no_room

TABLE = "wattlake_meta"
#: How long to wait for another's write: a commit holds the catalogue for a fraction of a second, one that is frozen for ever.
_PATIENCE_S = 10.0
#: What goes wrong in SQLite's words when a committer of an earlier epoch commits.
FENCED = "wattlake: a later epoch has begun"
# Earlier versions gave statistics to columns of raw readings that have none, in merged files only. DuckLake took these for all values, and
# found no row of a node that is in other files.
_FORGET = f"""
    UPDATE ducklake_table_column_stats SET min_value = NULL, max_value = NULL
    WHERE (min_value IS NOT NULL OR max_value IS NOT NULL) AND (table_id, column_id) IN (
        SELECT table_id, column_id FROM ducklake_table t JOIN ducklake_column c USING (table_id)
        WHERE t.table_name = ? AND c.column_name NOT IN ({", ".join("?" * len(READING_STATISTICS))}))"""
# A commit says its epoch; it is compared within the commit itself, so that nothing comes between. One that says none is a
# Wattlake's without this fence, which compares before it commits.
_FENCE = f"""
    CREATE TRIGGER IF NOT EXISTS wattlake_fence BEFORE INSERT ON ducklake_snapshot_changes
    WHEN NEW.commit_extra_info IS NOT NULL AND NEW.commit_extra_info IS NOT (SELECT 'epoch ' || value FROM {TABLE} WHERE key = 'epoch')
    BEGIN SELECT RAISE(ABORT, '{FENCED}'); END"""


class BusyError(Exception):
    """Somebody holds the catalogue locked for writing, longer than a commit takes."""


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
        # closed here, not when it is collected: two SQLite libraries would have the file open at once
        with closing(_connect(lake)) as database, database:
            # In the default rollback mode one hot reader makes each commit wait for seconds.
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            made = {"lake_version": str(LAKE_VERSION), "lake_id": uuid4().hex, "shards": str(shards), "epoch": "0", **settings}
            database.executemany(f"INSERT OR IGNORE INTO {TABLE} VALUES (?, ?)", made.items())
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WattlakeError(f"cannot make a lake there: {reason}", subject=str(lake),
                            next_step="check owner, mode and free space, or give another --lake") from error


def _connect(lake: Path, patience_s: float = 30.0) -> sqlite3.Connection:
    return sqlite3.connect(catalogue(lake), timeout=patience_s, isolation_level="IMMEDIATE")


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


def next_epoch(lake: Path, settle: Callable[[int], None] = lambda _: None) -> int:
    """Take the next committer's epoch: a committer of an earlier one is refused from now on. Wrong statistics of earlier versions are forgotten with it.

    settle: called with the last epoch while nobody else can write; if it raises, no epoch is taken.
    BusyError if somebody holds the catalogue locked for writing.
    """
    with closing(_connect(lake, _PATIENCE_S)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise BusyError(str(error)) from error
        with database:
            (last,) = database.execute(f"SELECT CAST(value AS INTEGER) FROM {TABLE} WHERE key = 'epoch'").fetchone()
            settle(last)
            database.execute(f"UPDATE {TABLE} SET value = ? WHERE key = 'epoch'", [str(last + 1)])
            if _has(database, "ducklake_snapshot_changes"):
                database.execute(_FENCE)
            if _has(database, "ducklake_table_column_stats"):
                database.execute(_FORGET, [RAW_READINGS.name, *READING_STATISTICS])
    return int(last) + 1


def is_fenced(lake: Path) -> bool:
    """Whether the catalogue itself refuses the commits of earlier epochs; one that DuckLake has not set up yet does not."""
    with closing(_connect(lake)) as database:
        return _has(database, "wattlake_fence")


def fence(lake: Path) -> None:
    """Let the catalogue refuse the commits of earlier epochs."""
    with closing(_connect(lake)) as database, database:
        database.execute(_FENCE)


def settle(lake: Path) -> None:
    """See to it that nothing half-written can come back.

    Frames of a commit that failed may lie in the write-ahead log, whole but for their being
    flushed, and be taken for a commit when the log is recovered. Whatever is written next overwrites them.
    """
    with closing(_connect(lake, _PATIENCE_S)) as database, database:
        database.execute(f"UPDATE {TABLE} SET value = value WHERE key = 'epoch'")


def _has(database: sqlite3.Connection, name: str) -> bool:
    """Whether the database has a table or a trigger of that name."""
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [name]).fetchone() is not None
