"""One row of kind jobs: made, checked, ended."""

from __future__ import annotations

import math
import signal
import time

from wattlake_contracts.column import Column, Type
from wattlake_contracts.errors import UsageError
from wattlake_contracts.kinds import JOBS

#: An open job ends this long after its last renewal: three renewals may be missed.
LEASE_MS = 180_000
RENEW_S = 60.0

_COLUMNS = {column.name: column for column in JOBS.columns}
_TYPES: dict[Type, tuple[type, ...]] = {Type.STRING: (str,), Type.INT: (int,), Type.FLOAT: (float, int), Type.BOOL: (bool,)}
#: Who calls a job off: a person or a scheduler, not the job itself.
_CALLED_OFF = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def now_ms() -> int:
    """Now, in epoch ms."""
    return time.time_ns() // 1_000_000


def opened(job: str, node: str, start_ms: int, devices: list[str], fields: dict[str, object]) -> list[dict[str, object]]:
    """The rows of a job that runs: one per device, or one for the whole node. UsageError for a name that is too long to be landed."""
    for name, value in (("job", job), ("node", node), *(("device", device) for device in devices)):
        if (why := _COLUMNS[name].overlong(value)) is not None:
            raise UsageError(why, subject=f"--{name}", next_step="give a shorter one: landing would reject the row")
    base = {"job": job, "node": node, "start_ms": start_ms, **{k: v for k, v in fields.items() if v is not None},
            "event_ms": now_ms(), "lease_ms": LEASE_MS}
    return [{**base, "device": device} for device in devices] if devices else [base]


def renewed(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same rows, still open now."""
    at = now_ms()
    return [{**row, "event_ms": at} for row in rows]


def ended(rows: list[dict[str, object]], status: str, fields: dict[str, object] | None = None) -> list[dict[str, object]]:
    """The same rows, ended now with a status and what is known only at the end."""
    at = now_ms()
    more = {k: v for k, v in (fields or {}).items() if v is not None}
    # a job shorter than a millisecond has lasted one: its end must lie after its start
    return [{**row, **more, "status": status, "end_ms": max(at, _whole(row["start_ms"]) + 1), "event_ms": at} for row in rows]


def status_of(exit_code: int) -> str:
    """ok, failed, or cancelled where a signal that people and schedulers send ended it (128 + its number)."""
    if exit_code == 0:
        return "ok"
    return "cancelled" if exit_code - 128 in _CALLED_OFF else "failed"


def problem(row: dict[str, object]) -> str | None:
    """Why a row is none of kind jobs, or None."""
    lacking = [c.name for c in JOBS.columns if c.required and row.get(c.name) in (None, "")]
    return f"{lacking[0]} is missing" if lacking else fault(row)


def fault(row: dict[str, object]) -> str | None:
    """The first column whose value the contract does not allow, and why; None if there is none."""
    for name, value in row.items():
        column = _COLUMNS.get(name)
        if column is None:
            return f"{name} is no column of jobs"
        if value is not None and (wrong := _fault(column, value)) is not None:
            return f"{name} {wrong}"
    return None


def _fault(column: Column, value: object) -> str | None:
    if not isinstance(value, _TYPES[column.type]) or (isinstance(value, bool) and column.type is not Type.BOOL):
        return f"must be of type {column.type.name.lower()}"
    if column.choices and value not in column.choices:
        return f"{value!r} is not one of {', '.join(column.choices)}"
    if isinstance(value, str) and (why := column.reserved(value)) is not None:
        return f"{value!r} {why}: reports call other things so"
    if isinstance(value, str) and (why := column.overlong(value)) is not None:
        return why
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return "must be a finite number"
        if column.minimum is not None and value < column.minimum:
            return f"{value} is below {column.minimum:g}"
        if column.maximum is not None and value > column.maximum:
            return f"{value} is above {column.maximum:g}"
    return None


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
