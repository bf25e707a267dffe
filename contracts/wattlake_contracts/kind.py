"""A kind of message: its topic, its columns, the rules over them and the lake table it lands in."""

from __future__ import annotations

from dataclasses import dataclass

from wattlake_contracts.column import Column, Input

#: The version that this build writes. A reader takes any minor of its own major.
VERSION = "1.0"

#: Prepended to every topic; a deployment may change it.
TOPIC_PREFIX = "wattlake."


#: An instant of what has happened may lie so far after its record was written down: clocks differ, but not by more.
AHEAD_MS = 24 * 3_600_000


@dataclass(frozen=True)
class Rule:
    """A rule over several columns of one row.

    form: `ordered` (columns[0] < columns[1] where both are given), `at_most` (columns[0] <= columns[1]
    where both are given), `any_of` (at least one of the columns is given) or `one_of` (exactly one is
    given).
    """

    form: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Kind:
    """One kind of message.

    carrier: `arrow` (an Arrow IPC stream of rows) or `json` (one object, or an array of objects).
    table: the lake table that its rows land in. key: what identifies a row among its like.
    happened: its instants that tell of what has been: none lies ahead of the record, and the latest
    of all is the lake's watermark.
    """

    name: str
    topic: str
    carrier: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    table: str
    rules: tuple[Rule, ...] = ()
    importable: bool = True
    happened: tuple[str, ...] = ()

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def inputs(self) -> dict[str, tuple[Column, Input]]:
        """What an import file may call its columns, each with the column it fills."""
        return {i.name: (c, i) for c in self.columns for i in c.accepted_inputs}

    @property
    def required_inputs(self) -> tuple[str, ...]:
        """The import columns that must be there, by their first name."""
        return tuple(c.accepted_inputs[0].name for c in self.columns if c.required and not c.internal)


def accepts(version: str) -> str | None:
    """Why a message of this version cannot be read, or None if it can.

    A newer minor version is accepted (its extra columns are ignored), another major is not.
    """
    major, dot, minor = version.partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        return f"version {version!r} is not MAJOR.MINOR"
    if major != VERSION.partition(".")[0]:
        return f"version {version} is of another major than {VERSION}, which this build reads"
    return None


def is_newer(version: str) -> bool:
    """Whether a version is of a later major than this build reads: a later build will read it."""
    major, _, minor = version.partition(".")
    return major.isdigit() and minor.isdigit() and int(major[:9]) > int(VERSION.partition(".")[0])
