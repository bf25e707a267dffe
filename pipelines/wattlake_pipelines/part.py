"""Rows of many records in one table: whole until somebody must have those of one alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa


class Part(NamedTuple):
    """Rows of a table that holds those of other records, too: from `start`, so many. To cut them out costs more than to decode them."""

    whole: pa.Table
    start: int
    num_rows: int

    @property
    def table(self) -> pa.Table:
        """These rows alone."""
        return self.whole.slice(self.start, self.num_rows)


def part_of(table: pa.Table) -> Part:
    """All of a table."""
    return Part(table, 0, table.num_rows)


def joined(parts: Sequence[Part]) -> pa.Table:
    """The rows of all parts, in their order; at least one part."""
    found: list[Part] = []
    for part in parts:
        if found and found[-1].whole is part.whole and found[-1].start + found[-1].num_rows == part.start:
            found[-1] = Part(part.whole, found[-1].start, found[-1].num_rows + part.num_rows)
        else:
            found.append(part)
    return pa.concat_tables([part.table for part in found]).combine_chunks()
