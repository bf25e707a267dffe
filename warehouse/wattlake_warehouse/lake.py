"""A lake opened for reading: its tables and its marts under their plain names."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import ALIAS, catalogue, data
from wattlake_contracts.table import Table
from wattlake_contracts.tables import TABLES
from wattlake_warehouse.catalogue import columns_in, copy_catalogue
from wattlake_warehouse.extensions import EXTENSIONS, extension_file
from wattlake_warehouse.marts import MACROS, MARTS, OF_WHOLE_LIVES, Mart

#: a lake is read with what is installed and what is asked, nothing from the network or the user's home
_ALONE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "allow_persistent_secrets": "false",
}
#: what a job held, from when to when
_JOB_TABLES = ("dim_jobs", "accounted_jobs")


@contextmanager
def open_lake(path: str | Path, window_ms: tuple[int, int] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection to the lake in folder `path`, as of its last commit, read-only.

    Every table of the lake is there under its plain name (`fact_energy`), and every mart
    (`footprint_by_model`). With `window_ms`, whole UTC days [from, to) in epoch ms, facts and marts hold
    those days only, jobs are those that ran in them, and the mart `counters`, which compares whole lives, is left out.
    The connection works on a private copy of the catalogue, which is deleted when the context ends.
    WattlakeError if no lake is there, it cannot be read, or a newer Wattlake made it.
    """
    lake = Path(path)
    with tempfile.TemporaryDirectory(prefix="wattlake-", ignore_cleanup_errors=True) as private:
        connection = attach(lake, copy_catalogue(lake, Path(private)), Path(private), window_ms)
        try:
            yield connection
        finally:
            connection.close()


def attach(lake: Path, copy: Path, scratch: Path, window_ms: tuple[int, int] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to the lake through `copy`, its catalogue's copy; what does not fit in memory goes to `scratch`."""
    connection = duckdb.connect(config=_ALONE)
    try:
        for name in EXTENSIONS:
            connection.execute(f"LOAD {quoted(extension_file(name))}")
        connection.execute(f"SET temp_directory = {quoted(scratch / 'spill')}")
        folder = quoted(f"{data(lake).absolute()}/")
        connection.execute(f"ATTACH {quoted(f'ducklake:sqlite:{copy}')} AS {ALIAS} (DATA_PATH {folder}, READ_ONLY)")
        # one transaction: each would otherwise read the catalogue anew
        connection.execute("BEGIN")
        _name_tables(connection, columns_in(copy), window_ms)
        _name_marts(connection, [m for m in MARTS.values() if window_ms is None or m.name not in OF_WHOLE_LIVES])
        connection.execute("COMMIT")
    except duckdb.Error as error:
        connection.close()
        raise WattlakeError(f"cannot be read: {error}", subject=str(catalogue(lake)),
                            next_step="`wattlake lake verify`, or give another --lake") from error
    except BaseException:
        connection.close()
        raise
    return connection


def quoted(value: str | Path) -> str:
    """A string as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def _name_tables(connection: duckdb.DuckDBPyConnection, there: Mapping[str, Container[str]], window_ms: tuple[int, int] | None) -> None:
    """A view per declared table. One that no commit has made yet is there too, empty, and so is a column that no commit has added yet."""
    for table in TABLES.values():
        source = _rows(table, there[table.name]) if table.name in there else _no_rows(table)
        if window_ms and table.layer == "fact" and table.name in there:
            instant = "start_ms" if "start_ms" in table.names else "ts_ms"
            source += f" WHERE {instant} >= {window_ms[0]:d} AND {instant} < {window_ms[1]:d}"
        elif window_ms and table.name in _JOB_TABLES and table.name in there:
            # a job of other days is not one in which nothing was read
            source += f" WHERE start_ms < {window_ms[1]:d} AND coalesce(end_ms, start_ms) >= {window_ms[0]:d}"
        connection.execute(f'CREATE TEMP VIEW "{table.name}" AS {source}')
        connection.execute(f'COMMENT ON VIEW "{table.name}" IS {quoted(table.doc)}')


def _rows(table: Table, there: Container[str]) -> str:
    missing = "".join(f', CAST(NULL AS {c.type.value}) AS "{c.name}"' for c in table.columns if c.name not in there)
    return f'SELECT *{missing} FROM {ALIAS}."{table.name}"' if missing else f'FROM {ALIAS}."{table.name}"'


def _no_rows(table: Table) -> str:
    columns = ", ".join(f'CAST(NULL AS {c.type.value}) AS "{c.name}"' for c in table.columns)
    return f"SELECT {columns} WHERE false"


def _name_marts(connection: duckdb.DuckDBPyConnection, marts: Iterable[Mart]) -> None:
    connection.execute(MACROS)
    for mart in marts:
        connection.execute(f'CREATE TEMP VIEW "{mart.name}" AS {mart.query}')
        connection.execute(f'COMMENT ON VIEW "{mart.name}" IS {quoted(mart.summary)}')
        for column in mart.columns:
            connection.execute(f'COMMENT ON COLUMN "{mart.name}"."{column.name}" IS {quoted(column.described)}')
