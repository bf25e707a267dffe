"""Ctrl-C while a commit is sent: it is heard once it is known what became of the commit, and the lake is whole."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from disturbed import Worlds
from lakes import dump, run
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.interrupt import held_back
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.seed import seed
from wattlake_pipelines.lake.verify import verify
from wattlake_pipelines.land.land import land

#: main() of a process in which Ctrl-C comes so many milliseconds after its nth commit is about to be sent; many times, or once.
INTERRUPTED = """
import os, signal, sys, threading, time
from wattlake_pipelines.lake.committer import Committer
nth, delays_ms = [int(sys.argv.pop(1))], [float(d) for d in sys.argv.pop(1).split(",")]
made = Committer.__init__

def send():
    began = time.monotonic()
    for delay_ms in delays_ms:
        time.sleep(max(0, began + delay_ms / 1000 - time.monotonic()))
        os.kill(os.getpid(), signal.SIGINT)

def hears(self, *given, **named):
    made(self, *given, **named)
    def at(name):
        nth[0] -= name == "booked"
        if name == "booked" and nth[0] == 0:
            threading.Thread(target=send, daemon=True).start()
    self._on_step = at

Committer.__init__ = hears
from wattlake_agents.command import main
main()
"""
VOLLEY = ",".join(map(str, range(40)))
#: What a process ends with that Ctrl-C has ended; the second, if it comes again while it tidies up.
ENDED = {130, -signal.SIGINT}


def interrupted(nth: int, delays_ms: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INTERRUPTED, str(nth), delays_ms, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def files_are_whole(lake: Path) -> None:
    with Committer(lake) as committer:
        checked, faults = verify(committer)
        # what reads the books reads the files that hold them
        committer.query("SELECT * FROM lake.files, lake.commits, lake.log_positions").fetchall()
    assert checked
    assert faults == []


@pytest.fixture(scope="session")
def seeded(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A lake in which what is new has landed and is not accounted for, and its dump once it is."""
    lake = shutil.copytree(worlds.before, tmp_path_factory.mktemp("seeded") / "lake")
    with Committer(lake) as committer:
        seed(committer)
        land(committer, worlds.log, round_bytes=2**28)
    calm = shutil.copytree(lake, lake.parent / "calm")
    run(calm, worlds.log)
    return lake, dump(calm)


# the first commit of `land` in a lake without them is of the shipped factors
@pytest.mark.parametrize(("nth", "delays_ms"), [
    (2, "4"), pytest.param(1, "4", marks=pytest.mark.slow), pytest.param(2, VOLLEY, marks=pytest.mark.slow)])
def test_ctrl_c_while_landing_commits_breaks_no_lake(nth: int, delays_ms: str, worlds: Worlds, seeded: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    stopped = interrupted(nth, delays_ms, "land", "--log", f"file:{worlds.log}", "--lake", lake)
    assert stopped.returncode in ENDED, stopped.stderr
    files_are_whole(lake)
    run(lake, worlds.log, shipped=True)
    assert dump(lake) == seeded[1]
    files_are_whole(lake)


@pytest.mark.slow
@pytest.mark.parametrize("delays_ms", ["4", VOLLEY])
def test_ctrl_c_while_accounting_commits_breaks_no_lake(delays_ms: str, worlds: Worlds, seeded: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    lake = shutil.copytree(seeded[0], tmp_path / "lake")
    stopped = interrupted(1, delays_ms, "account", "--lake", lake)
    assert stopped.returncode in ENDED, stopped.stderr
    files_are_whole(lake)
    run(lake, worlds.log)
    assert dump(lake) == seeded[1]
    files_are_whole(lake)


@pytest.mark.slow
@pytest.mark.parametrize("delays_ms", ["4", VOLLEY])
def test_ctrl_c_while_upkeep_commits_breaks_no_lake(delays_ms: str, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.many, tmp_path / "lake")
    stopped = interrupted(1, delays_ms, "lake", "maintain", "--lake", lake, "--keep-days", 0)
    assert stopped.returncode in ENDED, stopped.stderr
    files_are_whole(lake)
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
    assert dump(lake) == worlds.many_expected
    files_are_whole(lake)


def test_ctrl_c_that_is_held_back_is_heard_once_afterwards() -> None:
    heard: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("Ctrl-C"))
    try:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            with held_back():
                signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)
            heard.append("done")
        assert heard == ["done", "Ctrl-C"]
        signal.raise_signal(signal.SIGINT)
        assert heard == ["done", "Ctrl-C", "Ctrl-C"]
    finally:
        signal.signal(signal.SIGINT, before)
