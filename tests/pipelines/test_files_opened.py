"""What a small change opens: its own span, and not a file more."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakes import dump, rows, run
from logs import Log

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_760_054_400_000 // DAY * DAY
DAYS = 30


def _day(log: Log, day: int) -> None:
    log.put("readings", [
        {"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + day * DAY + m * 600_000 + 1,
         "energy_mj": 60_000_000 * (day * 144 + m), "method": "counter", "boundary": "component", "simulated": False} for m in range(144)])


@pytest.fixture
def month(tmp_path: Path) -> Log:
    """A lake of thirty days, one raw file a day, accounted."""
    log = Log(tmp_path / "log")
    log.put("nodes", [{"node": "n", "site": "s", "valid_from_ms": T0}])
    log.put("sites", [{"site": "s", "zone": "Z", "pue": 1.2}])
    log.put("grid", [{"zone": "Z", "start_ms": T0 + h * HOUR, "end_ms": T0 + (h + 1) * HOUR, "direct_g_per_kwh": 100.0} for h in range(DAYS * 24)])
    for day in range(DAYS):
        _day(log, day)
    assert len(run(tmp_path / "lake", log.root).opened) == DAYS
    return log


def test_a_late_reading_opens_the_files_of_its_own_span_only(month: Log, tmp_path: Path) -> None:
    ts = T0 + 12 * DAY + 12 * HOUR + 300_000
    month.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": ts,
                            "energy_mj": 60_000_000 * (12 * 144 + 72) + 29_000_000,
                            "method": "counter", "boundary": "component", "simulated": False}])
    opened = run(tmp_path / "lake", month.root).opened
    assert {Path(p).name.split("-")[0] for p in opened} == {str(T0 + 12 * DAY)}
    assert len(opened) == 2  # the day's first file, and the late reading's own
    run(tmp_path / "again", month.root)
    assert dump(tmp_path / "again") == dump(tmp_path / "lake")


def test_a_restated_grid_hour_opens_none(month: Log, tmp_path: Path) -> None:
    at = T0 + 7 * DAY + 5 * HOUR
    before = dump(tmp_path / "lake")
    month.put("grid", [{"zone": "Z", "start_ms": at, "end_ms": at + HOUR, "direct_g_per_kwh": 140.0, "known_from_ms": T0 + 60 * DAY}])
    assert run(tmp_path / "lake", month.root).opened == ()
    after = dump(tmp_path / "lake")
    assert after["fact_energy"] == before["fact_energy"]
    assert after["fact_emissions"] != before["fact_emissions"]
    run(tmp_path / "again", month.root)
    assert dump(tmp_path / "again") == after


def test_a_grid_period_of_other_edges_opens_its_hour(month: Log, tmp_path: Path) -> None:
    at = T0 + 7 * DAY + 5 * HOUR
    month.put("grid", [{"zone": "Z", "start_ms": at, "end_ms": at + HOUR // 2, "direct_g_per_kwh": 140.0, "known_from_ms": T0 + 60 * DAY}])
    assert {Path(p).name.split("-")[0] for p in run(tmp_path / "lake", month.root).opened} == {str(T0 + 7 * DAY)}
    run(tmp_path / "again", month.root)
    assert dump(tmp_path / "again") == dump(tmp_path / "lake")


def test_a_job_told_after_its_readings_opens_the_hours_that_it_holds(month: Log, tmp_path: Path) -> None:
    before = dump(tmp_path / "lake")
    at = T0 + 20 * DAY + 5 * HOUR
    month.put("jobs", [{"job": "j", "node": "n", "start_ms": at, "end_ms": at + 2 * HOUR, "model": "m", "phase": "train"}])
    opened = run(tmp_path / "lake", month.root).opened
    assert {Path(p).name.split("-")[0] for p in opened} == {str(T0 + 20 * DAY)}
    held = rows(tmp_path / "lake", "SELECT min(start_ms), max(end_ms) FROM lake.fact_energy WHERE job = 'j' AND energy_mj > 0")
    assert held == [(at, at + 2 * HOUR)]
    assert dump(tmp_path / "lake")["fact_energy"] != before["fact_energy"]
    run(tmp_path / "again", month.root)
    assert dump(tmp_path / "again") == dump(tmp_path / "lake")


def test_a_changed_pue_opens_none_and_touches_its_site_only(month: Log, tmp_path: Path) -> None:
    before = dump(tmp_path / "lake")
    month.put("sites", [{"site": "elsewhere", "zone": "Z", "pue": 1.9}])
    assert run(tmp_path / "lake", month.root).opened == ()
    assert dump(tmp_path / "lake") == before
    month.put("sites", [{"site": "s", "zone": "Z", "pue": 1.5, "known_from_ms": T0 + 60 * DAY}])
    assert run(tmp_path / "lake", month.root).opened == ()
    assert dump(tmp_path / "lake")["fact_emissions"] != before["fact_emissions"]
