"""`wattlake dev flink` as its user meets it, and a pipeline that runs there with the same outcome as anywhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lakes
from wattlake_pipelines.dev.flink import Flink
from wattlake_pipelines.dev.process import ServerProcess

WATTLAKE = Path(sys.executable).with_name("wattlake")
LOOPBACK = "127.0.0.1"


def wattlake(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(WATTLAKE), *map(str, arguments)], capture_output=True, text=True, timeout=400, env={**os.environ, **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a Flink; whatever runs there at the end is killed."""
    yield tmp_path / "flink"
    if (tmp_path / "flink" / "flink.json").is_file():
        Flink(tmp_path / "flink").kill()


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small log of three nodes."""
    root = tmp_path_factory.mktemp("flink") / "log"
    made = wattlake("simulate", "--nodes", 3, "--days", 0.05, "--interval", 30, "--gpus", 2, "--log", f"file:{root}")
    assert made.returncode == 0, made.stderr
    return root


def other_address() -> str:
    """This machine's address as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of a network for examples (RFC 5737): nothing is sent
        except OSError:
            pytest.skip("this machine has no network but itself")
        return str(probe.getsockname()[0])


@pytest.mark.slow
def test_the_facts_are_those_of_the_default_runner(flink: Flink, log: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shards = {"WATTLAKE_PIPELINES_SHARDS": "2"}
    done = wattlake("run", "--log", f"file:{log}", "--lake", here, **shards)
    assert done.returncode == 0, done.stderr
    done = wattlake("run", "--log", f"file:{log}", "--lake", there, "--ranges", 4, "--", *flink.options, **shards)
    assert done.returncode == 0, done.stderr
    assert "none rejected" in done.stdout
    assert lakes.dump(there) == lakes.dump(here)
    assert lakes.rows(there, "SELECT count(*) FROM lake.fact_energy") != [(0,)]


@pytest.mark.slow
def test_it_starts_prints_beams_options_and_stops(folder: Path) -> None:
    assert wattlake("dev", "flink", "status", "--dir", folder).returncode == 1
    started = wattlake("dev", "flink", "start", "--dir", folder, "--parallelism", 3)
    assert started.returncode == 0, started.stderr
    options = started.stdout.split()
    assert started.stdout == " ".join(options) + "\n", "one line, and nothing else on stdout"
    assert options[0] == "--runner=PortableRunner"
    assert "--parallelism=3" in options
    assert wattlake("dev", "flink", "start", "--dir", folder, "--parallelism", 3).stdout == started.stdout

    shown = wattlake("dev", "flink", "status", "--dir", folder, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    job_server, worker_pool = json.loads(shown.stdout)
    assert (job_server["process"], job_server["state"], worker_pool["process"], worker_pool["state"]) == ("job-server", "runs", "worker-pool", "runs")
    assert f"--job_endpoint={job_server['server']}" in options
    assert f"--environment_config={worker_pool['server']}" in options

    os.kill(worker_pool["pid"], signal.SIGKILL)
    half = wattlake("dev", "flink", "status", "--dir", folder)
    assert (half.returncode, "is down" in half.stdout) == (1, True)
    assert wattlake("dev", "flink", "start", "--dir", folder, "--parallelism", 3).stdout == started.stdout, "only what was down is started again"

    assert wattlake("dev", "flink", "stop", "--dir", folder, "--delete").returncode == 0
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, int(job_server["server"].rpartition(":")[2])))


@pytest.mark.slow
def test_nobody_from_elsewhere_is_let_in(tmp_path: Path) -> None:
    elsewhere = other_address()
    made = Flink(tmp_path / "flink")
    made.start(120)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((elsewhere, made.pool_port))
        # a server that takes a connection speaks first: HTTP/2 begins with its settings
        with socket.create_connection((LOOPBACK, made.port), timeout=10) as friend:
            assert friend.recv(1) != b""
        with socket.create_connection((elsewhere, made.port), timeout=10) as stranger:
            assert stranger.recv(1) == b""
        until = time.monotonic() + 30
        while "access denied" not in made.job_server.log.read_text():
            assert time.monotonic() < until, "it is told in the log"
            time.sleep(0.05)
    finally:
        made.kill()


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(log: Path, folder: Path, tmp_path: Path) -> None:
    made = Flink(folder)
    made.start(120)
    job = subprocess.Popen([str(WATTLAKE), "land", "--log", f"file:{log}", "--lake", tmp_path / "lake", "--", *made.options],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pool = made.worker_pool.pid()
    assert pool is not None
    until = time.monotonic() + 120
    while not (workers := workers_of(pool)):
        assert time.monotonic() < until, "no worker was started"
        time.sleep(0.05)
    made.stop()
    job.wait(120)
    assert job.returncode != 0, "what it was doing has failed"
    assert [pid for pid in workers if alive(pid)] == []


def workers_of(pid: int) -> list[int]:
    """The processes that a process, any of its threads, has started."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended (one that nobody has asked after yet still has its id)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = wattlake("dev", "flink", "start", "--dir", folder, "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


def test_a_process_is_known_by_who_holds_its_file_and_not_by_its_number(tmp_path: Path) -> None:
    process = ServerProcess(tmp_path, "sleeper")
    assert process.pid() is None
    (tmp_path / "sleeper.pid").write_text(str(os.getpid()))
    assert process.pid() is None, "the number is that of another process"
    assert not process.signal(signal.SIGKILL)
    process.start(["sleep", "60"])
    try:
        assert ServerProcess(tmp_path, "sleeper").pid() == process.pid() != os.getpid()
        with pytest.raises(Exception, match="sleeper runs already"):
            ServerProcess(tmp_path, "sleeper").start(["sleep", "60"])
        process.freeze()
        process.stop(patience_s=10)
        assert process.pid() is None
    finally:
        process.kill()
