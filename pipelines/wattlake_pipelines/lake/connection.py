"""DuckDB connections to a DuckLake; the extensions come from wheels, nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from wattlake_contracts.commands import how_to_install
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import ALIAS, CATALOGUE, DATA

_EXTENSIONS = ("sqlite_scanner", "ducklake")


def extension_file(name: str) -> Path:
    """The signed binary of a DuckDB extension, from its wheel. WattlakeError if the wheel is missing."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in sorted(Path(place).glob(f"extensions/*/{name}.duckdb_extension")):
            return found
    raise WattlakeError(f"DuckDB's {name} extension is not installed", next_step=how_to_install("pipelines"))


def quoted(value: str | Path) -> str:
    """A string as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def attach(lake: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the lake attached for writing as `lake`."""
    connection = duckdb.connect(config={"threads": "1", "preserve_insertion_order": "false"})
    for name in _EXTENSIONS:
        connection.execute(f"LOAD {quoted(extension_file(name))}")
    connection.execute(f"ATTACH {quoted(f'ducklake:sqlite:{lake / CATALOGUE}')} AS {ALIAS} "
                       # a lake may have been moved, or restored elsewhere: its files are named relative to it.
                       # small deletes would otherwise be inlined in the catalogue, and their file never retire
                       f"(DATA_PATH {quoted(str(lake / DATA) + '/')}, DATA_INLINING_ROW_LIMIT 0, OVERRIDE_DATA_PATH true)")
    return connection
