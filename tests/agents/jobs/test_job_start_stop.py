"""`wattlake job start` and `stop`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.jobs.registration import MOST_BYTES
from wattlake_agents.jobs.renewal import renewals
from wattlake_contracts.config import LEAST_RECORD_BYTES

Call = Callable[..., subprocess.CompletedProcess[str]]
BOOT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def job(wattlake: Path, machine: Any, state: Path, tmp_path: Path) -> Call:
    def call(verb: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, "job", verb, "--log", f"file:{tmp_path / 'log'}", *arguments],
                              env=machine.environment(state, **environment), capture_output=True, text=True, timeout=30)

    return call


def test_start_prints_the_id_the_agent_renews_it_and_stop_ends_it(job: Call, tmp_path: Path, state: Path, log_book: Any) -> None:
    started = job("start", "--model", "bert", "--phase", "train")
    assert started.returncode == 0, started.stderr
    identity = started.stdout.strip()
    renewed = renewals(state / "jobs", "n1", BOOT).rows
    assert [(r["job"], r["model"], "end_ms" in r) for r in renewed] == [(identity, "bert", False)]
    stopped = job("stop", identity, "--status", "failed", "--tokens", "300", "--quality-metric", "accuracy", "--quality-value", "0.9")
    assert stopped.returncode == 0, stopped.stderr
    assert renewals(state / "jobs", "n1", BOOT).rows == []
    first, last = log_book(tmp_path / "log").rows("jobs")
    assert (first["job"], first.get("end_ms")) == (identity, None)
    assert (last["job"], last["status"], last["model"], last["tokens"], last["quality_value"]) == (identity, "failed", "bert", 300, 0.9)
    assert last["start_ms"] == first["start_ms"] < last["end_ms"]


def test_a_job_that_runs_cannot_be_started_again(job: Call) -> None:
    assert job("start", "--job", "a/b c").returncode == 0
    again = job("start", "--job", "a/b c")
    assert again.returncode == 2
    assert "already registered" in again.stderr
    assert job("stop", "a/b c").returncode == 0
    assert job("start", "--job", "a/b c").returncode == 0


def test_a_job_that_does_not_run_cannot_be_stopped(job: Call) -> None:
    done = job("stop", "nobody")
    assert done.returncode == 2
    assert "not running here" in done.stderr


def test_an_unknown_status_is_named(job: Call) -> None:
    job("start", "--job", "j1")
    assert "'done' is not one of ok, failed, cancelled" in job("stop", "j1", "--status", "done").stderr


def test_after_a_reboot_a_job_is_not_renewed(job: Call, state: Path) -> None:
    job("start", "--job", "j1")
    found = renewals(state / "jobs", "n1", "another-boot")
    assert found.rows == []
    found.forget()
    assert list((state / "jobs").iterdir()) == []


@pytest.mark.parametrize("name", ["..", "../../etc/x", ".hidden", "x" * 300])
def test_an_id_cannot_leave_the_folder(job: Call, state: Path, name: str) -> None:
    started = job("start", "--job", name)
    files = [p for p in state.rglob("*") if p.is_file()]
    assert all(p.parent == state / "jobs" for p in files)
    assert (started.returncode, len(files)) in ((0, 1), (2, 0))
    if started.returncode == 0:
        assert [r["job"] for r in renewals(state / "jobs", "n1", BOOT).rows] == [name]


def test_a_start_of_more_text_than_the_agent_reads_is_refused_and_leaves_nothing(job: Call, state: Path, tmp_path: Path) -> None:
    assert MOST_BYTES < LEAST_RECORD_BYTES, "what can be registered every log takes"
    texts = [text for option in ("--model", "--team", "--project") for text in (option, "x" * 30_000)]
    refused = job("start", "--job", "j1", *texts)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "and the agent reads no job of more than 65536\n  next: shorten its texts" in refused.stderr
    assert list(state.rglob("*.json")) == []
    assert not (tmp_path / "log").exists()
    assert job("start", "--job", "j1").returncode == 0


def test_a_stop_of_more_text_than_the_log_takes_is_refused_and_may_be_said_again(job: Call, tmp_path: Path, log_book: Any) -> None:
    spool = {"WATTLAKE_KAFKA_SPOOL_DIR": str(tmp_path / "spool"), "WATTLAKE_KAFKA_MAX_RECORD_BYTES": "150000"}
    kafka = ("--log", "kafka:127.0.0.1:1")
    assert job("start", "--job", "j1", *kafka, **spool).returncode == 0
    texts = [text for option in ("--model", "--team", "--project") for text in (option, "x" * 60_000)]
    refused = job("stop", "j1", *kafka, *texts, **spool)
    assert refused.returncode == 1
    assert "is over the limit of 150000\n  next: shorten its texts, or raise kafka.max_record_bytes" in refused.stderr
    assert job("stop", "j1", *kafka, **spool).returncode == 0
    assert [r.get("status") for r in log_book(tmp_path / "spool").rows("jobs")] == [None, "ok"]
