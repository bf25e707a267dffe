"""The books that every commit writes in: which files there are, what is dirty, where landing stands, which commits were made.

They are kept by writing whole files anew, the small ones together with what is added: so there are
few of them however many commits there were, no row of a file is ever marked as deleted, and all
files of a commit are our own. DuckLake deletes those that it wrote itself when a commit fails, even
one of which nobody knows yet whether it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS, data_file
from wattlake_contracts.table import Table
from wattlake_pipelines.arrow_schema import table_schema, widened
from wattlake_pipelines.lake.connection import quoted
from wattlake_pipelines.lake.manifest import parquet_options
from wattlake_pipelines.lake.sizes import small_ones

#: Files of a book with fewer rows than this are written anew by every commit: that takes a few milliseconds.
_SMALL_ROWS = 512


def write_in(connection: duckdb.DuckDBPyConnection, lake: Path, table: Table, name: str, *, gone: str = "false",
             rows: Sequence[Mapping[str, object]] = ()) -> Path | None:
    """Take the rows of a book for which `gone` (SQL) holds out, and add some, within the transaction that is open.

    name: of the file to write. None if there was nothing to do, or nothing is left; else the file written.
    """
    found = connection.execute(f'SELECT filename, count(*), count(*) FILTER ({gone}) FROM {ALIAS}."{table.name}" GROUP BY filename').fetchall()
    touched = {path for path, _, out in found if out}
    if not touched and not rows:
        return None
    left = sum(count - out for path, count, out in found if path in touched)
    anew = touched.union(small_ones([(path, count) for path, count, _ in found if path not in touched], left + len(rows), _SMALL_ROWS))
    schema = table_schema(table)
    parts = [pa.Table.from_pylist(list(rows), schema)] if rows else []
    if anew:
        names = ", ".join(map(quoted, sorted(anew)))
        # with the columns of a later version, if there are any
        parts.insert(0, connection.execute(f'SELECT * FROM {ALIAS}."{table.name}" WHERE filename IN ({names}) AND NOT ({gone})').to_arrow_table())
        connection.execute(f'DELETE FROM {ALIAS}."{table.name}" WHERE filename IN ({names})')
    whole = widened(parts, schema)
    if not whole.num_rows:
        return None
    path = data_file(lake, table.name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        pq.write_table(whole, file, **parquet_options(whole.schema))
    return path
