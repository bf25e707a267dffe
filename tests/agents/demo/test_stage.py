"""Commands run with a log of their own, errors name it, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattlake_agents.demo import process
from wattlake_agents.demo.plan import STEPS, Step, carry_out
from wattlake_agents.demo.stage import Stage, StepError
from wattlake_contracts.errors import WattlakeError


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_gives_its_output_and_leaves_a_log(stage: Stage) -> None:
    assert stage.call("sh", "-c", "echo out; echo err >&2") == "out\n"
    assert stage.log.read_text() == "$ sh -c 'echo out; echo err >&2'\nerr\nout\nexit code 0\n"


def test_wattlake_is_this_wattlake(stage: Stage) -> None:
    assert stage.wattlake("--version").startswith("wattlake ")
    assert stage.log.read_text().startswith("$ wattlake --version\n")


def test_an_unexpected_exit_code_is_told_with_the_last_word_and_the_log(stage: Stage) -> None:
    with pytest.raises(StepError) as failed:
        stage.call("sh", "-c", "echo first >&2; echo no disk left >&2; exit 5")
    assert "exit code 5: no disk left" in str(failed.value)
    assert str(stage.log) in failed.value.next_step
    assert stage.call("sh", "-c", "exit 5", expect=(5,)) == ""


def test_what_ends_before_its_time_is_an_error(stage: Stage) -> None:
    child = stage.keep_running("service", ["sh", "-c", "echo gone >&2"])
    child.wait()
    with pytest.raises(StepError, match="the service ended before its time, with exit code 0: gone"):
        stage.end("service")


def test_a_failing_step_is_named_and_what_runs_is_ended(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def begin(stage: Stage) -> str:
        stage.keep_running("sleeper", ["sleep", "600"])
        return "sleeping"

    def fail(stage: Stage) -> str:
        return stage.call("sh", "-c", "echo the grid is down >&2; exit 1")

    steps = (Step("begin", "begin", begin), Step("fail", "do what cannot be done", fail), Step("never", "never", begin))
    with pytest.raises(WattlakeError, match=r"step 2 of 3, do what cannot be done: .* the grid is down") as failed:
        carry_out(stage, steps)
    assert str(stage.folder.logs / "02-fail.log") in failed.value.next_step
    assert not stage.running
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split("]")[0] for line in said.err.splitlines()] == ["[ 1/3", "[ 2/3"]
    assert said.err.splitlines()[1].endswith("failed")


def test_an_interrupt_ends_what_runs(stage: Stage) -> None:
    started: list[subprocess.Popen[str]] = []

    def interrupted(stage: Stage) -> str:
        started.append(stage.keep_running("sleeper", ["sleep", "600"]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(stage, (Step("x", "x", interrupted),))
    assert started[0].returncode == -signal.SIGTERM


def test_the_steps_have_logs_of_their_own() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert all(step.work.__doc__ for step in STEPS)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_STOP_S", 0.2)
    child = process.start(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"], os.environ, tmp_path, tmp_path / "log")
    assert process.wait_until(lambda: "deaf\n" in (tmp_path / "log").read_text().splitlines(keepends=True)[1:], child, 5)
    assert process.stop(child) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="parent death signals are Linux's")
def test_what_was_started_ends_when_the_demo_is_killed(tmp_path: Path) -> None:
    script = ("import os, pathlib, sys, time; from wattlake_agents.demo import process; here = pathlib.Path(sys.argv[1])\n"
              "print(process.start(['sleep', '600'], os.environ, here, here / 'log').pid, flush=True); time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    until = time.monotonic() + 5
    while alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(child)
