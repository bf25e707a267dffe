"""The Arrow schemas of the contracts' kinds and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def widest(wanted: pa.Schema, *others: pa.Schema) -> pa.Schema:
    """The wanted columns and, after them, those that others have besides, in the order of their names: a later version's."""
    more = {field.name: field for other in others for field in other if wanted.get_field_index(field.name) < 0}
    return pa.schema([*wanted, *(pa.field(name, more[name].type) for name in sorted(more))])


def widened(tables: Sequence[pa.Table], wanted: pa.Schema) -> pa.Table:
    """All rows of tables written by earlier and later versions: the wanted columns and all others, null where a table lacks one."""
    whole = widest(wanted, *(table.schema for table in tables))
    return pa.concat_tables([fitted(table, whole) for table in tables]) if tables else whole.empty_table()


def fitted(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The table with exactly these columns by their names, cast to their types, null where it lacks one."""
    if table.schema.names == wanted.names:
        return table.cast(wanted)
    there = set(table.column_names)
    return pa.Table.from_arrays([table[f.name].cast(f.type) if f.name in there else pa.nulls(table.num_rows, f.type) for f in wanted], schema=wanted)
