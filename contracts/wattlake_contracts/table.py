"""A table of the lake: its columns, key and layout."""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.column import Column


@dataclass(frozen=True)
class Table:
    """One lake table.

    key: the columns that tell its rows apart. layer: `raw`, `ref`, `fact`, `dim` or `book` (the
    lake's own bookkeeping). files: rows come as Parquet files (else by SQL in the commit). layout:
    `day_shard` (one file per day and shard, replaced whole) or `batch` (one file per commit).
    """

    name: str
    layer: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    files: bool = True
    layout: str = "batch"

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(c.name for c in self.columns)
