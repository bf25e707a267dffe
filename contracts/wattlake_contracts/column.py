"""A column of a message or a lake table: its name, type, unit, bounds and meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

#: A longer text in a row is a mistake, and every reader would carry it. Rejects keep what was given, which has a limit of its own.
MAX_TEXT_BYTES = 64 * 2**10


class Type(Enum):
    """The types that cross the rooms; the value is DuckDB's name for it."""

    STRING = "VARCHAR"
    INT = "BIGINT"
    FLOAT = "DOUBLE"
    BOOL = "BOOLEAN"


@dataclass(frozen=True)
class Input:
    """How a column is written in an import file.

    name: the column's name there. scale: stored value = file value x scale. time: the file holds
    ISO 8601 with a zone, or epoch ms, and the stored value is epoch ms.
    """

    name: str
    scale: float = 1.0
    time: bool = False


@dataclass(frozen=True)
class Column:
    """One column. Bounds are inclusive and apply to the stored value, in the stored unit."""

    name: str
    type: Type
    doc: str
    unit: str = ""
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    #: set by the agent or the pipelines; an import file may not carry it
    internal: bool = False
    #: text that no value may end in, because Wattlake makes names with it; empty if there is none
    reserved_ending: str = ""
    #: text that no value may begin with, because Wattlake makes names with it; empty if there is none
    reserved_start: str = ""

    @property
    def accepted_inputs(self) -> tuple[Input, ...]:
        """The names that an import file may use for this column; empty for an internal one."""
        if self.internal:
            return ()
        return self.inputs or (Input(self.name),)

    def overlong(self, value: str) -> str | None:
        """Why a text is none of this column, being too long; None if it is not. One that is no text in UTF-8 is for others to judge."""
        size = len(value.encode("utf-8", "surrogatepass"))
        return f"is a text of {size} bytes, over the limit of {MAX_TEXT_BYTES}" if size > MAX_TEXT_BYTES else None

    def reserved(self, value: str) -> str | None:
        """Why no value may be called so, or None if it may."""
        if self.reserved_start and value.startswith(self.reserved_start):
            return f"may not begin with {self.reserved_start}"
        if self.reserved_ending and value.endswith(self.reserved_ending):
            return f"may not end in {self.reserved_ending}"
        return None

    def but(self, **changes: object) -> Column:
        """The same column with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]  # checked by the dataclass


#: The largest count of mJ, bytes, µg … a column may hold: 2^53, where float64 stops being exact.
LARGEST = float(2**53)


def text(name: str, doc: str, *, required: bool = False, choices: tuple[str, ...] = (), internal: bool = False,
         reserved_ending: str = "", reserved_start: str = "") -> Column:
    """A string column."""
    return Column(name, Type.STRING, doc, required=required, choices=choices, internal=internal, reserved_ending=reserved_ending,
                  reserved_start=reserved_start)


def count(name: str, doc: str, unit: str = "", *, required: bool = False, minimum: float | None = 0,
          maximum: float | None = LARGEST, inputs: tuple[Input, ...] = (), internal: bool = False) -> Column:
    """An integer column, not negative unless `minimum` says so."""
    return Column(name, Type.INT, doc, unit, required, minimum, maximum, (), inputs, internal)


def number(name: str, doc: str, unit: str = "", *, required: bool = False, minimum: float | None = 0,
           maximum: float | None = None, inputs: tuple[Input, ...] = (), internal: bool = False) -> Column:
    """A float64 column, not negative unless `minimum` says so; NaN and infinity are never accepted."""
    return Column(name, Type.FLOAT, doc, unit, required, minimum, maximum, (), inputs, internal)


def flag(name: str, doc: str, *, required: bool = False, internal: bool = False) -> Column:
    """A boolean column."""
    return Column(name, Type.BOOL, doc, required=required, internal=internal)


#: 2000-01-01 and 2200-01-01 in epoch ms: an instant outside is a wrong unit or a dead clock.
EARLIEST_MS = 946_684_800_000
LATEST_MS = 7_258_118_400_000


def instant(name: str, doc: str, *, required: bool = False, written_as: str | None = None, internal: bool = False) -> Column:
    """A UTC instant in epoch ms; `written_as` is its name in an import file (default: without `_ms`)."""
    source = (Input(written_as or name.removesuffix("_ms"), time=True),)
    return Column(name, Type.INT, doc, "ms since 1970-01-01 UTC", required, EARLIEST_MS, LATEST_MS, (), source, internal)


def per_kwh(stem: str, doc: str, *, maximum: float, minimum: float = 0) -> Column:
    """A mass of CO2e per kWh in g, which a file may also give in kg/kWh or lb/MWh."""
    inputs = (
        Input(f"{stem}_g_per_kwh"),
        Input(f"{stem}_kg_per_kwh", 1000.0),
        # 1 lb = 453.59237 g exactly (international avoirdupois pound, 1959), 1 MWh = 1000 kWh
        Input(f"{stem}_lb_per_mwh", 0.45359237),
    )
    return Column(f"{stem}_g_per_kwh", Type.FLOAT, doc, "g CO2e/kWh", False, minimum, maximum, (), inputs)
