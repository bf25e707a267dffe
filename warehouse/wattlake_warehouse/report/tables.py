"""Tables of the report: columns of ready text, each in one unit, so that its rows compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattlake_warehouse.report.figures import Row
from wattlake_warehouse.report.quantities import UNKNOWN, Scale, digits, share

#: beside a figure that leaves something out because it is unknown
PARTIAL = "†"


@dataclass(frozen=True)
class Column:
    """A heading and its cells. numeric: set right, so that digits stand below each other. unit: of every cell."""

    label: str
    cells: list[str]
    numeric: bool = False
    unit: str = ""

    @property
    def short(self) -> bool:
        """Whether its cells are short enough to stay on one line."""
        return not self.numeric and all(len(cell) <= 22 for cell in self.cells)

    @property
    def partial(self) -> bool:
        """Whether a figure in it leaves something out."""
        return any(cell.endswith(PARTIAL) for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """caption: what it shows, read out by screen readers. simulated: row by row. left_out: rows not shown."""

    caption: str
    columns: list[Column]
    simulated: list[bool]
    left_out: int = 0

    @property
    def partial(self) -> bool:
        """Whether a figure in it leaves something out."""
        return any(column.partial for column in self.columns)


def table(caption: str, rows: Sequence[Row], columns: Sequence[Column], total: int | None = None) -> Table:
    """A table of rows; `total`, where given, is how many there are in all."""
    return Table(caption, list(columns), [bool(row.get("simulated")) for row in rows], (total or len(rows)) - len(rows))


def words(label: str, rows: Sequence[Row], key: str, none: str = "–") -> Column:
    """A column of names."""
    return Column(label, [none if row[key] is None else str(row[key]) for row in rows])


def amounts(label: str, rows: Sequence[Row], key: str, scale: Scale, of: str = "", missing: str | None = None) -> Column:
    """A column of quantities in the one unit that suits the largest. of: follows the unit, e.g. CO₂e.

    missing: the column that says how much the figure leaves out.
    """
    known = [row[key] for row in rows if row[key] is not None]
    unit, factor = scale.unit_for(known)
    cells = []
    for row in rows:
        value = row[key]
        mark = PARTIAL if missing and value is not None and row[missing] else ""
        cells.append(UNKNOWN if value is None else digits(value / factor) + mark)
    return Column(label, cells, True, " ".join(filter(None, (unit, of))) if known else "")


def numbers(label: str, rows: Sequence[Row], key: str, unit: str = "") -> Column:
    """A column of figures to three significant digits."""
    return Column(label, [digits(row[key]) for row in rows], True, unit)


def counts(label: str, rows: Sequence[Row], key: str, unit: str = "") -> Column:
    """A column of whole numbers, all their digits."""
    return Column(label, [UNKNOWN if row[key] is None else f"{row[key]:,}" for row in rows], True, unit)


def shares(label: str, rows: Sequence[Row], key: str) -> Column:
    """A column of percentages."""
    return Column(label, [share(row[key]) for row in rows], numeric=True)


def instants(label: str, rows: Sequence[Row], key: str, form: str = "%Y-%m-%d %H:%M") -> Column:
    """A column of UTC times."""
    return Column(label, [f"{row[key]:{form}}" if row[key] is not None else "–" for row in rows])
