"""A small real DuckLake for the warehouse's tests: three measured nodes, one simulated, three days."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from wattlake_contracts import schema
from wattlake_contracts.layout import LAKE_VERSION, catalogue, data
from wattlake_contracts.tables import TABLES
from wattlake_warehouse.extensions import EXTENSIONS, extension_file
from wattlake_warehouse.lake import open_lake

#: 2026-03-02 00:00 UTC, a Monday
T0_MS = 1_772_409_600_000
FILL = Path(__file__).with_name("plausible_lake.sql")


def make_lake(lake: Path, fill: str | None = None) -> Path:
    """A lake as the committer lays it out, filled by SQL statements."""
    data(lake).mkdir(parents=True)
    with closing(sqlite3.connect(catalogue(lake))) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE wattlake_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        database.execute("INSERT INTO wattlake_meta VALUES ('lake_version', ?), ('lake_id', 'a-test-lake')", [str(LAKE_VERSION)])
    with closing(duckdb.connect()) as connection:
        for name in EXTENSIONS:
            connection.execute(f"LOAD '{extension_file(name)}'")
        connection.execute(f"ATTACH 'ducklake:sqlite:{catalogue(lake)}' AS lake (DATA_PATH '{data(lake)}/', DATA_INLINING_ROW_LIMIT 0)")
        connection.execute("BEGIN")
        for table in TABLES.values():
            connection.execute(schema.ddl(table))
        if fill:
            connection.execute(f"SET VARIABLE t0 = {T0_MS}::BIGINT")
            connection.execute(fill)
        connection.execute("COMMIT")
    return lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled lake's folder; tests only read it."""
    return make_lake(tmp_path_factory.mktemp("filled") / "lake", FILL.read_text())


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with all its tables and no row."""
    return make_lake(tmp_path_factory.mktemp("empty") / "lake")


@pytest.fixture
def new_lake(tmp_path: Path) -> Callable[..., Path]:
    """Makes a lake of its own for a test: `new_lake()` or `new_lake(sql)`."""
    def make(fill: str | None = None) -> Path:
        return make_lake(tmp_path / "lake", fill)
    return make


@pytest.fixture(scope="session")
def opened(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The filled lake, opened for reading once for all tests."""
    with open_lake(lake) as connection:
        yield connection


@pytest.fixture(scope="session")
def opened_empty(empty_lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The empty lake, opened for reading once for all tests."""
    with open_lake(empty_lake) as connection:
        yield connection


@pytest.fixture(scope="session")
def filling() -> str:
    """The SQL that fills the lake."""
    return FILL.read_text()
