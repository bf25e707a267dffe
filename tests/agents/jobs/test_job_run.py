"""`wattlake job run`: as if the command ran alone, and the log knows of it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.jobs.row import LEASE_MS, status_of

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Run:
    def call(*arguments: str, log: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, "job", "run", "--log", f"file:{log or tmp_path / 'log'}", *arguments],
                              env=machine.environment(state, **environment), capture_output=True, text=True, timeout=30, cwd=tmp_path)

    return call


def test_start_and_end_are_in_the_log_with_all_that_was_said(run: Run, tmp_path: Path, state: Path, log_book: Any) -> None:
    done = run("--job", "j1", "--model", "bert", "--phase", "train", "--team", "nlp", "--share", "0.5", "--device", "gpu0",
               "--device", "gpu1", "--params", "110000000", "--flop", "1e18", "--user", "ann", "--", "sh", "-c", "echo out; echo err >&2")
    doubt, _, err = done.stderr.partition("\n")
    assert (done.returncode, done.stdout, err) == (0, "out\n", "err\n")
    assert doubt.startswith(f"wattlake: no agent runs with the state folder {state}, so nothing tells whether there is gpu0, gpu1: ")
    rows = log_book(tmp_path / "log").rows("jobs")
    assert [(r["job"], r["node"], r["device"], r.get("status"), r["lease_ms"]) for r in rows] == [
        ("j1", "n1", "gpu0", None, LEASE_MS), ("j1", "n1", "gpu1", None, LEASE_MS),
        ("j1", "n1", "gpu0", "ok", LEASE_MS), ("j1", "n1", "gpu1", "ok", LEASE_MS)]
    last = rows[-1]
    assert {k: last[k] for k in ("model", "phase", "team", "share_ppm", "params", "flop", "user")} == {
        "model": "bert", "phase": "train", "team": "nlp", "share_ppm": 500_000, "params": 110_000_000, "flop": 1e18, "user": "ann"}
    assert last["end_ms"] > last["start_ms"] == rows[0]["start_ms"]


@pytest.mark.parametrize(("script", "code", "status"), [
    ("exit 0", 0, "ok"), ("exit 3", 3, "failed"), ("kill -TERM $$", 143, "cancelled"), ("kill -INT $$", 130, "cancelled"),
    ("kill -KILL $$", 137, "failed"), ("kill -SEGV $$", 139, "failed"), ("exit 143", 143, "cancelled"),
])
def test_the_exit_code_is_the_commands(run: Run, tmp_path: Path, log_book: Any, script: str, code: int, status: str) -> None:
    assert run("--", "sh", "-c", script).returncode == code
    assert log_book(tmp_path / "log").rows("jobs")[-1]["status"] == status


def test_options_of_the_command_are_the_commands(run: Run) -> None:
    assert run("--", "sh", "-c", 'echo "$@"', "x", "--model", "-h", "--", "a b").stdout == "--model -h -- a b\n"


@pytest.mark.parametrize(("command", "code"), [("no-such-command-anywhere", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run_is_said_and_leaves_no_job(run: Run, tmp_path: Path, command: str, code: int) -> None:
    done = run("--", command)
    assert done.returncode == code
    assert command in done.stderr
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_a_signal_is_passed_on_once(wattlake: Path, machine: Any, state: Path, tmp_path: Path, log_book: Any,
                                    number: signal.Signals) -> None:
    # os.write: the signal may come while the line before is being printed
    script = ("import os, signal, sys, time\n"
              f"signal.signal({int(number)}, lambda *_: (os.write(1, b'got it\\n'), time.sleep(0.3), sys.exit(7)))\n"
              "print('ready', flush=True)\n"
              "time.sleep(20)")
    job = subprocess.Popen([wattlake, "job", "run", "--log", f"file:{tmp_path / 'log'}", "--", sys.executable, "-c", script],
                           env=machine.environment(state), stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    job.send_signal(number)
    assert job.wait(10) == 7
    assert job.stdout.read() == "got it\n"
    assert log_book(tmp_path / "log").rows("jobs")[-1]["status"] == "failed"


def test_ctrl_c_on_a_terminal_reaches_the_command_once(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> None:
    script = ("import signal, sys, time\n"
              "n = []\n"
              "signal.signal(signal.SIGINT, lambda *_: n.append(1))\n"
              "print('ready', flush=True)\n"
              "t = time.monotonic()\n"
              "while time.monotonic() - t < 1 or not n: time.sleep(0.02)\n"
              "sys.exit(len(n))")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(wattlake, [str(wattlake), "job", "run", "--log", f"file:{tmp_path / 'log'}", "--", sys.executable, "-c", script],
                  machine.environment(state))
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 100)
    os.write(terminal, b"\x03")
    deadline = time.monotonic() + 15
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended[1]) == 1


def test_the_command_gets_the_signal_settings_of_its_caller(run: Run) -> None:
    script = "cat /proc/self/status"
    own = 0x1_8000_0000  # signals 32 and 33 are the C library's own; its posix_spawn leaves them ignored

    def settings(text: str) -> list[int]:
        return [int(line.split()[1], 16) & ~own for line in text.splitlines() if line.startswith(("SigBlk:", "SigIgn:"))]

    plain = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert settings(run("--", "sh", "-c", script).stdout) == settings(plain.stdout) != []


def test_without_a_log_the_job_runs_and_a_warning_says_so(run: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = run("--", "sh", "-c", "echo ran; exit 5", log=blocked)
    assert (done.returncode, done.stdout) == (5, "ran\n")
    assert "the job runs, but is not recorded" in done.stderr
    assert "next:" in done.stderr


def test_the_ranks_of_a_node_are_one_job(run: Run, tmp_path: Path, log_book: Any) -> None:
    for rank in "01":
        assert run("--", "true", SLURM_JOB_ID="4711", LOCAL_RANK=rank).returncode == 0
    assert {(r["job"], r["node"]) for r in log_book(tmp_path / "log").rows("jobs")} == {("4711", "n1")}


def test_the_variable_names_the_job(run: Run, tmp_path: Path, log_book: Any) -> None:
    done = run("--", "true", WATTLAKE_JOB="mine", SLURM_JOB_ID="4711")
    assert (done.returncode, done.stderr) == (0, "")
    assert {r["job"] for r in log_book(tmp_path / "log").rows("jobs")} == {"mine"}


def test_many_jobs_at_once_all_get_their_records_in(wattlake: Path, machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    jobs = [subprocess.Popen([wattlake, "job", "run", "--log", f"file:{tmp_path / 'log'}", "--job", f"j{i}", "--", "true"],
                             env=machine.environment(state)) for i in range(6)]
    assert [job.wait(30) for job in jobs] == [0] * 6
    rows = log_book(tmp_path / "log").rows("jobs")
    assert sorted(r["job"] for r in rows if r.get("status") == "ok") == [f"j{i}" for i in range(6)]


@pytest.mark.parametrize(("arguments", "says"), [
    (("--phase", "traning"), "'traning' is not one of data, experiment, train"),
    (("--share", "0"), "--share"), (("--share", "1.5"), "at most 1"), (("--share", "-0.5"), "--share: -0.5 is out of range"),
    (("--share", "nan"), "--share: 'nan' is no number"), (("--share", "inf"), "--share: 'inf' is no number"),
    (("--share", "1.0000001"), "at most 1"), (("--flop", "inf"), "--flop: 'inf' is no number"),
    (("--quality-value", "nan"), "--quality-value: 'nan' is no number"), (("--tokens", "1.5"), "--tokens: 1.5 is no whole number"),
])
def test_a_value_that_the_contract_does_not_allow_is_named(run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_renewal_keeps_the_job_open(machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    from wattlake_agents.jobs import row
    from wattlake_agents.jobs.teller import Teller
    from wattlake_contracts.config import AgentConfig

    config = AgentConfig(state_dir=str(state), proc_root=str(machine.proc))
    warnings: list[str] = []
    teller = Teller(config, tmp_path / "log", "n1", row.opened("j1", "n1", row.now_ms(), [], {}), warnings.append)
    teller.start()
    time.sleep(0.01)
    teller.renew()
    teller.end("cancelled", {"tokens": 5})
    first, second, last = log_book(tmp_path / "log").rows("jobs")
    assert first["start_ms"] == second["start_ms"] == last["start_ms"]
    assert first["event_ms"] < second["event_ms"] <= last["event_ms"]
    assert (last["status"], last["tokens"], warnings) == ("cancelled", 5, [])
    records = log_book(tmp_path / "log").records()
    assert [r.seq for r in records] == [0, 1, 2]
    assert len({r.meta.boot for r in records}) == 1


def test_a_job_of_more_text_than_the_log_takes_runs_and_is_told_once_and_left_to_no_agent(run: Run, state: Path, tmp_path: Path) -> None:
    texts = [text for option in ("--model", "--team", "--project") for text in (option, "x" * 60_000)]
    done = run("--log", "kafka:127.0.0.1:1", *texts, "--", "sh", "-c", "echo ran; exit 5",
               WATTLAKE_KAFKA_SPOOL_DIR=str(tmp_path / "spool"), WATTLAKE_KAFKA_MAX_RECORD_BYTES="150000")
    assert (done.returncode, done.stdout) == (5, "ran\n")
    assert done.stderr.count("the job runs, but is not recorded") == done.stderr.count("is not recorded") == 1
    assert "is over the limit of 150000" in done.stderr
    assert "next: shorten its texts, or raise kafka.max_record_bytes" in done.stderr
    assert list(state.rglob("*.json")) == []


def test_a_job_of_many_devices_is_written_in_several_records(machine: Any, state: Path, tmp_path: Path, log_book: Any) -> None:
    from wattlake_agents.jobs import row
    from wattlake_agents.jobs.teller import Teller
    from wattlake_contracts.config import AgentConfig

    config = AgentConfig(state_dir=str(state), proc_root=str(machine.proc))
    warnings: list[str] = []
    devices = [f"gpu{i}" for i in range(5)]
    rows = row.opened("j1", "n1", row.now_ms(), devices, {"model": "m" * 60_000})
    teller = Teller(config, tmp_path / "log", "n1", rows, warnings.append, limit_bytes=150_000)
    teller.start()
    teller.end("ok")
    told = log_book(tmp_path / "log").rows("jobs")
    assert [(r["device"], r.get("status")) for r in told] == [*((d, None) for d in devices), *((d, "ok") for d in devices)]
    records = log_book(tmp_path / "log").records()
    assert [r.seq for r in records] == list(range(len(records)))
    assert len({r.meta.boot for r in records}) == 1
    assert len(records) > 2
    # what is too large in one row of them is written of none
    teller = Teller(config, tmp_path / "log", "n1", rows, warnings.append, limit_bytes=150_000)
    teller.start()
    assert warnings == []
    teller.end("ok", {"team": "t" * 60_000, "project": "p" * 60_000})
    [warning] = warnings
    assert warning.startswith("the job has ended, and that is not recorded: ")
    assert len(log_book(tmp_path / "log").rows("jobs")) == 15
    assert not (state / "jobs").exists()


@pytest.mark.parametrize(("code", "status"), [(0, "ok"), (1, "failed"), (143, "cancelled"), (129, "cancelled"), (137, "failed")])
def test_the_status_follows_from_the_exit_code(code: int, status: str) -> None:
    assert status_of(code) == status
