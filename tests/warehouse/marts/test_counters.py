"""The mart `counters`: what accounting leaves out by its rules is explained, to the millijoule; anything else is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lakes import run
from logs import Log
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.land import land
from wattlake_warehouse.check.gate import INVARIANTS
from wattlake_warehouse.lake import open_lake
from worlds import Told, worlds, write

HOUR = 3_600_000
T0 = 1_760_000_400_000 // HOUR * HOUR
MINUTE = 60_000


def reading(device: str, minute: float, energy_mj: int, *, kind: str = "gpu", boundary: str = "component", epoch: str = "e") -> dict[str, object]:
    return {"node": "n", "device": device, "device_kind": kind, "epoch": epoch, "ts_ms": T0 + int(minute * MINUTE), "energy_mj": energy_mj,
            "method": "counter", "boundary": boundary, "simulated": False}


def wall(minute: float, energy_mj: int) -> dict[str, object]:
    return reading("wall", minute, energy_mj, kind="node", boundary="node_ac")


def compared(lake: Path) -> dict[str, dict[str, Any]]:
    with open_lake(lake) as connection:
        result = connection.execute("FROM counters")
        names = [column[0] for column in result.description]
        return {str(row[1]): dict(zip(names, row, strict=True)) for row in result.fetchall()}


def made(tmp_path: Path, readings: list[dict[str, object]], nodes: list[dict[str, object]] | None = None) -> Path:
    log = Log(tmp_path / "log")
    log.put("readings", readings)
    if nodes:
        log.put("nodes", nodes)
    run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def test_a_counter_that_began_again_amid_an_hour_is_explained_though_its_outermost_readings_do_not_show_it(tmp_path: Path) -> None:
    values = [*range(1000, 1500, 50), *range(1020, 1620, 60)]
    lake = made(tmp_path, [reading("gpu0", m, value) for m, value in enumerate(values)])
    row = compared(lake)["gpu0"]
    assert (row["counter_mj"], row["facts_mj"], row["unexplained_mj"]) == (560, 450 + 540, 0)
    assert "began again" in row["note"]


def test_readings_beyond_what_the_device_can_draw_are_explained(tmp_path: Path) -> None:
    lake = made(tmp_path, [reading("gpu0", m, m * 6_000_000 + (m > 30) * 10**10) for m in range(60)],
                [{"node": "n", "device": "gpu0", "max_power_mw": 400_000, "valid_from_ms": T0 - HOUR}])
    row = compared(lake)["gpu0"]
    assert (row["difference_mj"], row["unexplained_mj"]) == (-10**10 - 6_000_000, 0)
    assert "beyond what the device can draw" in row["note"]


def test_parts_read_while_the_whole_was_not_are_explained_up_to_what_they_drew(tmp_path: Path) -> None:
    readings = [reading("gpu0", m, m * 6_000_000) for m in range(181)] + [wall(m, m * 9_000_000) for m in range(91)]
    lake = made(tmp_path, readings)
    rows = compared(lake)
    assert (rows["wall"]["difference_mj"], rows["wall"]["unexplained_mj"]) == (90 * 6_000_000, 0)
    assert rows["wall"]["note"] == "parts were read while the whole was not"
    assert rows["gpu0"]["note"] == "equal"


@pytest.mark.parametrize("change", [
    "UPDATE lake.fact_energy SET energy_mj = energy_mj + 1, measured_mj = measured_mj + 1 WHERE device = 'wall.rest'",
    "UPDATE lake.fact_energy SET energy_mj = energy_mj - 1, measured_mj = measured_mj - 1 WHERE device = 'gpu0'",
    "DELETE FROM lake.fact_energy WHERE device = 'gpu0'",
    "DELETE FROM lake.fact_energy",
])
def test_facts_that_are_tampered_with_under_a_wall_meter_are_unexplained(tmp_path: Path, change: str) -> None:
    # the first hour begins in its midst, so that its coverage is no whole either
    lake = made(tmp_path, [reading("gpu0", m, m * 6_000_000) for m in range(20, 121)] + [wall(m, m * 9_000_000) for m in range(20, 121)])
    assert {row["note"] for row in compared(lake).values()} == {"equal"}
    with Committer(lake) as committer:
        committer.query(change)
    rows = compared(lake)
    assert rows["wall"]["unexplained_mj"] != 0
    assert rows["wall"]["note"].startswith("unexplained")
    assert (rows["gpu0"]["unexplained_mj"] != 0) is ("rest" not in change)


def test_readings_that_wait_to_be_accounted_are_said_to(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("readings", [reading("gpu0", m, m * 6_000_000) for m in range(10)])
    run(tmp_path / "lake", log.root)
    log.put("readings", [reading("gpu0", m, m * 6_000_000) for m in range(10, 20)])
    with Committer(tmp_path / "lake") as committer:
        land(committer, log.root, round_bytes=2**28)
    row = compared(tmp_path / "lake")["gpu0"]
    assert (row["difference_mj"], row["unexplained_mj"], row["note"]) == (-60_000_000, 0, "readings are not accounted yet")


@pytest.mark.slow
def test_nothing_in_any_sound_lake_is_unexplained(tmp_path_factory: pytest.TempPathFactory) -> None:
    notes = set()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(worlds())
    def every(told: list[Told]) -> None:
        folder = tmp_path_factory.mktemp("world")
        run(folder / "lake", write(folder / "log", told))
        rows = compared(folder / "lake") if any(t.rows for t in told) else {}
        notes.update(row["note"] for row in rows.values())
        assert [row for row in rows.values() if row["unexplained_mj"]] == []

    every()
    assert "equal" in notes


def test_what_was_counted_over_more_than_400_days_without_a_reading_is_told_of(tmp_path: Path) -> None:
    day = 24 * 60
    lake = made(tmp_path, [reading("gpu0", 0, 100), reading("gpu0", 1, 150), reading("gpu0", 401 * day, 9150), reading("gpu0", 401 * day + 1, 9200),
                           # one that fell meanwhile began again, and an outlier is no reading
                           reading("gpu1", 0, 100), reading("gpu1", 401 * day, 5),
                           reading("gpu2", 0, 100), reading("gpu2", 401 * day, 7000), reading("gpu2", 401 * day + 1, 110)])
    row = compared(lake)["gpu0"]
    assert (row["counter_mj"], row["facts_mj"], row["unexplained_mj"]) == (9100, 100, 0)
    assert "400 days" in row["note"]
    with open_lake(lake) as connection:
        assert connection.execute("SELECT device, epoch_ms(from_utc), epoch_ms(to_utc), round(gap_d, 2), energy_mj FROM long_gaps").fetchall() == [
            ("gpu0", T0 + MINUTE, T0 + 401 * day * MINUTE, 401.0, 9000), ("gpu2", T0, T0 + (401 * day + 1) * MINUTE, 401.0, 10)]
        told = connection.execute(next(g for g in INVARIANTS if g.name == "long_gaps").query).fetchall()
        assert connection.execute("SELECT rows FROM data_quality WHERE topic = 'long gap'").fetchall() == [(2,)]
    assert told[0] == ("n gpu0: from 2025-10-09 09:01 to 2026-11-14 09:00, 9000 mJ",)
