"""The process that starts Beam's Python workers for a job server (`python -m wattlake_pipelines.dev.worker_pool PORT`).

Beam's own (`apache_beam.runners.worker.worker_pool_main`) listens on every interface, and whoever reaches it can have code run
here; this one listens on the loopback interface. It also ends its workers when it is asked to end, which that does only on Ctrl-C,
and they end with it however it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from wattlake_pipelines.dev.ports import LOOPBACK

#: Workers that were asked to end and have not after so long are killed.
_PATIENCE_S = 10.0


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and ends workers, each a process: those of one process would have to share its one interpreter.

    Each holds one end of a pipe whose other end is held by this process alone: the kernel closes that when this
    process is gone, and the worker ends too (see `worker`).
    """

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._stopping = False
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the name that gRPC calls
        """Start a worker; the answer says why if it cannot be, as when the pool is being stopped."""
        del context
        command = [sys.executable, "-m", "wattlake_pipelines.dev.worker", request.control_endpoint.url, request.worker_id]
        try:
            with self._alone:
                if self._stopping:
                    return beam_fn_api_pb2.StartWorkerResponse(error="the pool of workers is being stopped")
                print(f"worker {request.worker_id} starts", file=sys.stderr, flush=True)
                self._workers[request.worker_id] = subprocess.Popen(command, stdin=subprocess.PIPE)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"a worker could not be started: {error}")
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the name that gRPC calls
        """End a worker."""
        del context
        with self._alone:
            worker = self._workers.pop(request.worker_id, None)
        _end([worker] if worker is not None else [])
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """End all workers, and start none any more."""
        with self._alone:
            self._stopping = True
            workers, self._workers = list(self._workers.values()), {}
        _end(workers)


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + _PATIENCE_S
    for worker in workers:
        try:
            worker.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()


def serve(port: int) -> None:
    """Serve until SIGTERM, and end the workers then."""
    pool = WorkerPool()
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.stop(grace=None))
    server.start()
    server.wait_for_termination()
    pool.stop()
    # a request that is still at work, such as the end of a worker, is not waited for
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
