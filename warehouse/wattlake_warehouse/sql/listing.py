"""What there is to ask: the marts and the tables, with their documentation."""

from __future__ import annotations

from wattlake_contracts.errors import UsageError
from wattlake_contracts.tables import TABLES
from wattlake_warehouse.marts import MARTS


def everything() -> list[list[str]]:
    """Rows (name, kind, what it holds): the marts first."""
    return [[m.name, "mart", m.summary] for m in MARTS.values()] + [[t.name, t.layer, t.doc] for t in TABLES.values()]


def described(name: str) -> list[list[str]]:
    """Rows (column, unit, meaning) of a mart or table. UsageError if there is none of that name."""
    if name in MARTS:
        return [[c.name, c.unit, c.doc] for c in MARTS[name].columns]
    if name in TABLES:
        return [[c.name, c.unit, c.doc] for c in TABLES[name].columns]
    raise UsageError("no mart or table of that name", subject=name, next_step="\\marts lists them")
