"""An instant that is an option of a command."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from wattlake_contracts.column import EARLIEST_MS, LATEST_MS


def given_instant(value: str | None, option: str) -> int | None:
    """Epoch ms of ISO 8601 with a zone; a plain day is its midnight in UTC. None if it is not given, typer.BadParameter if it is no such instant."""
    if value is None:
        return None
    try:
        when = datetime.fromisoformat(value)
        if when.tzinfo is None and len(value) <= len("2026-01-01"):
            when = when.replace(tzinfo=UTC)
        if when.tzinfo is None:
            raise typer.BadParameter(f"{value!r} has no time zone; write it with Z or an offset", param_hint=option)
        instant = int(when.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{value!r} is not ISO 8601, e.g. 2026-01-01 or 2026-01-01T12:00Z", param_hint=option) from error
    if not EARLIEST_MS <= instant <= LATEST_MS:
        raise typer.BadParameter(f"{value!r} is not between 2000 and 2200", param_hint=option)
    return instant
