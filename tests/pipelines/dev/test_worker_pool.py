"""The workers of a pool end with it, those that are just being started too, and however it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

from at_work import until
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports
from wattlake_pipelines.dev.process import ServerProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    """Of the pool."""
    return free_ports(1)[0]


@pytest.fixture
def pool(port: int, tmp_path: Path) -> Iterator[ServerProcess]:
    """A pool that takes requests."""
    process = ServerProcess(tmp_path, "pool")
    process.start([sys.executable, "-m", "wattlake_pipelines.dev.worker_pool", str(port)])
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=120)
    yield process
    process.kill()


def started(mark: str) -> list[int]:
    """The processes that have a word in their command line, and have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes() and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def start_until_it_is_gone(port: int, mark: str) -> tuple[int, str]:
    """Ask for one worker after another until that fails; give how many were started, and what was said of the first that was not."""
    # nobody listens there: a worker waits for a minute until somebody does
    nobody = endpoints_pb2.ApiServiceDescriptor(url=f"{LOOPBACK}:{free_ports(1)[0]}")
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        for count in range(60):
            request = beam_fn_api_pb2.StartWorkerRequest(worker_id=f"{mark}-{uuid4().hex[:4]}", control_endpoint=nobody)
            try:
                answer = stub.StartWorker(request, timeout=60)
            except grpc.RpcError as gone:
                return count, str(gone)
            if answer.error:
                return count, str(answer.error)
            time.sleep(0.2)  # each is a Python that imports Beam
    raise AssertionError("it was never stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_those_that_are_being_started_while_it_ends_end_with_it(pool: ServerProcess, port: int, number: signal.Signals) -> None:
    mark = f"worker-{uuid4().hex}"
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(start_until_it_is_gone, port, mark) for _ in range(2)]
        until(lambda: len(started(mark)) > 1, "workers were started", 120)
        pool.signal(number)
        counts = [each.result(timeout=120)[0] for each in asking]
    assert sum(counts) > 1
    until(lambda: pool.pid() is None, "the pool has ended", 60)
    if number == signal.SIGTERM:
        assert started(mark) == [], "they were waited for"
    until(lambda: not started(mark), "the workers have ended", 60)


def test_a_worker_that_hangs_at_what_it_does_not_leave_is_killed(pool: ServerProcess, port: int) -> None:
    mark = f"worker-{uuid4().hex}"
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(start_until_it_is_gone, port, mark)
        until(lambda: started(mark), "a worker was started", 120)
        for pid in started(mark):
            os.kill(pid, signal.SIGSTOP)
        pool.signal(signal.SIGTERM)
        asking.result(timeout=120)
    until(lambda: pool.pid() is None, "the pool has ended", 60)
    assert started(mark) == []
