"""`wattlake simulate` as its user meets it: where it writes, and what it does not take."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from logs import Log

WATTLAKE = Path(sys.executable).with_name("wattlake")
SMALL = ("--nodes", "1", "--days", "0.05", "--interval", "60", "--gpus", "1")


def simulate(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder that is home and current folder at once."""
    return subprocess.run([str(WATTLAKE), "simulate", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables})


def test_it_writes_to_a_log_of_its_own_whatever_log_is_configured(tmp_path: Path) -> None:
    (tmp_path / "wattlake.toml").write_text(f"log = 'file:{tmp_path}/real/log'\nlake = '{tmp_path}/real/lake'\n")
    done = simulate(tmp_path, *SMALL, WATTLAKE_LOG=f"file:{tmp_path}/other/log")
    assert done.returncode == 0, done.stderr
    own = tmp_path / ".local/share/wattlake/simulated"
    assert (own / "log").is_dir()
    assert not (tmp_path / "real").exists()
    assert not (tmp_path / "other").exists()
    told = dict(line.split(":  ", 1) for line in done.stderr.splitlines() if ":  " in line)
    assert shlex.split(told["account for it"])[1:] == ["run", "--log", f"file:{own}/log", "--lake", f"{own}/lake"]
    assert shlex.split(told["be rid of it"]) == ["rm", "-r", str(own)]


def test_it_writes_where_it_is_told_to_and_says_that_others_are_there(tmp_path: Path) -> None:
    Log(tmp_path / "log").put("sites", [{"site": "a", "zone": "DE", "pue": 1.5}])
    done = simulate(tmp_path, *SMALL, "--log", "file:log")
    assert done.returncode == 0, done.stderr
    assert "holds what others wrote as well (p)" in done.stderr
    assert "rm -r" not in done.stderr
    (tmp_path / "sim.toml").write_text(f"log = 'file:{tmp_path}/sim/log'\nlake = '{tmp_path}/sim/books'\n")
    configured = simulate(tmp_path, *SMALL, "--config", "sim.toml")
    assert f"run --log file:{tmp_path}/sim/log --lake {tmp_path}/sim/books" in configured.stderr


@pytest.mark.parametrize(("option", "value"), [
    ("--days", "nan"), ("--days", "inf"), ("--days", "-1"), ("--days", "1e300"), ("--interval", "nan"), ("--interval", "-1"), ("--failures", "nan"),
    ("--renew", "inf"), ("--renew", "1e300"), ("--start", "0001-01-01T00:00+14:00"), ("--start", "9999-12-31T00:00Z"), ("--start", "2025-03-03"),
    ("--seed", "-1"), ("--writers", "0"),
])
def test_an_amount_that_makes_no_sense_is_a_mistake_of_usage(tmp_path: Path, option: str, value: str) -> None:
    done = simulate(tmp_path, option, value)
    assert done.returncode == 2
    assert option in done.stderr
    assert "--debug" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_log_holds_one_fleet_and_the_same_once_more_changes_nothing(tmp_path: Path) -> None:
    own = tmp_path / ".local/share/wattlake/simulated"
    assert simulate(tmp_path, *SMALL).returncode == 0
    again = simulate(tmp_path, *SMALL, "--writers", "2")
    assert again.returncode == 0, again.stderr
    before = sorted((p, p.stat().st_size) for p in own.rglob("*.wlog"))
    for other in (("--seed", "2"), ("--gpus", "2"), ("--start", "2025-03-04T00:00Z")):
        refused = simulate(tmp_path, *SMALL, *other)
        assert refused.returncode == 2
        assert "holds a simulated fleet of another seed or other options" in refused.stderr
        assert f"next: give another --log, or first delete that fleet ({own})" in refused.stderr
    assert sorted((p, p.stat().st_size) for p in own.rglob("*.wlog")) == before
    assert simulate(tmp_path, *SMALL, "--seed", "2", "--log", "file:elsewhere").returncode == 0


def test_what_is_to_come_goes_to_no_broker_whose_clock_would_reject_it(tmp_path: Path) -> None:
    start = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H}:00Z"
    refused = simulate(tmp_path, *SMALL, "--start", start, "--log", "kafka:127.0.0.1:1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "more than 24 h from now" in refused.stderr
    assert simulate(tmp_path, *SMALL, "--start", start, "--log", "file:log").returncode == 0


def test_what_others_wrote_is_not_named_for_deletion(tmp_path: Path) -> None:
    assert simulate(tmp_path, *SMALL, "--log", "file:log").returncode == 0
    assert f"({tmp_path / 'log'} and the lake that was made of it)" in simulate(tmp_path, *SMALL, "--seed", "2", "--log", f"file:{tmp_path / 'log'}").stderr
    Log(tmp_path / "log").put("sites", [{"site": "a", "zone": "DE", "pue": 1.5}])
    assert "(log/simulate.* and the lake that was made of it)" in simulate(tmp_path, *SMALL, "--seed", "2", "--log", "file:log").stderr
