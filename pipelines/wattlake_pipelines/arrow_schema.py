"""The Arrow schemas of the contracts' kinds and tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from wattlake_contracts.column import Column, Type
from wattlake_contracts.kind import Kind
from wattlake_contracts.table import Table

#: Arrow's type for each of the contracts' types.
ARROW_TYPES = {Type.STRING: pa.string(), Type.INT: pa.int64(), Type.FLOAT: pa.float64(), Type.BOOL: pa.bool_()}


def schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of columns, in their order.

    Every field is nullable: what is required is a matter of the row checks, and a file written with
    a nullable field can be read by all.
    """
    return pa.schema([pa.field(c.name, ARROW_TYPES[c.type]) for c in columns])


@cache
def kind_schema(kind: Kind) -> pa.Schema:
    """The schema of a kind's rows as they are on the log: stored names and units."""
    return schema(kind.columns)


@cache
def table_schema(table: Table) -> pa.Schema:
    """The schema of a lake table."""
    return schema(table.columns)


def conform(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The table with exactly the wanted columns in their order.

    Absent columns are filled with nulls, unknown ones (of a newer minor version) are left out.
    ValueError names a column whose type differs: decoding is what converts types.
    """
    if table.schema.equals(wanted):
        return table
    columns = []
    for field in wanted:
        index = table.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(index)
        if column.type != field.type:
            raise ValueError(f"column {field.name} is {column.type}, not {field.type}")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=wanted)
