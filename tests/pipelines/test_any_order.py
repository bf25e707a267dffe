"""Whatever the order, the pieces, the copies, the shards and the threads: the facts are the same, and the oracle's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings

from lakes import dump, rows, run
from oracle.energy import energy_facts as slow_energy_facts
from wattlake_contracts.tables import FACT_ENERGY
from wattlake_pipelines.account import day_elements
from worlds import Told, shuffled, worlds, write

THREADS = ("--runner=FnApiRunner", "--direct_num_workers=2", "--direct_running_mode=multi_threading")


def _in_steps(folder: Path, told: list[Told], steps: int) -> Path:
    """A lake that is run after each stretch of the records."""
    size = max(1, -(-len(told) // steps))
    for at in range(0, len(told), size):
        write(folder / "log", told[at : at + size])
        run(folder / "lake", folder / "log")
    return folder / "lake"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_facts_depend_on_the_records_alone(told: list[Told]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        run(whole / "lake", write(whole / "log", told)) if told else None
        if not told:
            return
        expected = dump(whole / "lake")
        for steps, order in ((2, told), (3, shuffled(told, 1))):
            assert dump(_in_steps(folder / f"steps{steps}", order, steps)) == expected, f"{steps} steps"
        other = folder / "other"
        run(other / "lake", write(other / "log", shuffled(told + told, 3), partitions=3), shards=4, pieces=3, options=THREADS)
        assert dump(other / "lake") == expected, "doubled, shuffled, 4 shards, 2 threads"
        with patch.object(day_elements, "ROWS_AT_ONCE", 1):
            assert dump(_in_steps(folder / "hours", order, 2)) == expected, "each hour by itself"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_energy_facts_end_to_end_are_the_oracles(told: list[Told]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not told:
            return
        run(folder / "lake", write(folder / "log", told))
        readings = [dict(r) for t in told if t.kind == "readings" for r in t.rows]
        books = {n: _dicts(folder / "lake", n) for n in ("accounted_jobs", "accounted_places", "accounted_devices")}
        hours = sorted({h * 3_600_000 for r in readings for h in range(_span(readings)[0], _span(readings)[1] + 1)})
        cuts = _cuts(folder / "lake", books["accounted_places"])
        slow = slow_energy_facts(readings, hours, books["accounted_jobs"], books["accounted_places"], cuts, books["accounted_devices"])
        names = FACT_ENERGY.names
        assert _dicts(folder / "lake", "fact_energy") == sorted(({n: r.get(n) for n in names} for r in slow), key=_order)


def _order(row: dict[str, object]) -> str:
    return repr([row[n] is None or row[n] for n in ("start_ms", "node", "device", "line")]) + repr(row["job"]) + repr(list(row.values()))


def _dicts(lake: Path, table: str) -> list[dict[str, object]]:
    from wattlake_contracts.tables import TABLES

    names = TABLES[table].names
    found = [dict(zip(names, r, strict=True)) for r in rows(lake, f"SELECT * FROM lake.{table}")]
    return sorted(found, key=_order) if table == "fact_energy" else found


def _span(readings: list[dict[str, object]]) -> tuple[int, int]:
    instants = [int(str(r["ts_ms"])) // 3_600_000 for r in readings]
    return min(instants), max(instants)


def _cuts(lake: Path, places: list[dict[str, object]]) -> list[dict[str, object]]:
    """The period edges of each node: those of its zone's grid while it stands there, and of its own places."""
    edges = rows(lake, "SELECT zone, start_ms FROM lake.ref_grid UNION SELECT zone, end_ms FROM lake.ref_grid")
    made = [{"node": p["node"], "cut_ms": int(str(e))} for p in places for z, e in edges if z == p["zone"] and p["start_ms"] < e < p["end_ms"]]  # type: ignore[operator]  # both are integers
    return made + [{"node": p["node"], "cut_ms": p[side]} for p in places for side in ("start_ms", "end_ms")]
