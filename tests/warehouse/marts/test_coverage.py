"""The mart `coverage`, and the coverage of the footprints: against the time in which a machine was to be read."""

from __future__ import annotations

from pathlib import Path

from lakes import run
from logs import Log
from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.report.figures import collect
from wattlake_warehouse.report.page import render

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 1_760_054_400_000


def test_coverage_is_measured_from_the_first_reading_to_the_end_of_the_data(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    # an hour's last two minutes, and the next one's first: no gap
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + 58 * MINUTE + s * 1000, "energy_mj": s * 300_000,
                          "method": "counter", "boundary": "component", "simulated": False} for s in range(181)])
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": T0 + 59 * MINUTE, "end_ms": T0 + 60 * MINUTE, "event_ms": T0 + 60 * MINUTE, "model": "m"}])
    # read for half of the time only
    log.put("readings", [{"node": "half", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + 31 * MINUTE, "energy_mj": 0, "method": "counter",
                          "boundary": "component", "simulated": False},
                         *({"node": "half", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + m * MINUTE, "energy_mj": m * 10**6,
                            "method": "counter", "boundary": "component", "simulated": False} for m in range(46, 61))])
    run(tmp_path / "lake", log.root)
    with open_lake(tmp_path / "lake") as connection:
        found = {row[0]: row[1:] for row in connection.execute("SELECT node, coverage, day_coverage, expected_h * 60 FROM coverage").fetchall()}
        by_job = dict(connection.execute("SELECT job, coverage FROM footprint_by_job").fetchall())
        facts = [row[0] for row in connection.execute("SELECT DISTINCT coverage FROM fact_energy WHERE node = 'n' ORDER BY 1").fetchall()]
    assert found == {"n": (1.0, 1.0, 3.0), "half": (14 / 29, 14 / 30, 29.0)}
    assert by_job["j"] == 1.0
    assert facts == [1 / 60, 2 / 60]
    assert "first reading to the end of the data, read without a long gap" in render(collect(tmp_path / "lake"))


def test_what_has_no_device_time_has_no_coverage(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("nodes", [{"node": "bought", "sku": "box", "valid_from_ms": T0 - HOUR}])
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + HOUR, "energy_mj": 0, "method": "counter",
                          "boundary": "component", "simulated": False}])
    log.put("jobs", [{"job": "j", "node": "bought", "start_ms": T0, "end_ms": T0 + HOUR, "event_ms": T0 + HOUR, "model": "m"}])
    log.put("embodied", [{"sku": "box", "embodied_ug": 10**12, "life_years": 5.0}])
    run(tmp_path / "lake", log.root)
    with open_lake(tmp_path / "lake") as connection:
        assert connection.execute("SELECT coverage, embodied_kg > 0 FROM footprint_by_job WHERE job = 'j'").fetchall() == [(None, True)]
