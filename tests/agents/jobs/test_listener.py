"""What a job's user is told of the agent: whether it hears of the job, and reads its devices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wattlake_agents
from wattlake_agents.jobs.listener import Listener
from wattlake_agents.jobs.renewal import renewals
from wattlake_contracts.config import AgentConfig

Run = Callable[..., subprocess.CompletedProcess[str]]
BOOT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def run(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Run:
    def call(*arguments: str, log: Path | None = None, verb: str = "run") -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, "job", verb, "--log", f"file:{log or tmp_path / 'log'}", *arguments],
                              env=machine.environment(state), capture_output=True, text=True, timeout=30, cwd=tmp_path)

    return call


@pytest.fixture
def agent(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that runs, reads cpu-package-0, and has written."""
    machine.zone("intel-rapl:0", "package-0")
    process = subprocess.Popen([wattlake, "agent", "run", "--log", f"file:{tmp_path / 'log'}", "--interval", "0.05", "--flush", "0.2"],
                               env=machine.environment(state), stderr=subprocess.DEVNULL, umask=0o077)
    deadline = time.monotonic() + 15
    while not (state / "agent.json").exists() or not json.loads((state / "agent.json").read_text())["rows"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def blocked(tmp_path: Path) -> Path:
    """A log that cannot be written."""
    file = tmp_path / "blocked"
    file.write_text("in the way")
    return file


@pytest.mark.usefixtures("agent")
def test_a_device_that_the_agent_does_not_read_is_named_with_those_it_reads(run: Run, tmp_path: Path, log_book: Any) -> None:
    done = run("--job", "j1", "--device", "gpu9", "--device", "cpu-package-0", "--", "sh", "-c", "echo ran; exit 5")
    assert (done.returncode, done.stdout) == (5, "ran\n")
    assert done.stderr == ("wattlake: the agent of n1 reads no gpu9; it reads cpu-package-0: "
                           "the job has energy only if readings of it come in otherwise\n")
    assert {r["device"] for r in log_book(tmp_path / "log").rows("jobs")} == {"gpu9", "cpu-package-0"}


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("arguments", [(), ("--device", "cpu-package-0")])
def test_nothing_is_said_where_nothing_is_amiss(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--", "true")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_log_and_an_agent_a_warning_says_so(run: Run, state: Path, tmp_path: Path) -> None:
    (state / "jobs").mkdir(parents=True)
    done = run("--job", "j9", "--model", "m", "--", "sh", "-c", "exit 7", log=blocked(tmp_path))
    assert done.returncode == 7
    assert done.stderr == (f"wattlake: {tmp_path / 'blocked'}: the log cannot be written: Not a directory; no agent runs with the state folder "
                           f"{state}: the job is recorded only if one starts before the machine restarts\n")
    found = renewals(state / "jobs", "n1", BOOT)
    assert [(r["job"], r["status"]) for r in found.rows] == [("j9", "failed")]
    found.forget()
    assert list((state / "jobs").iterdir()) == []


def test_without_a_log_the_agent_records_the_job(run: Run, agent: subprocess.Popen[bytes], tmp_path: Path, state: Path, log_book: Any) -> None:
    done = run("--job", "j9", "--", "true", log=blocked(tmp_path))
    assert done.returncode == 0
    other, *lines = done.stderr.splitlines()
    assert other.startswith(f"wattlake: --log is file:{tmp_path / 'blocked'}, but the agent that runs here writes to file:{tmp_path / 'log'}: ")
    assert lines == [
        f"wattlake: {tmp_path / 'blocked'}: the log cannot be written: Not a directory; the agent records the job in its own log, {tmp_path / 'log'}"]
    agent.terminate()
    agent.wait(5)
    again = run("--job", "j10", "--", "true", log=blocked(tmp_path))
    assert "no agent runs" in again.stderr, "it was stopped just now"


@pytest.mark.usefixtures("agent")
def test_who_may_not_write_the_agents_log_need_not_be_told_for_the_agent_does(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    # root may write anywhere, so it runs without that right
    bounds = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if bounds and not shutil.which("setpriv"):
        pytest.skip("only setpriv(1) lets root give up its right to write anywhere")
    (tmp_path / "log").chmod(0o555)
    done = subprocess.run([*bounds, wattlake, "job", "run", "--log", f"file:{tmp_path / 'log'}", "--job", "theirs", "--device", "cpu-package-0", "--",
                           "echo", "ran"], env=machine.environment(state), capture_output=True, text=True, timeout=30)
    (tmp_path / "log").chmod(0o755)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    assert [r["job"] for r in renewals(state / "jobs", "n1", BOOT).rows] == ["theirs"]
    assert (state / "agent.json").stat().st_mode & 0o777 == 0o644, "a job of any user reads it, whatever the agent's umask"


def test_a_started_job_that_no_agent_keeps_open_is_told_of(run: Run, state: Path) -> None:
    done = run("--job", "j1", verb="start")
    assert (done.returncode, done.stdout) == (0, "j1\n")
    assert done.stderr == (f"wattlake: no agent runs with the state folder {state}: "
                           "the job ends three minutes after its start, unless one starts by then\n")


@pytest.mark.usefixtures("agent")
def test_a_started_job_that_an_agent_keeps_open_is_not(run: Run) -> None:
    assert run("--job", "j1", verb="start").stderr == ""
    assert run("j1", verb="stop").stderr == ""


@pytest.mark.usefixtures("agent")
def test_from_python_it_is_a_warning(machine: Any, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.environment(state, WATTLAKE_LOG=f"file:{tmp_path / 'log'}").items():
        monkeypatch.setenv(name, value)
    with pytest.warns(RuntimeWarning, match="reads no gpu9; it reads cpu-package-0"), wattlake_agents.job(device="gpu9"):
        pass


def test_an_agent_that_was_killed_or_cannot_write_is_no_listener(agent: subprocess.Popen[bytes], state: Path, tmp_path: Path) -> None:
    config = AgentConfig(state_dir=str(state))
    assert Listener(config, "n1").unheard(tmp_path / "log") is None
    assert "is of node n1 and records no job of n2" in str(Listener(config, "n2").unheard(tmp_path / "log"))
    agent.kill()
    agent.wait()
    beat = json.loads((state / "agent.json").read_text())
    assert "no agent runs" in str(Listener(config, "n1").unheard(tmp_path / "log"))
    (state / "agent.json").write_text(json.dumps({**beat, "pid": os.getpid(), "beat_ms": time.time_ns() // 10**6, "write_error": "disk on fire"}))
    assert "the agent cannot write either (disk on fire)" in str(Listener(config, "n1").unheard(tmp_path / "log"))
    (state / "agent.json").write_text(json.dumps({**beat, "pid": os.getpid(), "beat_ms": 0, "beat_up_s": beat["beat_up_s"] - 3600}))
    assert Listener(config, "n1").absent, "its last sign of life is old"


def test_of_an_agent_whose_sign_of_life_cannot_be_read_nothing_is_said(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    (state / "agent.json").write_text("{")
    listener = Listener(AgentConfig(state_dir=str(state)), "n1")
    assert (listener.unread(["gpu9"]), listener.unheard(tmp_path / "log"), listener.unkept()) == (None, None, None)
