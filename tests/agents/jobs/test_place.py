"""Jobs and transfers are recorded under the running agent's node and in its log, unless told otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wattlake_agents
from wattlake_agents import process
from wattlake_agents.health import Heartbeat, load
from wattlake_agents.jobs.place import folder, place
from wattlake_contracts.config import AgentConfig, Config, KafkaConfig
from wattlake_contracts.kafkalog.claim import LOCK, claim
from wattlake_contracts.kafkalog.standing import ShippingState

Run = Callable[..., subprocess.CompletedProcess[str]]
TRANSFER = ("record", "transfer", "--bytes", "1", "--medium", "lan", "--from-site", "a", "--to-site", "b")


@pytest.fixture
def environment(machine: Any, state: Path, tmp_path: Path) -> dict[str, str]:
    """Neither the node nor the log is configured."""
    found = machine.environment(state, XDG_DATA_HOME=str(tmp_path / "home"))
    return {name: value for name, value in found.items() if name not in ("WATTLAKE_AGENT_NODE", "WATTLAKE_LOG", "WATTLAKE_CONFIG")}


@pytest.fixture
def run(wattlake: Path, environment: dict[str, str], tmp_path: Path) -> Run:
    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, *arguments], env=environment | more, capture_output=True, text=True, timeout=30, cwd=tmp_path)

    return call


@pytest.fixture
def agent(wattlake: Path, machine: Any, environment: dict[str, str], state: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that was told its node and its log on the command line."""
    machine.zone("intel-rapl:0", "package-0")
    process = subprocess.Popen([wattlake, "agent", "run", "--node", "told", "--log", f"file:{tmp_path / 'log'}", "--interval", "0.05", "--flush", "0.2"],
                               env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 15
    while not (state / "agent.json").exists() or not json.loads((state / "agent.json").read_text())["rows"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def here(state: Path, agent: Callable[[Heartbeat], dict[str, Any]]) -> None:
    """Leave another heartbeat in the place of the agent's."""
    beat = load(state)
    assert beat is not None
    alive = msgspec.structs.replace(beat, pid=os.getpid(), beat_ms=time.time_ns() // 10**6 + 10_000)
    (state / "agent.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(alive, **agent(beat))))


@pytest.mark.usefixtures("agent")
def test_every_command_has_the_node_and_the_log_of_the_agent_that_runs(run: Run, tmp_path: Path, log_book: Any) -> None:
    ran = run("job", "run", "--job", "j1", "--device", "cpu-package-0", "--", "true")
    started, stopped, moved = run("job", "start", "--job", "j2"), run("job", "stop", "j2"), run(*TRANSFER)
    assert [(d.returncode, d.stderr) for d in (ran, started, stopped, moved)] == [(0, "")] * 4
    book = log_book(tmp_path / "log")
    assert {(r["job"], r["node"]) for r in book.rows("jobs")} == {("j1", "told"), ("j2", "told")}
    assert [r["id"] for r in book.rows("transfers")] == [moved.stdout.strip()]
    assert {record.meta.node for record in book.records()} == {"told"}
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("agent")
def test_from_python_too(environment: dict[str, str], tmp_path: Path, log_book: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATTLAKE_AGENT_NODE", "WATTLAKE_LOG", "WATTLAKE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with wattlake_agents.job(job="j1"):
        pass
    assert {(r["job"], r["node"]) for r in log_book(tmp_path / "log").rows("jobs")} == {("j1", "told")}
    with pytest.warns(RuntimeWarning, match="--node is n9, but the agent that runs here has the node told"), wattlake_agents.job(node="n9"):
        pass


@pytest.mark.usefixtures("agent")
def test_a_node_or_a_log_that_is_not_the_agents_is_taken_and_said(run: Run, tmp_path: Path, log_book: Any) -> None:
    other = f"file:{tmp_path / 'other'}"
    by_option = run("job", "run", "--node", "n9", "--log", other, "--", "true")
    assert by_option.returncode == 0
    assert by_option.stderr.splitlines() == [
        "wattlake: --node is n9, but the agent that runs here has the node told: none of what it reads is accounted to n9; "
        "leave --node out, or start the agent with --node n9",
        f"wattlake: --log is {other}, but the agent that runs here writes to file:{tmp_path / 'log'}: what is recorded meets its readings "
        f"only if one lake takes from both; leave --log out, or start the agent with --log {other}"]
    by_variable = run("job", "start", "--job", "j2", WATTLAKE_AGENT_NODE="n9", WATTLAKE_LOG=other)
    assert [line.partition(",")[0] for line in by_variable.stderr.splitlines()] == [
        "wattlake: the configured agent.node is n9", f"wattlake: the configured log is {other}"]
    assert "leave log out" in run("job", "stop", "j2", WATTLAKE_LOG=other).stderr
    assert "--log is" in run(*TRANSFER, "--log", other).stderr
    assert {r["node"] for r in log_book(tmp_path / "other").rows("jobs")} == {"n9"}


@pytest.mark.usefixtures("agent")
def test_the_same_said_otherwise_is_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "log")
    assert run("job", "run", "--node", "told", "--log", "file:link", "--", "true").stderr == ""


def test_an_agent_that_was_stopped_says_nothing_more(run: Run, agent: subprocess.Popen[bytes], tmp_path: Path, log_book: Any) -> None:
    agent.terminate()
    agent.wait(10)
    done = run("job", "run", "--job", "j1", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    [node] = {r["node"] for r in log_book(tmp_path / "home" / "wattlake" / "log").rows("jobs")}
    assert node == os.uname().nodename


def test_the_log_of_an_agent_that_ships_is_its_spool(agent: subprocess.Popen[bytes], state: Path, tmp_path: Path) -> None:
    agent.kill()
    shipping = ShippingState(beat_ms=0, log="kafka:k1:9092,k2:9092", state="ok", backlog_records=0, backlog_bytes=0, oldest_unacked_ms=0,
                              acked_records=0, damaged_records=0, refused_records=0, rebuilt=0, last_ack_ms=0, error="")
    here(state, lambda _: {"shipping": shipping})
    settings = Config(agent=AgentConfig(state_dir=str(state)), kafka=KafkaConfig(spool_dir=str(tmp_path / "log")))
    assert folder(settings, None) == (tmp_path / "log", None)
    assert folder(settings, "kafka:k2:9092") == (tmp_path / "log", None)
    assert "writes to kafka:k1:9092,k2:9092" in str(folder(settings, "kafka:k3:9092")[1])
    assert "writes to kafka:k1:9092,k2:9092" in str(folder(settings, f"file:{tmp_path / 'other'}")[1])


def test_of_an_agent_in_another_container_only_a_log_that_is_here_is_taken(agent: subprocess.Popen[bytes], state: Path, tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    agent.kill()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    settings = Config(agent=AgentConfig(state_dir=str(state)))
    here(state, lambda _: {"pid_namespace": process.pid_namespace() + 1})
    assert place(settings, None, None) == ("told", tmp_path / "log", None, None)
    assert place(settings, None, f"file:{tmp_path / 'mount'}").doubts == [], "it may be the same folder"
    here(state, lambda _: {"pid_namespace": process.pid_namespace() + 1, "log": "/data/log"})
    assert place(settings, None, None) == ("told", tmp_path / "home" / "wattlake" / "log", None, None)


def test_a_heartbeat_that_cannot_be_read_is_as_none(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    state.mkdir()
    (state / "agent.json").write_text("{")
    settings = Config(agent=AgentConfig(state_dir=str(state)))
    assert place(settings, None, None) == (os.uname().nodename, tmp_path / "home" / "wattlake" / "log", None, None)


KAFKA = "kafka:127.0.0.1:1"


@pytest.mark.parametrize("command", [("job", "run", "--", "true"), ("job", "start"), TRANSFER], ids=" ".join)
def test_a_spool_that_nothing_ships_is_said_once_with_its_place_and_the_next_step(run: Run, tmp_path: Path, log_book: Any, command: tuple[str, ...]) -> None:
    spool = tmp_path / "home" / "wattlake" / "spool"
    done = run(*command, WATTLAKE_LOG=KAFKA)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "ships" in line] == [
        f"wattlake: no agent ships from the spool {spool} to {KAFKA}: what is recorded lies there until one does; "
        f"start one on this machine with `wattlake agent run --log {KAFKA}`"]
    assert log_book(spool).rows("transfers" if command == TRANSFER else "jobs")


def test_nothing_is_said_of_a_spool_that_some_process_ships_or_that_cannot_be_looked_at(run: Run, tmp_path: Path) -> None:
    spool = tmp_path / "home" / "wattlake" / "spool"
    held = claim(spool)
    try:
        assert run(*TRANSFER, WATTLAKE_LOG=KAFKA).stderr == ""
    finally:
        os.close(held)
    assert "no agent ships" in run(*TRANSFER, WATTLAKE_LOG=KAFKA).stderr
    (spool / LOCK).unlink()
    (spool / LOCK).symlink_to(spool / LOCK)  # as little as a lock that another user may not open
    assert run(*TRANSFER, WATTLAKE_LOG=KAFKA).stderr == ""


@pytest.mark.usefixtures("agent")
def test_an_agent_that_writes_to_a_folder_does_not_ship(run: Run, tmp_path: Path) -> None:
    [line] = run(*TRANSFER, "--log", KAFKA).stderr.splitlines()
    assert line.startswith(f"wattlake: --log is {KAFKA}, but the agent that runs here writes to file:{tmp_path / 'log'}: ")
    assert f"; no agent ships from the spool {tmp_path / 'home' / 'wattlake' / 'spool'} to {KAFKA}: " in line
