"""A committer killed at any step leaves a lake that a rerun completes: nothing lost, nothing twice."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from disturbed import Worlds, begin, check_whole
from lakes import rows, run
from wattlake_pipelines.lake import maintain as upkeep
from wattlake_pipelines.lake.committer import STEPS


def _killed(lake: Path, log: str, step: str, nth: int = 1) -> int:
    process = begin(lake, log, step, nth)
    process.communicate()
    return process.returncode


# the first commit of a run lands, the second accounts and replaces facts
@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2], ids=["landing", "accounting"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_then_rerun_gives_the_undisturbed_books(step: str, nth: int, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    assert _killed(lake, str(worlds.log), step, nth) == -signal.SIGKILL
    run(lake, worlds.log)
    check_whole(lake, worlds.log, worlds.expected, 240, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["moved", "replaced", "added", "committed", *upkeep.STEPS])
def test_killed_in_upkeep_a_lake_is_as_it_was(step: str, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.many, tmp_path / "lake")
    assert _killed(lake, "-", step) == -signal.SIGKILL
    check_whole(lake, worlds.many.parent / "piecemeal", worlds.many_expected, 128, tmp_path)


def test_an_undisturbed_run_keeps_every_record_once(worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    run(lake, worlds.log)
    energy = rows(lake, "SELECT sum(energy_mj)::BIGINT, count(DISTINCT line) FROM lake.fact_energy")
    assert energy == [(2 * 119 * 1_000_000, 2)]
    assert rows(lake, "SELECT count(*) FROM lake.dirty") == [(0,)]
