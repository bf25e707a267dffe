"""Command line options made from the contract's columns, so that a new column is an option at once."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from wattlake_contracts.column import Column, Input, Type
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kind import Kind

#: What typer makes of an option; numbers are read here, for 1e9 is a whole number and nan is none.
_TYPES: dict[Type, type] = {Type.STRING: str, Type.INT: str, Type.FLOAT: str, Type.BOOL: bool}
_METAVARS = {Type.STRING: "TEXT", Type.INT: "INTEGER", Type.FLOAT: "FLOAT"}


def contract_options(kind: Kind, *, leave_out: tuple[str, ...] = (), optional: tuple[str, ...] = (),
                     texts: Mapping[str, str] | None = None) -> Callable[..., Callable[..., None]]:
    """Decorate f(values, **own) as a command with f's own options and one per column of a kind.

    values: the columns that were given, checked, in stored names and units. leave_out: columns that
    the command fills itself. optional: required columns that it fills if they are not given. texts:
    help to show instead of the column's own, where an option's unit is another than the column's.
    """
    columns = [c for c in kind.columns if not c.internal and c.name not in leave_out]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "values"]
        made = [_parameter(c, required=c.required and c.name not in optional, text=(texts or {}).get(c.name)) for c in columns]

        def command(**given: Any) -> None:
            values = {c.name: stored(c, given.pop(_option(c).name)) for c in columns}
            function(values={k: v for k, v in values.items() if v is not None}, **given)

        command.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]  # what typer reads
        command.__annotations__ = {p.name: p.annotation for p in (*own, *made)}
        command.__doc__, command.__name__ = function.__doc__, function.__name__
        return command

    return decorate


def stored(column: Column, value: Any, name: str = "") -> Any:
    """A value in the stored unit, from an option or a keyword; None and '' are not given.

    name: what its user knows it as (default: the option). UsageError says what is wrong with it.
    """
    source = _option(column)
    name = name or "--" + source.name.replace("_", "-")
    if value is None or value == "":
        return None
    if source.time:
        value = _instant(name, value)
    if column.type in (Type.INT, Type.FLOAT):
        return _number(column, source.scale, value, name)
    if column.choices and value not in column.choices:
        raise UsageError(f"{value!r} is not one of {', '.join(column.choices)}", subject=name)
    if isinstance(value, str) and (why := column.reserved(value)) is not None:
        raise UsageError(f"{value!r} {why}: reports call other things so", subject=name)
    if isinstance(value, str) and (why := column.overlong(value)) is not None:
        raise UsageError(why, subject=name, next_step="give a shorter one: landing would reject the row")
    return value


def _number(column: Column, scale: float, value: Any, name: str) -> int | float:
    """In the stored unit and within the column's bounds. A whole number may be written 1e9 or 5.0, but not 5.5."""
    low, high = column.minimum, column.maximum
    span = " and ".join(f"{word} {bound / scale:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None)
    given = _exact(value)
    if given is None:
        raise UsageError(f"{str(value)!r} is no number", subject=name, next_step=f"give {span or 'a number'}")
    whole = column.type is Type.INT
    if whole and scale == 1.0 and given != given.to_integral_value():
        raise UsageError(f"{value} is no whole number", subject=name, next_step=f"give {span or 'one'}, without a fraction")
    # what is counted is compared exactly: a float would let 2^53 + 1 pass for 2^53
    found = given if whole and scale == 1.0 else float(given) * scale
    if (low is not None and found < low) or (high is not None and found > high) or found == math.inf:
        raise UsageError(f"{value} is out of range", subject=name, next_step=f"give {span or 'less'}")
    return round(found) if whole else float(found)


def _exact(value: Any) -> Decimal | None:
    """A number's exact value, or None for what is no finite number. An option is text, a keyword may be a number of any library."""
    if isinstance(value, bool):
        return None
    try:
        found = Decimal(value if isinstance(value, str | int) else float(value))
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        return None
    return found if found.is_finite() else None


def _option(column: Column) -> Input:
    return column.accepted_inputs[0]


def _parameter(column: Column, *, required: bool, text: str | None) -> inspect.Parameter:
    source = _option(column)
    kind: Any = _TYPES[column.type]
    metavar = "TIME" if source.time else "FLOAT" if source.scale != 1.0 else _METAVARS.get(column.type)
    notes = [column.doc]
    if column.choices:
        notes.append("One of " + ", ".join(column.choices) + ".")
    if column.unit and not source.time and source.scale == 1.0 and column.type is not Type.STRING:
        notes.append(f"[{column.unit}]")
    text = text or " ".join(n if i else n[:1].upper() + n[1:] + "." for i, n in enumerate(notes))
    info = typer.Option("--" + source.name.replace("_", "-"), help=text, show_default=False,
                        metavar=metavar)
    annotation: Any = Annotated[kind if required else kind | None, info]
    return inspect.Parameter(source.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation,
                             default=inspect.Parameter.empty if required else None)


def _instant(name: str, value: str) -> int:
    """Epoch ms, or ISO 8601 with a zone."""
    if value.lstrip("-").isdigit():
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise UsageError(f"{value!r} is no instant", subject=name, next_step="write 2026-01-31T12:00:00Z, or epoch ms") from error
    if moment.tzinfo is None:
        raise UsageError(f"{value!r} has no zone", subject=name, next_step="write 2026-01-31T12:00:00Z, or epoch ms")
    return round(moment.astimezone(UTC).timestamp() * 1000)
