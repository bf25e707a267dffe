"""The mart `silent`: what the inventory names and nothing reads."""

from __future__ import annotations

from pathlib import Path

from lakes import run
from logs import Log
from wattlake_warehouse.check.gate import INVARIANTS
from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.report.figures import collect
from wattlake_warehouse.report.page import render

HOUR = 3_600_000
DAY = 24 * HOUR
T0 = 1_760_054_400_000  # midnight


def readings(log: Log, node: str, device: str, from_ms: int, to_ms: int, simulated: bool = False) -> None:
    log.put("readings", [{"node": node, "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": ts, "energy_mj": ts - T0, "method": "counter",
                          "boundary": "component", "simulated": simulated} for ts in range(from_ms, to_ms + 1, 10 * 60_000)])


def machine(node: str, **more: object) -> dict[str, object]:
    return {"node": node, "site": "s", "valid_from_ms": T0 - DAY, **more}


def lake(tmp_path: Path) -> Path:
    """Two days. loud is read throughout, one of its devices only at first; mute stops after the first day; the others are never read."""
    log = Log(tmp_path / "log")
    readings(log, "loud", "gpu0", T0, T0 + 2 * DAY)
    readings(log, "loud", "gpu1", T0, T0 + DAY)
    readings(log, "loud", "gpu2", T0, T0 + DAY)
    readings(log, "mute", "gpu0", T0, T0 + DAY)
    readings(log, "late", "gpu0", T0, T0 + 2 * DAY - HOUR)
    readings(log, "gone", "gpu0", T0, T0 + DAY)
    readings(log, "lent", "gpu0", T0, T0 + DAY)
    readings(log, "nameless", "gpu0", T0, T0 + DAY)
    log.put("nodes", [
        machine("loud"), *(machine("loud", device=f"gpu{i}", device_sku="card") for i in (0, 1, 3)),
        machine("loud", device="gpu2", retired_on_ms=T0 + DAY, device_sku="card"),
        machine("mute"), machine("mute", device="gpu0"), machine("late"), machine("never"), machine("gone", retired_on_ms=T0 + DAY),
        machine("lent", valid_to_ms=T0 + DAY), {"node": "coming", "site": "s", "valid_from_ms": T0 + 3 * DAY},
        {"node": "unpacked", "valid_from_ms": T0 + 2 * DAY - HOUR}])
    run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def test_it_lists_what_fell_silent_and_what_was_never_read_and_not_what_has_left(tmp_path: Path) -> None:
    with open_lake(lake(tmp_path)) as connection:
        found = connection.execute("SELECT node, item, note, epoch_ms(last_utc), epoch_ms(until_utc), silent_h FROM silent").fetchall()
        missed = [row[0] for row in connection.execute(f"SELECT missed FROM ({next(g for g in INVARIANTS if g.name == 'silent').query})").fetchall()]
        quality = connection.execute("SELECT subject, rows FROM data_quality WHERE topic = 'silent' ORDER BY subject").fetchall()
    assert found == [
        ("mute", "(machine)", "fell silent", T0 + DAY, T0 + 2 * DAY, 24.0), ("loud", "gpu1", "fell silent", T0 + DAY, T0 + 2 * DAY, 24.0),
        ("never", "(machine)", "never read", None, T0 + 2 * DAY, 72.0), ("loud", "gpu3", "never read", None, T0 + 2 * DAY, 72.0)]
    # a device that is never read may have no sensor: that is listed, and not warned of
    assert missed == ["mute: no reading since 2025-10-11 00:00", "loud gpu1: no reading since 2025-10-11 00:00", "never: no reading ever", None]
    assert quality == [("device fell silent", 1), ("device never read", 1), ("machine fell silent", 1), ("machine never read", 1)]


def test_the_report_shows_it(tmp_path: Path) -> None:
    page = render(collect(lake(tmp_path)))
    assert "2 machines and 2 devices of the inventory had no reading in the last hour of the data" in page
    assert "Silent machines and devices" in page
    assert "2025-10-11 00:00" in page


def test_simulated_data_of_another_time_does_not_silence_what_is_measured(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    readings(log, "real", "gpu0", T0, T0 + HOUR)
    readings(log, "sim", "gpu0", T0 + 5 * DAY, T0 + 5 * DAY + HOUR, simulated=True)
    log.put("nodes", [machine("real"), machine("sim", simulated=True)])
    run(tmp_path / "lake", log.root)
    with open_lake(tmp_path / "lake") as connection:
        assert connection.execute("FROM silent").fetchall() == []
