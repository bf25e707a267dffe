"""A committer that is frozen (SIGSTOP), shut out by another, and goes on (SIGCONT): it commits nothing, and spoils nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from disturbed import Worlds, begin, check_whole
from lakes import dump
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake import maintain as upkeep
from wattlake_pipelines.lake.committer import STEPS, Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.land.land import land

#: From these on, the commit is made.
_MADE = ("committed", "cleaned")


@contextmanager
def _frozen(lake: Path, log: str, step: str, nth: int = 1, **more: dict[str, str] | str) -> Iterator[subprocess.Popen[str]]:
    """A process that stands still at a step."""
    process = begin(lake, log, step, nth, **({"what": "STOP"} | more))  # type: ignore[arg-type]  # what and environment
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended and never stood still"
        yield process
    finally:
        process.kill()
        process.communicate()


def _go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit status, what it said) of a process that is woken."""
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def _run(committer: Committer, log: Path) -> None:
    land(committer, log, round_bytes=2**28)
    account(committer)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), [*((step, 1) for step in STEPS), *((step, 2) for step in ("moved", "replaced", "added", "booked", "committed"))])
def test_one_that_wakes_after_its_successor_is_done_is_refused(step: str, nth: int, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with _frozen(lake, str(worlds.log), step, nth) as process:
        with Committer(lake, take_over=True) as successor:
            _run(successor, worlds.log)
            # what the frozen one has moved in and not committed is nobody's
            maintain(successor, keep_days=0)
        assert dump(lake) == worlds.expected
        status, said = _go_on(process)
    # one whose commit was made finds nothing left to do
    assert status == 0 if step in _MADE else status == 1, said
    assert ("SupersededError" in said) == (step not in _MADE)
    check_whole(lake, worlds.log, worlds.expected, 240, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in STEPS if step not in _MADE])
def test_one_that_wakes_before_its_successor_has_committed_anything_is_refused(step: str, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    before = dump(lake)
    with _frozen(lake, str(worlds.log), step) as process, Committer(lake, take_over=True) as successor:
        batch = successor.next_batch()
        status, said = _go_on(process)
        assert status == 1
        assert "SupersededError" in said
        assert successor.next_batch() == batch
        _run(successor, worlds.log)
    assert dump(lake) == worlds.expected != before
    check_whole(lake, worlds.log, worlds.expected, 240, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["moved", "replaced", "booked", "committed", *upkeep.STEPS])
def test_upkeep_that_wakes_after_its_successor_is_done_deletes_nothing_of_it(step: str, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.many, tmp_path / "lake")
    log = shutil.copytree(worlds.many.parent / "piecemeal", tmp_path / "log")
    with _frozen(lake, "-", step) as process:
        with Committer(lake, take_over=True) as successor:
            maintain(successor, keep_days=0, thorough=True)
        assert dump(lake) == worlds.many_expected
        status, said = _go_on(process)
    assert status == 1
    assert "SupersededError" in said
    check_whole(lake, log, worlds.many_expected, 128, tmp_path)


def test_what_a_living_attempt_has_staged_is_let_be_until_it_is_dead(worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with _frozen(lake, str(worlds.log), "checked"):
        with Committer(lake, take_over=True) as successor:
            assert len(list((lake / "staging").iterdir())) == 1
            maintain(successor, keep_days=0)
        # nor by one that comes after the one that took over
        with Committer(lake):
            assert len(list((lake / "staging").iterdir())) == 1
    with Committer(lake):
        assert list((lake / "staging").iterdir()) == []
    assert [p.name for p in lake.glob("committer.lock*")] == ["committer.lock"]


def test_one_that_is_refused_learns_who_is_at_work_and_since_when(worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with _frozen(lake, str(worlds.log), "moved") as process:
        with pytest.raises(WattlakeError, match="another committer is at work") as refused:
            Committer(lake)
        said = str(refused.value)
        assert f"process {process.pid} on host {os.uname().nodename}, at work since " in said
        assert "last sign of progress" in said
        assert "(moved)" in said
        assert f"kill {process.pid}" in said
        assert "--take-over" in said


def test_a_lake_that_nobody_holds_is_taken_without_ado(worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with Committer(lake, take_over=True), pytest.raises(WattlakeError, match=f"process {os.getpid()} "):
        Committer(lake)
    Committer(lake).close()


def test_of_two_that_take_over_the_later_one_works(worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with _frozen(lake, str(worlds.log), "begun") as process, Committer(lake, take_over=True) as second, Committer(lake, take_over=True) as third:
        assert second.epoch < third.epoch
        with pytest.raises(WattlakeError, match="taken over"):
            _run(second, worlds.log)
        _run(third, worlds.log)
        assert "SupersededError" in _go_on(process)[1]
    assert dump(lake) == worlds.expected
    assert [p.name for p in lake.glob("committer.lock*")] == ["committer.lock"]
