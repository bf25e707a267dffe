"""A private copy of a lake's catalogue, so that a reader never touches the one that is written to.

A read-only attach of a SQLite database in WAL mode needs write permission for its -shm file, and a
reader in the writer's way slows its commits down. A backup copy needs neither.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import CATALOGUE, LAKE_VERSION, catalogue, data

#: The committer keeps what the lake knows about itself here, beside DuckLake's own tables.
META_TABLE = "wattlake_meta"

_OTHER_LAKE = "give another --lake"


def copy_catalogue(lake: Path, folder: Path) -> Path:
    """Copy the catalogue of `lake` into `folder`, as of one commit; give the copy's path.

    File paths in the copy are those of where the lake lies now, so a lake that was moved, or made
    under a relative path, is read all the same. WattlakeError if there is no lake, it cannot be read,
    or a newer Wattlake made it.
    """
    if not catalogue(lake).is_file():
        raise WattlakeError("no lake there yet", subject=str(lake), next_step=f"`wattlake run` makes one, or {_OTHER_LAKE}")
    copy = folder / CATALOGUE
    _backup(catalogue(lake), copy)
    try:
        with closing(sqlite3.connect(copy)) as database, database:
            # The backup is in WAL mode like its source; alone in its folder it has no use for that.
            database.execute("PRAGMA journal_mode=DELETE")
            _check_version(database, lake)
            _relocate(database, lake)
    except sqlite3.DatabaseError as error:
        raise WattlakeError(f"is not a Wattlake catalogue: {error}", subject=str(catalogue(lake)), next_step=_OTHER_LAKE) from error
    return copy


def _backup(source: Path, copy: Path) -> None:
    """SQLite's online backup: one consistent snapshot, even beside a writer."""
    try:
        try:
            _backup_from(f"file:{quote(str(source.absolute()))}?mode=ro", copy)
        except sqlite3.OperationalError:
            # In a folder that this user cannot write to, SQLite opens a WAL database only while a writer has it open.
            # Without a writer and without a log to replay, the file alone is the whole truth.
            if _has_log(source):
                raise
            with suppress(FileNotFoundError):
                copy.unlink()
            _backup_from(f"file:{quote(str(source.absolute()))}?mode=ro&immutable=1", copy)
    except (sqlite3.Error, OSError) as error:
        raise WattlakeError(f"cannot be read: {error}", subject=str(source), next_step=f"check owner and mode, or {_OTHER_LAKE}") from error


def _backup_from(uri: str, copy: Path) -> None:
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _has_log(source: Path) -> bool:
    log = source.with_name(source.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _check_version(database: sqlite3.Connection, lake: Path) -> None:
    row = database.execute(f"SELECT value FROM {META_TABLE} WHERE key = 'lake_version'").fetchone()  # a constant
    version = int(row[0]) if row else 0
    if version > LAKE_VERSION:
        raise WattlakeError(f"was made by a newer Wattlake (layout {version}; this one knows {LAKE_VERSION})",
                            subject=str(lake), next_step="upgrade Wattlake")


def _relocate(database: sqlite3.Connection, lake: Path) -> None:
    """Put the lake's present folder in the place of the one under which its files were added."""
    row = database.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchone() if _has_ducklake(database) else None
    if row is None:
        raise WattlakeError("nothing was ever committed to it", subject=str(lake), next_step="`wattlake run` fills it")
    recorded, present = row[0], str(data(lake).absolute()) + "/"
    database.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [present])
    for table in ("ducklake_data_file", "ducklake_delete_file"):
        database.execute(f"UPDATE {table} SET path = ? || substr(path, ?) WHERE NOT path_is_relative AND substr(path, 1, ?) = ?",
                         [present, len(recorded) + 1, len(recorded), recorded])


def _has_ducklake(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'ducklake_metadata'").fetchone() is not None


def columns_in(copy: Path) -> dict[str, set[str]]:
    """The tables that the catalogue's last commit knows, with their columns. (DuckDB's own listing takes a second: it reads all statistics.)"""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(copy)) as database:
        for table, column in database.execute("""
                SELECT table_name, column_name FROM ducklake_table t JOIN ducklake_column c USING (table_id)
                WHERE t.end_snapshot IS NULL AND c.end_snapshot IS NULL"""):
            found.setdefault(table, set()).add(column)
    return found
