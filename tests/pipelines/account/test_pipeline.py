"""What goes wrong in a worker of accounting is told with its file and the next step, whichever runner it ran on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from lakes import dump, rows, run
from logs import Log
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.account.account import account
from wattlake_pipelines.account.element import DayElement
from wattlake_pipelines.account.pipeline import Account
from wattlake_pipelines.account.spread import SpreadElement
from wattlake_pipelines.dev.flink import Flink
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.land import land

T0 = 1_760_054_400_000
DAY = 86_400_000
WATTLAKE = str(Path(sys.executable).with_name("wattlake"))


def put(root: Path) -> Path:
    """Readings of a node on three days."""
    log = Log(root)
    for day in range(3):
        log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + day * DAY + 60_000 * m,
                              "energy_mj": 9_000_000 * (60 * day + m)} for m in range(60)])
    return log.root


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A lake that has landed and not accounted, with one bit of one file of readings flipped."""
    with Committer(tmp_path / "lake") as committer:
        land(committer, put(tmp_path / "log"), round_bytes=2**30)
    [(name,), *_] = rows(tmp_path / "lake", "SELECT path FROM lake.files WHERE table_name = 'raw_readings' ORDER BY day_ms")
    path = tmp_path / "lake" / str(name)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 4
    path.write_bytes(raw)
    return path


def test_a_damaged_file_of_the_lake_is_named_with_the_next_step(damaged: Path, tmp_path: Path) -> None:
    with Committer(tmp_path / "lake") as committer, pytest.raises(WattlakeError) as told:
        account(committer)
    said, next_step = str(told.value).split("\n")
    assert said.startswith(f"{damaged}: cannot be read: ")
    assert next_step.startswith("  next: `wattlake lake verify`")
    assert next_step.endswith("from the log")
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.fact_energy") == [(0,)]


@pytest.mark.slow
def test_a_damaged_file_of_the_lake_is_named_from_flink_too(flink: Flink, damaged: Path, tmp_path: Path) -> None:
    done = subprocess.run([WATTLAKE, "account", "--lake", str(tmp_path / "lake"), "--", *flink.options], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 1, done.stdout
    lines = done.stderr.splitlines()
    assert lines[-2].startswith(f"wattlake: {damaged}: cannot be read: "), done.stderr
    assert lines[-1].startswith("  next: `wattlake lake verify`")
    assert lines[-1].endswith("from the log")
    assert "Traceback" not in done.stderr


def test_an_element_that_the_runner_drops_fails_the_round(tmp_path: Path) -> None:
    whole = Account.process

    def careless(self: Account, element: tuple[int, DayElement | SpreadElement]) -> Iterator[str]:
        return whole(self, element) if element[0] != 1 else iter(())

    log, lake = put(tmp_path / "log"), tmp_path / "lake"
    with patch.object(Account, "process", careless), pytest.raises(WattlakeError, match="1 of 3 elements of accounting were not made"):
        run(lake, log)
    assert rows(lake, "SELECT count(*) FROM lake.fact_energy") == [(0,)]
    run(lake, log)
    run(tmp_path / "other", log)
    assert dump(lake) == dump(tmp_path / "other")
    assert rows(lake, "SELECT count(*) FROM lake.fact_energy") != [(0,)]
