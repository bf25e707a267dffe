"""`wattlake run` on a log of a real Kafka that is fed all the while: killed at each step, frozen beside a successor, and in doubt about its commit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from oracles import seen
from topics import Topics
from wattlake_pipelines.account.account import account
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake import maintain as upkeep
from wattlake_pipelines.lake.committer import STEPS, Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.land.land import land

_DIE_AT = Path(__file__).resolve().parents[1] / "support" / "die_at.py"
#: The first commit of a run lands, the second accounts; that all steps of the second are like those of the first is tried on a file log.
_KILLED = [*((step, 1) for step in STEPS), ("booked", 2)]
#: All files are in, the transaction is whole, and it is made.
_FROZEN = ("moved", "booked", "committed")


def _begin(here: Any, step: str, nth: int, what: str, environment: Mapping[str, str] | None = None, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """`wattlake run` on the world's log, or another command on its lake, that something happens to."""
    command = command or ("run", "--log", here.topics.log.address)
    return subprocess.Popen([sys.executable, str(_DIE_AT), "--command", step, str(nth), what, *command, "--lake", str(here.lake)], cwd=here.folder,
                            env={**here.follower.environment, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _kill(here: Any) -> None:
    """Each run is the rerun after the one before."""
    landed = len(seen(here.lake))
    for step, nth in _KILLED:
        process = _begin(here, step, nth, "KILL")
        said = process.communicate(timeout=120)[1]
        assert process.returncode == -signal.SIGKILL, (step, nth, process.returncode, said[-3000:])
        before, landed = landed, len(seen(here.lake))
        assert landed > before if nth == 2 or step in {"committed", "cleaned"} else landed == before, (step, nth)
    for step in upkeep.STEPS:
        process = _begin(here, step, 1, "KILL", command=("lake", "maintain", "--keep-days", "0"))
        said = process.communicate(timeout=120)[1]
        assert process.returncode == -signal.SIGKILL, (step, process.returncode, said[-3000:])
        assert len(seen(here.lake)) == landed


def _freeze(here: Any) -> None:
    """Each run is shut out by another one, and wakes after upkeep."""
    for step in _FROZEN:
        process = _begin(here, step, 1, "STOP")
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), "it ended and never stood still"
            with Committer(here.lake, take_over=True) as successor:
                land(successor, here.topics.source(), round_bytes=2**28)
                account(successor)
                maintain(successor, keep_days=0)
            landed = len(seen(here.lake))
            process.send_signal(signal.SIGCONT)
            said = process.communicate(timeout=120)[1]
        finally:
            process.kill()
        # one that had made its own commit may find that its successor has left it nothing to do
        assert process.returncode == 1 or (process.returncode == 0 and step == "committed"), (step, said[-3000:])
        assert "taken over" in said or process.returncode == 0
        assert len(seen(here.lake)) == landed, "the one that woke has written nothing"


def _doubt(here: Any, faulty_disk: Path) -> None:
    """A run's disk dies in the middle of COMMIT: nobody can tell it whether that was made."""
    armed = here.folder / "armed"
    process = _begin(here, "booked", 1, str(armed), {"LD_PRELOAD": str(faulty_disk), "FAULT": "dead", "FAULT_ARMED": str(armed)})
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1, said[-3000:]
    assert "whether the last commit was made" in said


@pytest.mark.slow
def test_runs_killed_at_each_step_or_frozen_beside_a_successor_or_in_doubt_lose_and_double_nothing(
        kafka: Kafka, topic_prefix: str, world: Callable[..., Any], faulty_disk: Path) -> None:
    here = world(Topics(kafka.address, topic_prefix))
    here.agent()
    here.follow()
    assert here.follower.stop() == 0
    _kill(here)
    _freeze(here)
    _doubt(here, faulty_disk)
    seen(here.lake)
    here.follow()
    here.alive()
    here.settle()
