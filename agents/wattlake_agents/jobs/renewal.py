"""What the agent says for the jobs registered with it, each minute."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wattlake_agents.jobs.registration import load
from wattlake_agents.jobs.row import LEASE_MS, problem

#: So many registrations are looked at; the folder is open to every user.
_MOST = 10_000


@dataclass(slots=True)
class Renewals:
    """rows: what to write (kind jobs). done: files to forget once that is accepted."""

    rows: list[dict[str, object]] = field(default_factory=list)
    done: list[Path] = field(default_factory=list)

    def forget(self) -> None:
        """Delete the registrations that are done with."""
        for path in self.done:
            with suppress(OSError):  # gone already, or kept by its owner; it is void all the same
                path.unlink()


def renewals(folder: Path, node: str, boot_id: str) -> Renewals:
    """The rows that keep every registered job open, or end it. Rows of another node are left alone."""
    found = Renewals()
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".json" and not p.name.startswith("."))[:_MOST]
    except OSError:
        return found
    now_ms = time.time_ns() // 1_000_000
    for path in paths:
        registration = load(path)
        if registration is None:
            continue
        if (boot_id and registration.boot_id != boot_id) or (registration.pid and not registration.ended and not _alive(registration.pid)):
            found.done.append(path)
            continue
        rows = [row for row in registration.rows if row.get("node") == node and problem(row) is None]
        if registration.ended:
            found.rows += rows
            found.done.append(path)
        else:
            found.rows += [{**row, "event_ms": now_ms, "lease_ms": LEASE_MS} for row in rows]
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
