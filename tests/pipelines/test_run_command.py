"""`wattlake run` as its user meets it: where it writes, what it says, and Ctrl-C at any moment."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from logs import Log
from wattlake_pipelines.given_instant import given_instant
from wattlake_pipelines.lake.committer import STEPS

WATTLAKE = Path(sys.executable).with_name("wattlake")

#: main() of a process in which Ctrl-C comes at the given step of the nth commit (of the shipped factors, of landing, of
#: accounting): while Python runs, or within a query.
INTERRUPTED = """
import os, signal, sys, threading
from wattlake_pipelines.lake.committer import Committer
step, left, within = sys.argv.pop(1), [int(sys.argv.pop(1))], sys.argv.pop(1) == "query"
made = Committer.__init__

def hears(self, *given, **named):
    made(self, *given, **named)
    def at(name):
        left[0] -= name == step
        if name != step or left[0]:
            return
        if within:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            self.connection.execute("SELECT sum(sin(range)) FROM range(10_000_000_000)").fetchall()
        os.kill(os.getpid(), signal.SIGINT)
    self._on_step = at

Committer.__init__ = hears
from wattlake_agents.command import main
main()
"""


def wattlake(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(WATTLAKE), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small log."""
    log = tmp_path_factory.mktemp("run") / "log"
    made = wattlake("simulate", "--nodes", 1, "--days", 0.1, "--interval", 60, "--gpus", 1, "--log", f"file:{log}")
    assert made.returncode == 0, made.stderr
    return log


def test_every_without_follow_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    made = wattlake("run", "--every", 5, "--log", f"file:{tmp_path / 'log'}", "--lake", tmp_path / "lake")
    assert (made.returncode, made.stdout) == (2, "")
    assert "--every" in made.stderr
    assert "add --follow" in made.stderr
    assert not list(tmp_path.iterdir())


def books(lake: Path) -> str:
    return wattlake("sql", "--lake", lake, "--format", "csv", "SELECT count(*), sum(energy_mj), max(end_ms) FROM fact_energy").stdout


@pytest.fixture(scope="session")
def whole(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run that nothing interrupts leaves in the books."""
    lake = tmp_path_factory.mktemp("whole") / "lake"
    assert wattlake("run", "--log", f"file:{simulated}", "--lake", lake).returncode == 0
    return books(lake)


@pytest.mark.parametrize(("step", "nth", "where"), [
    ("replaced", 3, "query"),
    *(pytest.param(step, 2 + i % 2, "python", marks=pytest.mark.slow) for i, step in enumerate(STEPS)),
    *(pytest.param(step, nth, "query", marks=pytest.mark.slow) for step, nth in (("begun", 1), ("begun", 2), ("booked", 3))),
])
def test_ctrl_c_within_a_commit_is_quiet_and_the_next_run_completes(
    simulated: Path, whole: str, tmp_path: Path, step: str, nth: int, where: str,
) -> None:
    arguments = ["run", "--log", f"file:{simulated}", "--lake", str(tmp_path / "lake")]
    stopped = subprocess.run([sys.executable, "-c", INTERRUPTED, step, str(nth), where, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert stopped.returncode == 130
    assert stopped.stdout == ""
    assert stopped.stderr.splitlines() == [f"from the log {simulated} into the lake {tmp_path / 'lake'}"]
    assert wattlake(*arguments).returncode == 0
    assert books(tmp_path / "lake") == whole


def test_a_run_says_which_log_and_lake_and_what_it_did_in_words(simulated: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to(simulated)
    first = wattlake("run", "--log", f"file:{log}", cwd=tmp_path)
    assert (first.returncode, first.stderr.splitlines()) == (0, [f"from the log {log} into the lake {tmp_path / 'lake'}"])
    landed, accounted = first.stdout.splitlines()
    assert landed.startswith("landed     ")
    assert ", none rejected, in " in landed
    assert " rows of facts made anew, in " in accounted
    assert "raw_files" not in first.stdout
    again = wattlake("run", "--log", f"file:{log}", "--format", "json")
    assert list(json.loads(again.stdout)[0]) == ["records", "rows", "rejects", "elements", "fact_rows", "raw_files_opened", "seconds"]
    assert json.loads(again.stdout)[0]["records"] == 0
    assert wattlake("run", "--log", f"file:{log}").stdout == (
        "landed     nothing: there is nothing new on the log\naccounted  nothing: nothing has changed that the books rest on\n")


def test_another_log_in_the_same_lake_is_told_once(simulated: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert wattlake("land", "--log", f"file:{simulated}", "--lake", lake).returncode == 0
    other = tmp_path / "other"
    Log(other).put("sites", [{"site": "a", "zone": "DE", "pue": 1.5}])
    said = wattlake("land", "--log", f"file:{other}", "--lake", lake)
    assert said.returncode == 0
    assert f"this lake has taken from another log so far (file:{simulated.resolve()})" in said.stderr
    assert "another log" not in wattlake("land", "--log", f"file:{other}", "--lake", lake).stderr


def test_columns_that_no_kind_has_are_told_and_the_rest_of_the_row_lands(tmp_path: Path) -> None:
    Log(tmp_path / "log").put("sites", [{"site": "a", "zone": "DE", "pue": 1.5, "colour": "red"}])
    done = wattlake("land", "--log", f"file:{tmp_path / 'log'}", "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert "1 row of 1 record, none rejected" in done.stdout
    assert "sites: columns that this version does not know were left out: 'colour' of 1 row." in done.stderr


def test_the_command_that_shows_the_rejects_can_be_pasted(tmp_path: Path) -> None:
    log = tmp_path / "a folder" / "log"
    Log(log).put("sites", [{"site": "a", "zone": "DE", "pue": 0.5}])
    done = wattlake("land", "--log", f"file:{log}")
    assert done.returncode == 4
    command = done.stderr.splitlines()[-1].partition("see why with: ")[2]
    shown = subprocess.run([*shlex.split(command), "--format", "csv"], capture_output=True, text=True, check=False, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "pue" in shown.stdout


@pytest.mark.parametrize("until", ["nan", "2026-01-01T00:00", "1990-01-01", "9999-12-31T23:00-14:00", "0001-01-01T00:00+14:00", "tomorrow", ""])
def test_an_instant_that_is_none_is_a_mistake_of_usage(tmp_path: Path, until: str) -> None:
    done = wattlake("run", "--log", f"file:{tmp_path}", "--lake", tmp_path / "lake", "--until", until)
    assert done.returncode == 2
    assert "--until" in done.stderr
    assert not (tmp_path / "lake").exists()


def test_a_day_alone_is_its_midnight_in_utc() -> None:
    assert [given_instant(text, "--until") for text in ("2026-01-01", "2026-01-01T00:00Z", "2026-01-01T01:00+01:00")] == [1_767_225_600_000] * 3
