"""What a day's element makes of readings that reach beyond the day."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakes import rows, run
from logs import Log

HALF, HOUR, DAY = 1_800_000, 3_600_000, 86_400_000
MIDNIGHT = 1_760_054_400_000 // DAY * DAY


def _device(**other: object) -> dict[str, object]:
    return {"node": "n", "device": "gpu0", "event_ms": MIDNIGHT - DAY, **other}


def _readings(*at: tuple[int, int]) -> list[dict[str, object]]:
    return [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": MIDNIGHT + ts, "energy_mj": mj, "method": "counter",
             "boundary": "component", "simulated": False} for ts, mj in at]


@pytest.mark.parametrize("days", [1, 3])
def test_a_limit_that_ended_at_midnight_drops_the_whole_of_an_interval_that_began_before(tmp_path: Path, days: int) -> None:
    """The card could draw 1 W until midnight and anything after: what began before is left out on both days, and what is beside it is flagged."""
    log, late, leap = Log(tmp_path / "log"), (days - 1) * DAY, 10**12
    log.put("nodes", [_device(max_power_mw=1000, valid_from_ms=MIDNIGHT - DAY, valid_to_ms=MIDNIGHT), _device(valid_from_ms=MIDNIGHT)])
    log.put("readings", _readings((-3 * HALF, 0), (-HALF, 1000), (late + HALF, 1000 + leap), (late + 3 * HALF, 2000 + leap)))
    run(tmp_path / "lake", log.root)
    found = rows(tmp_path / "lake", "SELECT start_ms, energy_mj, flags FROM lake.fact_energy ORDER BY ALL")
    assert found == [(MIDNIGHT - 2 * HOUR, 500, None), (MIDNIGHT - HOUR, 500, "implausible"),
                     (MIDNIGHT + late, 500, "implausible"), (MIDNIGHT + late + HOUR, 500, None)]


def test_a_limit_told_of_late_reaches_as_far_as_the_interval_that_began_under_it(tmp_path: Path) -> None:
    """It held for hours before midnight; what began then ends three hours into the next day, which is made anew too."""
    log, leap = Log(tmp_path / "log"), 10**12
    log.put("readings", _readings((-3 * HALF, 0), (-HALF, 1000), (5 * HALF, 1000 + leap), (7 * HALF, 2000 + leap), (9 * HALF, 3000 + leap)))
    run(tmp_path / "lake", log.root)
    log.put("nodes", [_device(max_power_mw=1000, valid_from_ms=MIDNIGHT - DAY, valid_to_ms=MIDNIGHT)])
    run(tmp_path / "lake", log.root)
    found = rows(tmp_path / "lake", "SELECT start_ms, energy_mj, flags FROM lake.fact_energy ORDER BY ALL")
    assert found == [(MIDNIGHT - 2 * HOUR, 500, None), (MIDNIGHT - HOUR, 500, "implausible"), (MIDNIGHT + 2 * HOUR, 500, "implausible"),
                     (MIDNIGHT + 3 * HOUR, 1000, None), (MIDNIGHT + 4 * HOUR, 500, None)]


@pytest.mark.parametrize("hours", [3, 6, 20])
def test_outliers_that_follow_on_outliers_are_one_interval_on_both_sides_of_midnight(tmp_path: Path, hours: int) -> None:
    """0, 100, 1, 101, 2, …: each is out of line with its neighbours, so that all lies between the first reading and the last."""
    log = Log(tmp_path / "log")
    ups_and_downs = [(i * HOUR + 1, abs(i + hours) // 2 + 100 * (i + hours & 1)) for i in range(-hours, hours + 1)]
    log.put("readings", _readings(*ups_and_downs))
    run(tmp_path / "lake", log.root)
    found = rows(tmp_path / "lake", "SELECT sum(energy_mj), count(*), string_agg(DISTINCT flags) FROM lake.fact_energy")
    first, last = ups_and_downs[0][1], ups_and_downs[-1][1]
    assert found == [(last - first, 2 * hours + 1, "outlier")]
    assert {e for (e,) in rows(tmp_path / "lake", "SELECT DISTINCT energy_mj FROM lake.fact_energy")} <= {0, 1}


def test_a_late_reading_before_outliers_makes_anew_what_is_behind_them(tmp_path: Path) -> None:
    """159, 0, 159, then 0 hours later: no interval reaches over. With a 0 before them all three are outliers, and one does."""
    log = Log(tmp_path / "log")
    log.put("readings", _readings((1000, 159), (2000, 0), (3000, 159), (4 * HOUR, 0)))
    run(tmp_path / "lake", log.root)
    log.put("readings", _readings((0, 0)))
    run(tmp_path / "lake", log.root)
    found = rows(tmp_path / "lake", "SELECT start_ms, energy_mj, flags FROM lake.fact_energy ORDER BY ALL")
    assert found == [(MIDNIGHT + h * HOUR, 0, "outlier") for h in range(4)]
