"""A factor: a figure from outside, with its unit, its time, its source and how sure it is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from wattlake_contracts.errors import WattlakeError

#: How sure the reading of a figure is: `high` read at or close to its source; `medium` read in one
#: place, rounded or assumed in part; `low` extrapolated, a judgement, or not read again.
CONFIDENCES = ("high", "medium", "low")

#: Begins the `source` of every row that Wattlake ships, so that such a row can be told from an imported one.
SHIPPED = "wattlake: "


@dataclass(frozen=True, kw_only=True)
class Factor:
    """What every factor has.

    value, low, high: in `unit`; low <= value <= high, NaN never. valid_from_ms, valid_to_ms: UTC
    epoch ms, half-open; valid_to_ms None where nothing ends it. estimated: a default, an average
    or a model rather than a figure about the thing itself.
    """

    value: float
    low: float | None
    high: float | None
    unit: str
    valid_from_ms: int
    valid_to_ms: int | None
    source: str
    confidence: str
    estimated: bool
    note: str

    @property
    def shipped_source(self) -> str:
        """The source as a row of the lake names it."""
        return SHIPPED + self.source

    def holds(self, ts_ms: int) -> bool:
        """Whether the figure is about this instant."""
        return self.valid_from_ms <= ts_ms and (self.valid_to_ms is None or ts_ms < self.valid_to_ms)


class Line:
    """One line of a factor file; every reading of it that fails names file and line."""

    def __init__(self, place: str, fields: dict[str, str]) -> None:
        self._place, self._fields = place, fields

    def wrong(self, what: str) -> WattlakeError:
        """The error to raise about this line."""
        return WattlakeError(what, subject=self._place, next_step="mend the line, or install Wattlake again")

    def text(self, name: str, *, needed: bool = True) -> str:
        """A column as text; needed: it must not be empty."""
        value = self._fields.get(name)
        if value is None:
            raise self.wrong(f"has no column {name}")
        if needed and not value.strip():
            raise self.wrong(f"{name} is empty")
        return value.strip()

    def number(self, name: str) -> float:
        """A column as a finite number."""
        raw = self.text(name)
        try:
            value = float(raw)
        except ValueError as error:
            raise self.wrong(f"{name} is {raw!r}, not a number") from error
        if not math.isfinite(value):
            raise self.wrong(f"{name} is {raw}, not a finite number")
        return value

    def maybe_number(self, name: str) -> float | None:
        """A column as a finite number, None if it is empty."""
        return self.number(name) if self.text(name, needed=False) else None

    def day(self, name: str) -> int:
        """A column as a UTC day (YYYY-MM-DD), in epoch ms."""
        raw = self.text(name)
        try:
            when = datetime.strptime(raw, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise self.wrong(f"{name} is {raw!r}, not a day YYYY-MM-DD") from error
        return int(when.timestamp()) * 1000

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A column that holds one of these words."""
        value = self.text(name)
        if value not in choices:
            raise self.wrong(f"{name} is {value!r}, not one of {', '.join(choices)}")
        return value

    def flag(self, name: str) -> bool:
        """A column that holds true or false."""
        return self.choice(name, ("true", "false")) == "true"

    def common(self, units: tuple[str, ...]) -> Common:
        """What every factor has; the unit must be one of these."""
        value, low, high = self.number("value"), self.maybe_number("low"), self.maybe_number("high")
        if not (low if low is not None else value) <= value <= (high if high is not None else value):
            raise self.wrong(f"value {value:g} is not between low {low} and high {high}")
        start = self.day("valid_from")
        end = self.day("valid_to") if self._fields.get("valid_to") else None
        if end is not None and end <= start:
            raise self.wrong("valid_to is not after valid_from")
        return Common(value, low, high, self.choice("unit", units), start, end, self.text("source"),
                      self.choice("confidence", CONFIDENCES), self.flag("estimated"), self.text("note", needed=False))


@dataclass(frozen=True)
class Common:
    """The columns that Line.common read, to be spread over a Factor's fields."""

    value: float
    low: float | None
    high: float | None
    unit: str
    valid_from_ms: int
    valid_to_ms: int | None
    source: str
    confidence: str
    estimated: bool
    note: str


_T = TypeVar("_T")


def read_factors(name: str, make: Callable[[Line], _T], folder: Path | None = None) -> tuple[_T, ...]:
    """The rows of a factor file, in its order.

    folder: where the file lies; the files shipped in this package if not given. WattlakeError names
    the file and the line that cannot be read.
    """
    file = (folder or files(__package__)) / name
    reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
    rows = []
    for fields in reader:
        line = Line(f"{name}, line {reader.line_num}", {k: v for k, v in fields.items() if k is not None and v is not None})
        if None in fields:
            raise line.wrong("has more fields than the header")
        rows.append(make(line))
    return tuple(rows)
