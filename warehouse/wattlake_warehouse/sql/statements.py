"""What may be asked: one statement that only reads, by the word of DuckDB's own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from wattlake_contracts.errors import UsageError
from wattlake_warehouse.lake import quoted

#: Table functions that read nothing but their arguments, the lake's tables or DuckDB's own state.
#: A list of what is allowed: the extensions bring functions that read any SQLite file
#: (sqlite_scan), run SQL from a string (query, json_execute_serialized_sql), read memory at an
#: address (arrow_scan), write files (enable_logging) or delete data files (ducklake_cleanup_old_files).
TABLE_FUNCTIONS = frozenset((
    "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "pg_timezone_names", "icu_calendar_names",
    "duckdb_columns", "duckdb_databases", "duckdb_functions", "duckdb_keywords", "duckdb_memory", "duckdb_settings", "duckdb_tables",
    "duckdb_types", "duckdb_views", "pragma_table_info", "pragma_show", "pragma_version", "pragma_database_size", "summary",
    "ducklake_snapshots", "ducklake_current_snapshot", "ducklake_table_info",
    "ducklake_table_changes", "ducklake_table_insertions", "ducklake_table_deletions",
))

_EXPLAIN = re.compile(r"\s*(EXPLAIN(?:\s+ANALYZE)?)\s+", re.IGNORECASE)
_NEXT = "ask one SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN; see docs/sql.md"


class RefusedError(UsageError):
    """The statement is not one that only reads."""


def checked(sql: str) -> str:
    """The statement to run. RefusedError if there is none, there are several, it writes, or it calls what may not be."""
    if "\0" in sql:
        raise RefusedError("there is a NUL character in it", next_step="mend the statement")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise RefusedError(str(error), next_step="mend the statement") from error
    if not statements:
        raise RefusedError("there is no statement", next_step=_NEXT)
    if len(statements) > 1:
        raise RefusedError(f"{len(statements)} statements, where one is allowed (a PIVOT needs its values: ON column IN (…))",
                           next_step=_NEXT)
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        return _explained(sql)
    if kind != duckdb.StatementType.SELECT:
        raise RefusedError(f"{kind.name} is not allowed: the lake is read-only here", next_step=_NEXT)
    # the parser rewrites some statements (PRAGMA version becomes a SELECT); what it made is what runs
    query = statements[0].query
    for name in _table_functions(_tree(query)):
        if name.lower() not in TABLE_FUNCTIONS:
            raise RefusedError(f"the table function {name} is not allowed here",
                               next_step="read the lake's tables and marts; `SHOW TABLES` lists them")
    return query


def _explained(sql: str) -> str:
    """An EXPLAIN around a checked statement: EXPLAIN ANALYZE COPY would write."""
    match = _EXPLAIN.match(sql)
    if match is None:
        raise RefusedError("EXPLAIN is allowed as EXPLAIN [ANALYZE] SELECT …", next_step=_NEXT)
    return f"{match[1]} {checked(sql[match.end():])}"


def _tree(query: str) -> Any:
    """The parsed statement, as DuckDB writes it down."""
    with duckdb.connect() as parser:
        # a literal, for a parameter makes DuckDB import pandas, which takes seconds
        row = parser.execute(f"SELECT json_serialize_sql({quoted(query)})").fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError as error:
        raise RefusedError("the statement is nested too deeply", next_step="ask in smaller steps") from error
    if tree.get("error"):
        raise RefusedError(f"the statement cannot be checked: {tree.get('error_message')}", next_step=_NEXT)
    return tree


def _table_functions(tree: Any) -> Iterator[str]:
    """The names of all functions that stand where a table may, at any depth."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                yield node["function"]["function_name"]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
