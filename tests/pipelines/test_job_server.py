"""A job server that is not there, or goes away in the middle: it is told within seconds, and nothing is lost or counts twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

import lakes
from at_work import Follower, until
from broker import READY_S
from wattlake_pipelines.dev.flink import Flink
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.slow

WATTLAKE = Path(sys.executable).with_name("wattlake")
SHARDS = {"WATTLAKE_PIPELINES_SHARDS": "1"}
ENVIRONMENT = {**os.environ, **SHARDS}
#: Within so long a run that has lost its job server ends; half of it would do on a machine that does nothing else.
ENDS_S = 60.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small log of one node."""
    root = tmp_path_factory.mktemp("job-server") / "log"
    subprocess.run([WATTLAKE, "simulate", "--nodes", "1", "--days", "0.03", "--interval", "30", "--log", f"file:{root}"], check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def expected(log: Path) -> dict[str, str]:
    """The facts of that log, as the default runner has them."""
    lake = log.parent / "expected"
    subprocess.run([WATTLAKE, "run", "--log", f"file:{log}", "--lake", lake], check=True, capture_output=True, env=ENVIRONMENT)
    assert lakes.rows(lake, "SELECT count(*) FROM lake.fact_energy") != [(0,)]
    return lakes.dump(lake)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Flink that the tests here may kill; whatever runs there at the end is killed."""
    found = tmp_path_factory.mktemp("flink") / "flink"
    yield found
    Flink(found).kill()


@pytest.fixture
def own_flink(folder: Path) -> Flink:
    """It, running."""
    made = Flink(folder)
    made.start(READY_S)
    return made


def command(log: Path, lake: Path, options: Sequence[str]) -> list[str]:
    return [str(WATTLAKE), "run", "--log", f"file:{log}", "--lake", str(lake), "--", *options]


def begun(flink: Flink) -> int:
    """How many workers were started since Flink was."""
    return flink.worker_pool.log.read_text().count(" starts\n")


def run_and(upset: Callable[[Flink], object], flink: Flink, log: Path, lake: Path) -> tuple[int, str]:
    """Run, and do this once a worker has begun; (exit status, what it said)."""
    before = begun(flink)
    with subprocess.Popen(command(log, lake, flink.options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT) as run:
        try:
            until(lambda: begun(flink) > before, "a worker was started", 120)
            upset(flink)
            began = time.monotonic()
            said, _ = run.communicate(timeout=2 * ENDS_S)
            assert time.monotonic() - began < ENDS_S
        finally:
            run.kill()
    return run.returncode, said


def went_away(flink: Flink) -> str:
    return (f"wattlake: the job server at {LOOPBACK}:{flink.port} went away\n"
            "  next: start it again (`wattlake dev flink start`), then run the same command again: nothing counts twice\n")


def test_one_that_is_not_there_is_told_within_seconds(log: Path, tmp_path: Path) -> None:
    [port] = free_ports(1)
    done = subprocess.run(command(log, tmp_path / "lake", ["--runner=PortableRunner", f"--job_endpoint={LOOPBACK}:{port}"]), capture_output=True, text=True,
                          timeout=ENDS_S)
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.partition("\n")[2]
    assert said.startswith(f"wattlake: no job server answers at {LOOPBACK}:{port}\n  next: start it (`wattlake dev flink start`")
    assert len(said.splitlines()) == 2


def test_a_run_whose_flink_is_stopped_says_so_alone_and_has_committed_nothing(own_flink: Flink, log: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    status, said = run_and(Flink.stop, own_flink, log, lake)
    assert (status, said.partition("\n")[2]) == (1, went_away(own_flink))
    assert lakes.rows(lake, "SELECT count(*) FROM lake.log_positions") == [(0,)]
    assert not list((lake / "staging").iterdir())


def test_a_run_whose_job_server_is_silent_ends(own_flink: Flink, log: Path, tmp_path: Path) -> None:
    try:
        status, said = run_and(lambda flink: flink.job_server.freeze(), own_flink, log, tmp_path / "lake")
    finally:
        own_flink.kill()
    assert (status, said.partition("\n")[2]) == (1, went_away(own_flink))
    assert lakes.rows(tmp_path / "lake", "SELECT count(*) FROM lake.log_positions") == [(0,)]


def states(flink: Flink) -> list[int]:
    """How each job stands that the job server knows of."""
    with grpc.insecure_channel(f"{LOOPBACK}:{flink.port}") as channel:
        told = beam_job_api_pb2_grpc.JobServiceStub(channel).GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=30)
    return [job.state for job in told.job_info]


def test_the_job_of_a_run_that_is_interrupted_is_cancelled(own_flink: Flink, log: Path, tmp_path: Path) -> None:
    before, of_before = begun(own_flink), len(states(own_flink))
    with subprocess.Popen(command(log, tmp_path / "lake", own_flink.options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=ENVIRONMENT) as run:
        try:
            until(lambda: begun(own_flink) > before, "a worker was started", 120)
            assert run.poll() is None
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=ENDS_S)
        finally:
            run.kill()
    assert run.returncode == 130, said
    assert "Traceback" not in said
    state = beam_job_api_pb2.JobState
    until(lambda: len(states(own_flink)) == of_before + 1 and set(states(own_flink)) <= {state.CANCELLED, state.DONE, state.FAILED}, "no job is at work", 60)
    assert state.CANCELLED in states(own_flink)
    assert lakes.rows(tmp_path / "lake", "SELECT count(*) FROM lake.log_positions") == [(0,)]


def test_a_follower_whose_job_server_is_killed_tells_it_and_goes_on_when_it_is_back(
        own_flink: Flink, log: Path, expected: dict[str, str], tmp_path: Path) -> None:
    follower = Follower(tmp_path / "lake", f"file:{log}", SHARDS, beam=own_flink.options)
    before = begun(own_flink)
    follower.start()
    try:
        until(lambda: begun(own_flink) > before, "a worker was started", 120)
        own_flink.kill()
        until(lambda: went_away(own_flink) + "  it is tried again" in follower.says(), "the follower tells that the job server is gone", ENDS_S)
        until(lambda: f"no job server answers at {LOOPBACK}:{own_flink.port}" in follower.says(), "it tries again", ENDS_S)
        own_flink.start(READY_S)
        until(lambda: " rows of " in follower.says(), "it goes on", 300)
        assert follower.stop(120) == 0, follower.says()
    finally:
        follower.end()
    assert "Traceback" not in follower.says()
    assert lakes.dump(tmp_path / "lake") == expected
