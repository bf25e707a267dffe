"""What is derived from the declarations: JSON Schema, the lake's DDL, the reference page."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from wattlake_contracts.column import Column, Type
from wattlake_contracts.kind import TOPIC_PREFIX, VERSION, Kind
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.table import Table
from wattlake_contracts.tables import TABLES

_JSON_TYPES = {Type.STRING: "string", Type.INT: "integer", Type.FLOAT: "number", Type.BOOL: "boolean"}


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one row of a kind, in stored names and units."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:wattlake:{kind.name}:{VERSION}",
        "title": kind.name, "description": kind.doc, "type": "object",
        "properties": {c.name: _property(c) for c in kind.columns},
        "required": [c.name for c in kind.columns if c.required],
        "additionalProperties": True,
    }


def schema_files() -> dict[str, str]:
    """docs/schemas: for each file's name its text, the JSON Schema of one kind."""
    return {f"{kind.name}.json": json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n" for kind in KINDS.values()}


def write_schemas(folder: Path) -> None:
    """Write them, and take away what is no kind's."""
    folder.mkdir(parents=True, exist_ok=True)
    files = schema_files()
    for stale in (path for path in folder.glob("*.json") if path.name not in files):
        stale.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _property(column: Column) -> dict[str, Any]:
    name = _JSON_TYPES[column.type]
    made: dict[str, Any] = {"type": name if column.required else [name, "null"], "description": _doc(column)}
    if column.choices:
        made["enum"] = [*column.choices, *([] if column.required else [None])]
    if column.reserved_start or column.reserved_ending:
        made["pattern"] = _pattern(column)
    if column.minimum is not None:
        made["minimum"] = column.minimum
    if column.maximum is not None:
        made["maximum"] = column.maximum
    return made


def _pattern(column: Column) -> str:
    """What a name must look like that is none of Wattlake's own."""
    start = f"^(?!{re.escape(column.reserved_start)})" if column.reserved_start else ""
    if not column.reserved_ending:
        return start
    # a dot takes no line break, and a name may hold one
    between = r"[\s\S]*" if start else ""
    return f"{start}{between}(?<!{re.escape(column.reserved_ending)})$"


def _doc(column: Column) -> str:
    return f"{column.doc} [{column.unit}]" if column.unit else column.doc


def ddl(table: Table, catalogue: str = "lake") -> str:
    """CREATE TABLE IF NOT EXISTS for a lake table. DuckLake keeps NOT NULL, and no key."""
    columns = ", ".join(f'"{c.name}" {c.type.value}{" NOT NULL" if c.required else ""}' for c in table.columns)
    return f'CREATE TABLE IF NOT EXISTS {catalogue}."{table.name}" ({columns})'


def additions(there: Mapping[str, Container[str]], catalogue: str = "lake") -> list[str]:
    """What makes the tables and columns that this version knows and a lake lacks; nothing that is there goes or changes.

    there: the lake's tables with the names of their columns. A column that is added may be NULL whatever its
    declaration says: the rows that are there have no value in it.
    """
    made = []
    for table in TABLES.values():
        if table.name not in there:
            made.append(ddl(table, catalogue))
            continue
        made += [f'ALTER TABLE {catalogue}."{table.name}" ADD COLUMN "{c.name}" {c.type.value}' for c in table.columns if c.name not in there[table.name]]
    return made


def reference_page() -> str:
    """docs/reference.md: every kind of message and every lake table, in Markdown."""
    out = ["# Reference", "", "Made from the contracts by `make docs`; do not edit.", "",
           f"Messages are of version {VERSION}. A newer minor version is accepted, another major is rejected.", "",
           "## Messages and import columns", ""]
    for kind in KINDS.values():
        out += [f"### {kind.name}", "", kind.doc, "",
                f"Topic `{TOPIC_PREFIX}{kind.topic}` ({kind.carrier}), lands in `{kind.table}`. Key: {', '.join(kind.key)}. "
                f"[JSON Schema](schemas/{kind.name}.json) of a row.", ""]
        out += ["| column | import as | type | unit | needed | meaning |", "|---|---|---|---|---|---|"]
        out += [_message_row(c, kind) for c in kind.columns]
        out += ["", *(f"- {rule.reason}: {', '.join(rule.columns)}" for rule in kind.rules), ""]
    out += ["## Lake tables", ""]
    for table in TABLES.values():
        out += [f"### {table.name}", "", f"{table.doc} Key: {', '.join(table.key)}.", "",
                "| column | type | unit | meaning |", "|---|---|---|---|"]
        out += [f"| {c.name} | {c.type.name.lower()} | {c.unit} | {_meaning(c)} |" for c in table.columns]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _message_row(column: Column, kind: Kind) -> str:
    inputs = ", ".join(i.name for i in column.accepted_inputs) if kind.importable else ""
    return f"| {column.name} | {inputs} | {column.type.name.lower()} | {column.unit} | {'yes' if column.required else ''} | {_meaning(column)} |"


def _meaning(column: Column) -> str:
    text = column.doc.replace("|", "\\|")
    if column.reserved_start:
        text += f"; may not begin with `{column.reserved_start}`"
    if column.reserved_ending:
        text += f"; may not end in `{column.reserved_ending}`"
    return f"{text} ({', '.join(column.choices)})" if column.choices else text
