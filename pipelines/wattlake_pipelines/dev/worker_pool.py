"""The process that starts Beam's Python workers for a job server (`python -m wattlake_pipelines.dev.worker_pool PORT`).

Beam's own (`apache_beam.runners.worker.worker_pool_main`) listens on every interface, and whoever reaches it can have code run
here; this one listens on the loopback interface. It also ends its workers when it is asked to end, which that does only on Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer, kill_process_gracefully

from wattlake_pipelines.dev.ports import LOOPBACK


def serve(port: int) -> None:
    """Serve until SIGTERM, and end the workers then."""
    # Beam starts its workers as `python`: that must be the Python that has this package
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # processes, for the workers of one process would have to share its one interpreter
    pool = BeamFnExternalWorkerPoolServicer(use_process=True, data_buffer_time_limit_ms=-1)
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.stop(grace=None))
    server.start()
    server.wait_for_termination()
    for worker in list(pool._worker_processes.values()):
        kill_process_gracefully(worker)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
