"""DuckDB's extensions, taken from their wheels: nothing is downloaded when a lake is opened."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from wattlake_contracts.commands import how_to_install
from wattlake_contracts.errors import WattlakeError

#: In the order in which they are loaded: DuckLake needs the SQLite scanner for its catalogue.
EXTENSIONS = ("sqlite_scanner", "ducklake")


def extension_file(name: str) -> Path:
    """The signed binary of an extension. WattlakeError if its wheel is not installed."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(place).glob(f"extensions/*/{name}.duckdb_extension")):
            return found
    raise WattlakeError(f"DuckDB's {name} extension is not installed", next_step=how_to_install("warehouse"))
