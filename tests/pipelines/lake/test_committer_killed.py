"""A committer killed at any step leaves a lake that a rerun completes: nothing lost, nothing twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakes import dump, rows, run
from logs import Log
from wattlake_pipelines.lake.committer import STEPS, Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify

SUPPORT = Path(__file__).resolve().parents[2] / "support"
HOUR = 3_600_000
T0 = 1_760_000_400_000 // HOUR * HOUR


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two hours of two nodes, a job, a site and a grid."""
    made = Log(tmp_path / "log")
    for node in ("n0", "n1"):
        for minute in range(0, 120, 30):
            made.put("readings", [
                {"node": node, "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + (minute + m) * 60_000,
                 "energy_mj": 1_000_000 * (minute + m), "method": "counter", "boundary": "component", "simulated": False}
                for m in range(30)], node=node)
        made.put("jobs", [{"job": "j", "node": node, "start_ms": T0 + 600_000, "end_ms": T0 + 5_000_000, "model": "m", "phase": "train"}], node=node)
        made.put("nodes", [{"node": node, "site": "s", "valid_from_ms": T0}], node=node)
    made.put("sites", [{"site": "s", "zone": "Z", "pue": 1.25}], node="ref")
    made.put("grid", [{"zone": "Z", "start_ms": T0 + h * HOUR, "end_ms": T0 + (h + 1) * HOUR, "direct_g_per_kwh": 100.0 + h} for h in range(2)], node="ref")
    return made.root


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, str]]:
    """The dump of an undisturbed run, made by the first test."""
    return {}


def _killed(lake: Path, log: Path, step: str, nth: int) -> int:
    done = subprocess.run([sys.executable, str(SUPPORT / "die_at.py"), str(lake), str(log), step, str(nth)],
                          cwd=SUPPORT, capture_output=True, check=False)
    return done.returncode


# the first commit of a run lands, the second accounts
@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2], ids=["landing", "accounting"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_then_rerun_gives_the_undisturbed_books(step: str, nth: int, log: Path, tmp_path: Path, expected: dict[str, dict[str, str]]) -> None:
    if not expected:
        run(tmp_path / "calm", log)
        expected["dump"] = dump(tmp_path / "calm")
    lake = tmp_path / "lake"
    assert _killed(lake, log, step, nth) == -signal.SIGKILL
    run(lake, log)
    assert dump(lake) == expected["dump"]
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
    assert dump(lake) == expected["dump"]
    counts = rows(lake, "SELECT count(*), count(DISTINCT (node, device, epoch, ts_ms)) FROM lake.raw_readings")
    assert counts == [(240, 240)]
    on_disk = {p.name for p in (lake / "data").rglob("*.parquet")}
    named = {Path(str(p)).name for (p,) in rows(lake, "SELECT path FROM lake.files")}
    assert named <= on_disk
    assert not list((lake / "staging").iterdir())


def test_an_undisturbed_run_keeps_every_record_once(log: Path, tmp_path: Path) -> None:
    run(tmp_path / "lake", log)
    energy = rows(tmp_path / "lake", "SELECT sum(energy_mj)::BIGINT, count(DISTINCT line) FROM lake.fact_energy")
    assert energy == [(2 * 119 * 1_000_000, 2)]
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.dirty") == [(0,)]
