"""Lakes that something happens to, what is to come of them, and processes that it happens in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakes import dump, rows, run
from logs import Log
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify

_SUPPORT = Path(__file__).resolve().parent
HOUR = 3_600_000
T0 = 1_760_000_400_000 // HOUR * HOUR
NODES = ("n0", "n1")


def _readings(log: Log, node: str, minutes: range, value: int | None = None) -> None:
    log.put("readings", [
        {"node": node, "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + m * 60_000,
         "energy_mj": 1_000_000 * m if value is None else value, "method": "counter", "boundary": "component", "simulated": False}
        for m in minutes], node=node)


def _first(log: Log) -> None:
    for node in NODES:
        _readings(log, node, range(0, 120, 2))
        log.put("nodes", [{"node": node, "site": "s", "sku": "box", "valid_from_ms": T0}], node=node)
    log.put("embodied", [{"sku": "box", "embodied_ug": 10**12, "life_years": 4.0}], node="ref")
    log.put("sites", [{"site": "s", "zone": "Z", "pue": 1.25}], node="ref")
    log.put("grid", [{"zone": "Z", "start_ms": T0 + h * HOUR, "end_ms": T0 + (h + 1) * HOUR, "direct_g_per_kwh": 100.0 + h} for h in range(2)], node="ref")


def _then(log: Log) -> None:
    """What changes facts that are there: late readings, a job told late, a restated grid."""
    for node in NODES:
        _readings(log, node, range(1, 120, 2))
        log.put("jobs", [{"job": "j", "node": node, "start_ms": T0 + 600_000, "end_ms": T0 + 5_000_000, "model": "m", "phase": "train"}], node=node)
    log.put("grid", [{"zone": "Z", "start_ms": T0, "end_ms": T0 + HOUR, "direct_g_per_kwh": 140.0, "known_from_ms": T0 + 5 * HOUR}], node="ref")


@dataclass(frozen=True)
class Worlds:
    """before: a lake that has accounted for the first part of `log`. expected: the dump once it has for all, undisturbed.

    many: a lake of many commits, for upkeep.
    """

    before: Path
    log: Path
    expected: dict[str, str]
    many: Path
    many_expected: dict[str, str]


def make_worlds(folder: Path) -> Worlds:
    """The lakes that the tests copy."""
    log = Log(folder / "log")
    _first(log)
    run(folder / "before", log.root)
    _then(log)
    run(folder / "calm", log.root)
    piecemeal = Log(folder / "piecemeal")
    _first(piecemeal)
    for minute in range(1, 17, 2):
        _readings(piecemeal, "n0", range(minute, minute + 1))
        run(folder / "many", piecemeal.root)
    return Worlds(folder / "before", log.root, dump(folder / "calm"), folder / "many", dump(folder / "many"))


def begin(lake: Path, log: str, step: str, nth: int = 1, what: str = "KILL", environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a process that something happens to at a step (die_at.py)."""
    return subprocess.Popen([sys.executable, str(_SUPPORT / "die_at.py"), str(lake), log, step, str(nth), what], cwd=_SUPPORT,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def check_whole(lake: Path, log: Path, expected: Mapping[str, str], readings: int, folder: Path) -> None:
    """The books are the undisturbed ones, after upkeep and after everything was read again too, and no file is left over."""
    assert dump(lake) == expected
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
    assert dump(lake) == expected
    # the same records, come by another way
    again = run(lake, shutil.copytree(log, folder / "carried over"))
    assert again.opened == ()
    assert dump(lake) == expected
    counts = rows(lake, "SELECT count(*), count(DISTINCT (node, device, epoch, ts_ms)) FROM lake.raw_readings")
    assert counts == [(readings, readings)]
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
        on_disk = {str(p.relative_to(lake)) for p in (lake / "data").rglob("*.parquet")}
        named = {str(p) for (p,) in committer.query("SELECT path FROM lake.files").fetchall()}
        books = {str(Path(str(p)).relative_to(lake)) for t in ("commits", "files", "dirty", "log_positions")
                 for row in committer.query(f"SELECT data_file, delete_file FROM ducklake_list_files('lake', '{t}')").fetchall() for p in row if p}
    assert named | books == on_disk
    assert not list((lake / "staging").iterdir())
