"""COMMIT failed, or its answer never came: the catalogue is asked, and the lake is whole whatever it says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from disturbed import Worlds, begin, check_whole
from lakes import dump, rows, run
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer
from wattlake_pipelines.lake.manifest import Manifest
from wattlake_pipelines.lake.verify import verify
from wattlake_pipelines.land.land import land


class _AnswerLost:
    """A connection on which the answer to the next COMMIT is lost, after it was carried out or before it arrived."""

    def __init__(self, real: duckdb.DuckDBPyConnection, arrives: bool, error: BaseException | None = None) -> None:
        self._real, self._arrives, self._error = real, arrives, error or duckdb.IOException("IO Error: the connection was lost")

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, sql: str, *more: object) -> duckdb.DuckDBPyConnection:
        if sql == "COMMIT":
            if self._arrives:
                self._real.execute(sql)
            raise self._error
        return self._real.execute(sql, *more)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_whose_answer_is_lost_counts_if_it_was_made(arrives: bool, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    with Committer(lake) as committer:
        batch = committer.next_batch()
        committer.connection = _AnswerLost(committer.connection, arrives)  # type: ignore[assignment]  # all that is used of it
        manifest = Manifest("land", "lost", positions=(("log", "p", 0, 5),))
        if arrives:
            assert committer.commit(manifest) == batch
        else:
            with pytest.raises(CommitRefusedError, match="the connection was lost"):
                committer.commit(manifest)
        # it works on, on a connection that is well
        assert committer.commit(Manifest("land", "next", positions=(("log", "q", 0, 7),))) == batch + arrives
    positions = rows(lake, "SELECT partition, next_offset FROM lake.log_positions WHERE log = 'log' ORDER BY ALL")
    assert positions == [("p", 5)] * arrives + [("q", 7)]
    assert rows(lake, "SELECT attempt FROM lake.commits WHERE attempt IN ('lost', 'next') ORDER BY batch") == [("lost",)] * arrives + [("next",)]


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("error", [RuntimeError("Query interrupted"), MemoryError(), KeyboardInterrupt()], ids=repr)
def test_whatever_ends_a_commit_its_files_stay_if_it_was_made(error: BaseException, arrives: bool, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    before = set(lake.rglob("*.parquet"))
    with Committer(lake) as committer:
        committer.connection = _AnswerLost(committer.connection, arrives, error)  # type: ignore[assignment]  # all that is used of it
        with suppress(type(error)):
            committer.commit(Manifest("land", "lost", positions=(("log", "p", 0, 5),)))
            assert arrives, "it said that it was made"
        assert verify(committer)[1] == []
    assert rows(lake, "SELECT partition, next_offset FROM lake.log_positions WHERE log = 'log'") == [("p", 5)] * arrives
    assert bool(set(lake.rglob("*.parquet")) - before) == arrives


def _with_fault(lake: Path, log: Path, fault: str, library: Path, nth: int = 1) -> subprocess.Popen[str]:
    """A process whose disk fails as it commits for the nth time."""
    armed = lake.parent / "armed"
    return begin(lake, str(log), "booked", nth, str(armed), {**os.environ, "LD_PRELOAD": str(library), "FAULT": fault, "FAULT_ARMED": str(armed)})


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2], ids=["landing", "accounting"])
@pytest.mark.parametrize("fault", ["flush", "dead"])
def test_a_commit_that_could_not_be_flushed_leaves_a_whole_lake(fault: str, nth: int, faulty_disk: Path, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    process = _with_fault(lake, worlds.log, fault, faulty_disk, nth)
    said = process.communicate()[1]
    assert process.returncode == 1
    assert "OutcomeUnknownError" in said or "CommitRefusedError" in said
    # a log that was not flushed may hold the commit all the same: then it was made
    run(lake, worlds.log)
    check_whole(lake, worlds.log, worlds.expected, 240, tmp_path)


@pytest.mark.slow
def test_one_that_is_frozen_in_the_middle_of_a_commit_is_named_to_be_killed(faulty_disk: Path, worlds: Worlds, tmp_path: Path) -> None:
    lake = shutil.copytree(worlds.before, tmp_path / "lake")
    process = _with_fault(lake, worlds.log, "stop", faulty_disk)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        with pytest.raises(WattlakeError, match="in the middle of a commit") as refused:
            Committer(lake, take_over=True)
        assert f"kill -9 {process.pid}" in str(refused.value)
        # nothing has changed: it still holds the lake, and could go on
        with pytest.raises(WattlakeError, match="another committer is at work"):
            Committer(lake)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    with Committer(lake) as successor:
        land(successor, worlds.log, round_bytes=2**28)
        account(successor)
    assert dump(lake) == worlds.expected
    check_whole(lake, worlds.log, worlds.expected, 240, tmp_path)
