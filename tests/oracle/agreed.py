"""Small examples put to oracle and kernel alike: what they agree on, and short ways to write the readings down."""

from __future__ import annotations

from typing import Any

import numpy as np

from oracle import energy as oracle
from oracle.intervals import Settings
from oracle.tree import HOUR_MS
from oracle.worlds import BASE_MS, CUT_TYPES, DEVICE_TYPES, JOB_TYPES, PLACE_TYPES, READING_TYPES, reading, table
from wattlake_pipelines.account.kernels import energy as kernel

S, MIN, H = 1000, 60_000, HOUR_MS
LONG = Settings(long_gap_ms=10 * H)
WALL = {"device_kind": "node", "boundary": "node_ac"}
BOARD = {"device_kind": "node", "boundary": "node_dc"}
PSU = {"device_kind": "psu", "boundary": "node_dc"}
PSYS = {"device_kind": "psys"}
CPU = {"device_kind": "cpu"}
#: A cell of 1 mJ goes to the job (ties go to jobs first), one of 2 mJ is halved.
HALF = {"share": 500_000}


def facts(
    readings: list[dict], *, jobs: tuple[dict, ...] = (), places: tuple[dict, ...] = (), cuts: tuple[int, ...] = (),
    devices: tuple[dict, ...] = (), hours: tuple[int, ...] = (0,), limits: Settings = LONG,
) -> list[dict]:
    """The rows that oracle and kernel agree on. Cuts and hours count from BASE_MS."""
    at = [BASE_MS + h * H for h in hours]
    edges = [{"node": "n", "cut_ms": BASE_MS + c} for c in cuts]
    want = oracle.energy_facts(readings, at, list(jobs), list(places), edges, list(devices), limits)
    got = kernel.energy_facts(
        table(readings, READING_TYPES), np.array(at, np.int64), table(list(jobs), JOB_TYPES), table(list(places), PLACE_TYPES),
        table(edges, CUT_TYPES), table(list(devices), DEVICE_TYPES), kernel.Settings(*limits),
    )
    assert got.to_pylist() == want
    return want


def line(device: str, *ts_and_mj: tuple[int, int], **other: Any) -> list[dict]:
    """A counter's readings."""
    return [reading(device, ts, mj, **other) for ts, mj in ts_and_mj]


def power(device: str, *ts_and_mw: tuple[int, int], **other: Any) -> list[dict]:
    """A device's powers."""
    return [reading(device, ts, power=mw, **other) for ts, mw in ts_and_mw]


def energy(rows: list[dict], device: str = "gpu0") -> int:
    """What a device's lines add up to."""
    return sum(r["energy_mj"] for r in rows if r["device"] == device)


def by_device(rows: list[dict]) -> dict[str, int]:
    """What each leaf's lines add up to."""
    return {d: energy(rows, d) for d in sorted({r["device"] for r in rows})}


def by_job(rows: list[dict], device: str = "gpu0") -> dict[str | None, int]:
    """What each job, and nobody (None), has of a device."""
    return {r["job"]: r["energy_mj"] for r in rows if r["device"] == device}


def classes(row: dict) -> dict[str, int]:
    """The classes that a row has energy of."""
    return {k: row[f"{k}_mj"] for k in ("measured", "integrated", "estimated", "imputed") if row[f"{k}_mj"]}


def hour(device: str, mj: int, **other: Any) -> list[dict]:
    """A device read at both ends of the hour."""
    return line(device, (0, 0), (H, mj), **other)
