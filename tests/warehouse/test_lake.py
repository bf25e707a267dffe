"""Opening a lake for reading."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from wattlake_contracts.column import count as count_column
from wattlake_contracts.column import text
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import LAKE_VERSION, catalogue
from wattlake_contracts.tables import TABLES
from wattlake_warehouse.extensions import extension_file
from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.marts import NAMES

DAY_MS = 86_400_000


def count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


def test_tables_and_marts_are_there_under_their_plain_names(opened: duckdb.DuckDBPyConnection) -> None:
    assert {name for (name,) in opened.execute("SHOW TABLES").fetchall()} == {*TABLES, *NAMES}
    assert count(opened, "fact_energy") == 492


def test_a_lake_of_an_earlier_version_is_read_with_the_columns_and_tables_that_it_lacks(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = replace(TABLES["fact_energy"], columns=(*TABLES["fact_energy"].columns, text("later", "of a later version"), count_column("more", "the same")))
    monkeypatch.setitem(TABLES, "fact_energy", wider)
    monkeypatch.setitem(TABLES, "raw_later", replace(wider, name="raw_later", layer="raw"))
    with open_lake(lake) as connection:
        assert connection.execute("SELECT DISTINCT later, more FROM fact_energy").fetchall() == [(None, None)]
        assert count(connection, "fact_energy") == 492
        assert count(connection, "raw_later") == 0


def test_a_lake_is_read_as_of_its_last_commit_even_beside_a_writer(new_lake: Callable[..., Path], filling: str) -> None:
    lake = new_lake(filling)
    with closing(sqlite3.connect(catalogue(lake))) as writer:
        # what a writer has not committed yet sits in the log, which the reader must see past
        writer.execute("INSERT INTO wattlake_meta VALUES ('unfinished', '1')")
        with open_lake(lake) as connection:
            assert count(connection, "fact_energy") == 492


def test_nothing_is_written_into_the_lake_and_no_copy_is_left(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in lake.rglob("*") if p.is_file() and p.suffix == ".parquet"}
    with open_lake(lake) as connection:
        assert list(tmp_path.iterdir()) != []
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("DELETE FROM lake.fact_energy")
    assert list(tmp_path.iterdir()) == []
    assert {p: p.stat().st_mtime_ns for p in lake.rglob("*") if p.is_file() and p.suffix == ".parquet"} == before


def test_a_lake_that_was_moved_is_read_all_the_same(new_lake: Callable[..., Path], filling: str, tmp_path: Path) -> None:
    lake = new_lake(filling)
    # a file as the committer adds it: by its absolute path
    with closing(sqlite3.connect(catalogue(lake))) as database, database:
        database.execute("UPDATE ducklake_data_file SET path = ? || (SELECT s.path || t.path FROM ducklake_table t, ducklake_schema s "
                         "WHERE t.table_id = ducklake_data_file.table_id AND s.schema_id = t.schema_id) || path, path_is_relative = 0", [f"{lake}/data/"])
    moved = tmp_path / "else where's"
    shutil.move(lake, moved)
    with open_lake(moved) as connection:
        assert count(connection, "fact_energy") == 492


def test_a_relative_path_will_do(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lake.parent)
    with open_lake(lake.name) as connection:
        assert count(connection, "dim_jobs") == 9


def test_no_lake_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WattlakeError, match="no lake there yet") as caught, open_lake(tmp_path):
        pass
    assert "wattlake run" in caught.value.next_step
    assert caught.value.subject == str(tmp_path)


def test_a_lake_of_a_newer_layout_is_refused(new_lake: Callable[..., Path]) -> None:
    lake = new_lake()
    with closing(sqlite3.connect(catalogue(lake))) as database, database:
        database.execute("UPDATE wattlake_meta SET value = ? WHERE key = 'lake_version'", [str(LAKE_VERSION + 1)])
    with pytest.raises(WattlakeError, match="newer Wattlake"), open_lake(lake):
        pass


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one" * 100])
def test_a_file_that_is_no_catalogue_is_named(tmp_path: Path, content: bytes) -> None:
    catalogue(tmp_path).write_bytes(content)
    with pytest.raises(WattlakeError, match=r"not a Wattlake catalogue|cannot be read") as caught, open_lake(tmp_path):
        pass
    assert caught.value.subject == str(catalogue(tmp_path))


def test_a_catalogue_without_any_commit_says_so(tmp_path: Path) -> None:
    with closing(sqlite3.connect(catalogue(tmp_path))) as database, database:
        database.execute("CREATE TABLE wattlake_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    with pytest.raises(WattlakeError, match="nothing was ever committed"), open_lake(tmp_path):
        pass


def test_a_lake_that_this_user_may_only_read_is_read(new_lake: Callable[..., Path], filling: str) -> None:
    """As another user, for whom the folder is read-only: SQLite cannot make its -shm file there."""
    here = extension_file("ducklake").resolve()
    if os.geteuid() == 0 and not all(p.stat().st_mode & stat.S_IXOTH for p in here.parents):
        pytest.skip(f"another user cannot reach DuckDB's extensions in {here.parent}")
    lake = new_lake(filling)
    # imports first: another user need not be able to read this Python
    program = ("import os, sys\n"
               "from wattlake_warehouse.lake import open_lake\n"
               "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
               "with open_lake(sys.argv[1]) as c: print(c.execute('SELECT count(*) FROM fact_energy').fetchone()[0])\n")
    folders = [lake, *(p for p in lake.rglob("*") if p.is_dir())]
    above = [p for p in lake.parents if p.is_relative_to(tempfile.gettempdir()) and p != Path(tempfile.gettempdir())]
    modes = {p: p.stat().st_mode for p in (*folders, *above)}
    for log in lake.glob("catalogue.sqlite-*"):
        log.unlink()
    try:
        for folder in folders:
            folder.chmod(0o555)
        for folder in above:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH | stat.S_IXUSR)
        done = subprocess.run([sys.executable, "-c", program, str(lake)], capture_output=True, text=True, timeout=120)
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert done.stdout == "492\n", done.stderr


def test_tables_that_no_commit_has_made_are_there_and_empty(new_lake: Callable[..., Path]) -> None:
    lake = new_lake("DROP TABLE lake.fact_serving")
    with open_lake(lake) as connection:
        assert count(connection, "fact_serving") == 0
        assert count(connection, "inference") == 0


def test_a_window_holds_its_days_only(lake: Path) -> None:
    with open_lake(lake) as whole, open_lake(lake, (1_772_409_600_000, 1_772_409_600_000 + DAY_MS)) as first, \
            open_lake(lake, (1_772_409_600_000 + DAY_MS, 1_772_409_600_000 + 3 * DAY_MS)) as rest:
        for table in ("fact_energy", "fact_emissions", "fact_embodied", "fact_serving", "fact_transfers"):
            assert count(first, table) > 0
            assert count(first, table) + count(rest, table) == count(whole, table)
        with pytest.raises(duckdb.CatalogException):
            first.execute("FROM counters")
