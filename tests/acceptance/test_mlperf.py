"""The power logs of MLPerf Training v4.0: each run's energy against an integral made by others.

expected_totals.csv holds per run the trapezoid integral of each node's log, cut at run_start and
run_stop by interpolating the cumulative energy and added over the nodes, and the total that the
submitter published where there is one.
"""

from __future__ import annotations

import csv
import itertools
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

MJ_PER_KWH = 3_600_000_000
#: the archives say 0.01 %; what is left is the order of readings that share an instant
TOLERANCE = 1e-4
READINGS = ("node", "device", "ts", "power_w", "device_kind", "boundary")
JOBS = ("job", "node", "start", "end")


@dataclass
class Run:
    """One run of an archive: when it began and ended, and each node's (time in ms, W)."""

    name: str
    start_ms: int = 0
    stop_ms: int = 0
    powers: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def _events(text: str) -> list[dict[str, Any]]:
    """The MLLOG lines of a log, as objects."""
    return [json.loads(line[line.index("{"):]) for line in text.splitlines() if ":::MLLOG" in line]


def read_archive(path: Path) -> dict[str, Run]:
    """The runs of an archive by name. The switch's estimate (sw_0) is no meter and is left out."""
    runs: dict[str, Run] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            place = PurePosixPath(member.name)
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is None or place.suffix != ".txt":
                continue
            if place.parent.parent.name == "power" and place.stem.startswith("node_"):
                run = runs.setdefault(place.parent.name, Run(place.parent.name))
                events = _events(stream.read().decode())
                run.powers[place.stem] = [(e["time_ms"], e["value"]) for e in events if e["key"] == "power_reading"]
            elif place.stem.startswith("result_"):
                run = runs.setdefault(place.stem, Run(place.stem))
                # the result's log is long: only two of its lines are of interest
                text = "\n".join(line for line in stream.read().decode().splitlines() if '"run_start"' in line or '"run_stop"' in line)
                times = {e["key"]: e["time_ms"] for e in _events(text)}
                run.start_ms, run.stop_ms = times["run_start"], times["run_stop"]
    return runs


@dataclass(frozen=True)
class Expected:
    """A row of expected_totals.csv."""

    job: str
    archive: str
    run: str
    side: str
    nodes: int
    kwh: float
    kwh_published: float | None


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> list[Expected]:
    with (shared_data / "mlperf_training_power" / "expected_totals.csv").open(encoding="utf-8") as file:
        return [
            Expected(f"{r['psu_side']}-{r['run']}", r["archive"], r["run"], r["psu_side"], int(r["nodes"]), float(r["kwh_run_window"]),
                     float(r["kwh_published"]) if r["kwh_published"] else None)
            for r in csv.DictReader(file)]


@pytest.fixture(scope="module")
def archives(shared_data: Path, expected: list[Expected]) -> dict[str, dict[str, Run]]:
    return {name: read_archive(shared_data / "mlperf_training_power" / name) for name in sorted({e.archive for e in expected})}


@pytest.fixture(scope="module")
def energy_mj(module_world: Any, expected: list[Expected], archives: dict[str, dict[str, Run]]) -> dict[str, int]:
    """Each job's energy as the lake has it. The two sides of the supplies are nodes of their own here."""
    readings, jobs = [], []
    for e in expected:
        run = archives[e.archive][e.run]
        assert len(run.powers) == e.nodes
        for name, powers in run.powers.items():
            node = f"{e.job}-{name}"
            readings += [(node, "wall", ts, watts, "node", f"node_{e.side}") for ts, watts in powers]
            jobs.append((e.job, node, run.start_ms, run.stop_ms))
    module_world.load("readings", READINGS, readings)
    module_world.load("jobs", JOBS, jobs)
    said = module_world.account()
    assert said["rows"] == len(readings) + len(jobs)
    rows = module_world.sql("SELECT job, sum(energy_mj)::BIGINT AS energy_mj FROM fact_energy WHERE line = 'job_active' GROUP BY job")
    return {r["job"]: int(r["energy_mj"]) for r in rows}


def test_every_runs_energy_is_the_integral_of_its_log(expected: list[Expected], energy_mj: dict[str, int]) -> None:
    assert energy_mj.keys() == {e.job for e in expected}
    off = {e.job: energy_mj[e.job] / MJ_PER_KWH / e.kwh - 1 for e in expected}
    assert {job: share for job, share in off.items() if abs(share) > TOLERANCE} == {}
    assert {e.side for e in expected} == {"ac", "dc"}


def test_the_run_on_64_nodes_is_within_a_percent_of_the_published_total(expected: list[Expected], energy_mj: dict[str, int]) -> None:
    [published] = [e for e in expected if e.kwh_published is not None]
    assert published.nodes == 64
    assert energy_mj[published.job] / MJ_PER_KWH == pytest.approx(published.kwh_published, rel=0.01)


def test_each_readings_energy_is_in_one_line_and_marked_as_integrated(module_world: Any, energy_mj: dict[str, int]) -> None:
    [row] = module_world.sql("""
        SELECT sum(energy_mj)::BIGINT AS total, sum(integrated_mj)::BIGINT AS integrated, count(DISTINCT boundary) AS sides
        FROM fact_energy""")
    assert row["total"] == row["integrated"] > sum(energy_mj.values())
    assert row["sides"] == 2


def test_the_dc_side_as_a_child_of_the_ac_side_doubles_nothing(
        world: Any, archives: dict[str, dict[str, Run]], expected: list[Expected]) -> None:
    """One machine metered on both sides of its supplies: their loss is the rest, and all leaves add up to the AC side."""
    ac, dc = ("ac_llama2_70b_lora_1n_allruns.tar.gz", "dc_llama2_70b_lora_1n_allruns.tar.gz")
    name = "result_5027-240510020224961918558_3"
    sides = {"wall": (archives[ac][name], "node_ac"), "supply": (archives[dc][name], "node_dc")}
    world.load("nodes", ("node", "site", "device", "device_kind", "parent"), [
        ("n", "lab", None, None, None), ("n", "lab", "wall", "node", None), ("n", "lab", "supply", "node", "wall")])
    world.load("readings", READINGS, [
        ("n", device, ts, watts, "node", boundary)
        for device, (run, boundary) in sides.items() for powers in run.powers.values() for ts, watts in powers])
    run = archives[ac][name]
    world.load("jobs", JOBS, [("tune", "n", run.start_ms, run.stop_ms)])
    world.account()
    leaves = {r["device"]: int(r["energy_mj"]) for r in world.sql(
        "SELECT device, sum(energy_mj)::BIGINT AS energy_mj FROM fact_energy WHERE job = 'tune' GROUP BY device")}
    [kwh_ac, kwh_dc] = [e.kwh for side in ("ac", "dc") for e in expected if e.run == name and e.side == side]
    assert leaves.keys() == {"supply", "wall.rest"}
    assert sum(leaves.values()) / MJ_PER_KWH == pytest.approx(kwh_ac, rel=TOLERANCE)
    assert leaves["supply"] / MJ_PER_KWH == pytest.approx(kwh_dc, rel=TOLERANCE)
    assert leaves["wall.rest"] > 0
    # the whole log, the minutes before and after the run included: the trapezoid of the AC side, and nothing on top of it
    [powers] = run.powers.values()
    integral_mj = sum((a + b) / 2 * (t - s) for (s, a), (t, b) in itertools.pairwise(powers))
    [total] = world.sql("SELECT sum(energy_mj)::BIGINT AS energy_mj FROM fact_energy")
    first_dc, last_dc = ([ts for p in sides["supply"][0].powers.values() for ts, _ in p][i] for i in (0, -1))
    first_ac, last_ac = powers[0][0], powers[-1][0]
    assert first_ac <= first_dc
    assert last_dc <= last_ac
    assert total["energy_mj"] == pytest.approx(integral_mj, abs=len(powers))
