"""A throw-away Flink: a job server of Beam with the whole of Flink in it, and the process that starts the Python workers.

The job server is of Beam 2.62 and the pipelines are of a later Beam: what the two say to each other (the Fn API and the pipeline's
protocol buffers) has not changed for what is used here, which is Create, ParDo, Reshuffle and GroupByKey.
"""

from __future__ import annotations

import sys
import time
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from wattlake_contracts.commands import how_to_install
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_pipelines.dev.folder import ServerFolder, write_private
from wattlake_pipelines.dev.jars import class_path
from wattlake_pipelines.dev.java import java
from wattlake_pipelines.dev.ports import LOOPBACK, free_ports, is_free
from wattlake_pipelines.dev.process import ServerProcess

_POLL_S = 0.1
#: Inner parts of Java's own library that Flink reaches into; the list is that of Flink's own config.yaml (1.19, env.java.opts.all),
#: less those of the compiler, which a JRE has not.
_OPEN = [
    *(f"--add-exports={package}=ALL-UNNAMED" for package in ("java.base/sun.net.util", "java.rmi/sun.rmi.registry", "java.security.jgss/sun.security.krb5")),
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in (
        "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time", "java.util",
        "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks")),
]
#: Java asks flink.policy before it accepts a connection; Netty's own native sockets, if it had them, would not.
_GUARDED = ["-Djava.security.manager=default", "-Dio.netty.transport.noNative=true", "-Dorg.apache.beam.vendor.grpc.v1p60p1.io.netty.transport.noNative=true"]
#: What goes before Flink's defaults: those are for a machine of its own.
_CONF = {
    "rest.address": LOOPBACK,
    "rest.bind-address": LOOPBACK,
    "taskmanager.host": LOOPBACK,
    "taskmanager.bind-host": LOOPBACK,
    "jobmanager.rpc.address": LOOPBACK,
    "jobmanager.bind-host": LOOPBACK,
    "taskmanager.memory.network.min": "32mb",
    "taskmanager.memory.network.max": "32mb",
    "taskmanager.memory.managed.size": "128mb",
}
_LOGGING = """handlers=java.util.logging.ConsoleHandler
.level=WARNING
java.util.logging.ConsoleHandler.level=WARNING
java.util.logging.SimpleFormatter.format=%1$tFT%1$tT.%1$tLZ [%3$s] %4$s %5$s%6$s%n
"""


class Flink:
    """A Flink in a folder of its own. It runs until stop(), also when this process has ended; another object of the same folder finds it.

    port: of the job server (the one it had; else a free one). parallelism: how many workers a pipeline is spread over.
    keep_jobs: keep what Flink's own metrics say of each job that has ended, some 150 KiB a job, in `jobs` (its history server's form).
    """

    def __init__(self, folder: Path, *, port: int | None = None, parallelism: int = 2, keep_jobs: bool = False) -> None:
        self._own = ServerFolder(folder, "flink")
        self.folder, self.parallelism, self._wanted_port, self._keep_jobs = self._own.path, parallelism, port, keep_jobs
        made = self._own.read()
        self.port: int = made["port"] if made else 0
        self.pool_port: int = made["pool_port"] if made else 0
        self.job_server = ServerProcess(self.folder, "job-server")
        self.worker_pool = ServerProcess(self.folder, "worker-pool")

    @property
    def processes(self) -> tuple[ServerProcess, ServerProcess]:
        """Both of its processes."""
        return self.job_server, self.worker_pool

    @property
    def jobs(self) -> Path:
        """The folder of the jobs that have ended, a JSON file each, if they are kept: its Flink lives no longer than a job does, nor do its pages."""
        return self.folder / "jobs"

    @property
    def options(self) -> list[str]:
        """Beam's options that have a pipeline run on it."""
        return ["--runner=PortableRunner", f"--job_endpoint={LOOPBACK}:{self.port}", "--environment_type=EXTERNAL",
                f"--environment_config={LOOPBACK}:{self.pool_port}", f"--parallelism={self.parallelism}",
                # one Python for all the pieces of a step would work on them in turn
                f"--sdk_worker_parallelism={self.parallelism}",
                # it would ask pip, which need not be there, what is installed here, and only to log it
                "--experiments=disable_logging_submission_environment"]

    def is_running(self) -> bool:
        """Whether both processes run."""
        return all(process.pid() is not None for process in self.processes)

    def start(self, wait_s: float = 60) -> None:
        """Start what does not run, and wait until it answers.

        WattlakeError if it ends, or does not answer within wait_s seconds; then nothing started here goes on. UsageError if a
        port that was asked for is taken.
        """
        if find_spec("apache_beam") is None:
            raise WattlakeError("a Flink needs apache_beam, for its workers", next_step=how_to_install("pipelines,servers"))
        with self._own.alone() as made:
            if made:
                self.port, self.pool_port = made["port"], made["pool_port"]
            down = [process for process in self.processes if process.pid() is None]
            self._take_ports(down)
            try:
                if self.job_server in down:
                    self._start_job_server()
                if self.worker_pool in down:
                    self.worker_pool.start([sys.executable, "-m", "wattlake_pipelines.dev.worker_pool", str(self.pool_port)])
                self._wait_until_ready(wait_s)
            except BaseException:
                for process in down:
                    process.kill()
                raise

    def stop(self) -> bool:
        """End both in good order; False if none ran."""
        with self._own.alone():
            # the job server first: it asks the other one to end the workers of what still runs
            asked = [process.ask_to_stop() for process in self.processes]
            for process in self.processes:
                process.stop()
        return any(asked)

    def kill(self) -> None:
        """SIGKILL both."""
        for process in self.processes:
            process.kill()

    def delete(self) -> None:
        """Delete its folder."""
        self._own.delete()

    def job_server_answers(self) -> bool:
        """Whether the job server answers a request."""
        import grpc

        with grpc.insecure_channel(f"{LOOPBACK}:{self.port}") as channel:
            # an empty message, and any answer: so Beam, which takes seconds to import, need not be
            list_jobs = channel.unary_unary("/org.apache.beam.model.job_management.v1.JobService/GetJobs")
            try:
                list_jobs(b"", timeout=2)
            except grpc.RpcError:
                return False
        return True

    def worker_pool_answers(self) -> bool:
        """Whether the process that starts the workers takes requests."""
        import grpc

        with grpc.insecure_channel(f"{LOOPBACK}:{self.pool_port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=2)
            except grpc.FutureTimeoutError:
                return False
        return True

    def states(self) -> list[str]:
        """Of the job server and of the process that starts the workers: `runs`, `is silent` or `is down`."""
        asked = zip(self.processes, (self.job_server_answers, self.worker_pool_answers), strict=True)
        return ["is down" if process.pid() is None else "runs" if answers() else "is silent" for process, answers in asked]

    def _start_job_server(self) -> None:
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        settings = dict(_CONF)
        if self._keep_jobs:
            self.jobs.mkdir(exist_ok=True)
            settings["jobmanager.archive.fs.dir"] = self.jobs.as_uri()
        write_private(conf / "flink-conf.yaml", "".join(f"{name}: {value}\n" for name, value in settings.items()))
        write_private(conf / "logging.properties", _LOGGING)
        # a negative port: no expansion service, which is for pipelines with steps in Java
        arguments = ["--job-host", LOOPBACK, "--job-port", str(self.port), "--artifact-port", "0", "--expansion-port", "-1",
                     "--artifacts-dir", str(self.folder / "artifacts"), "--flink-master", "[local]", "--flink-conf-dir", str(conf)]
        policy = conf / "flink.policy"
        write_private(policy, (files(__package__) / "flink.policy").read_text(encoding="utf-8"))
        properties = {"java.util.logging.config.file": str(conf / "logging.properties"), "java.io.tmpdir": str(self._scratch()),
                      # the second = : this file instead of Java's own rules, and not beside them
                      "java.security.policy=": str(policy)}
        self.job_server.start(java("org.apache.beam.runners.flink.FlinkJobServerDriver", class_path("flink"), *arguments, heap_mib=1024,
                                   properties=properties, options=[*_OPEN, *_GUARDED]))

    def _scratch(self) -> Path:
        """Where Flink puts what it cannot hold in memory."""
        folder = self.folder / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def _wait_until_ready(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not (self.job_server_answers() and self.worker_pool_answers()):
            for process in self.processes:
                if process.pid() is None:
                    raise process.died("it ended while it was waited for")
            if time.monotonic() > until:
                raise self.job_server.died(f"does not answer after {wait_s:g} s")
            time.sleep(_POLL_S)

    def _take_ports(self, down: list[ServerProcess]) -> None:
        """Settle where both listen, and write it down."""
        if self._wanted_port not in (None, self.port):
            if self.job_server not in down:
                raise UsageError(f"it runs already, at port {self.port}", subject=f"--port {self._wanted_port}",
                                 next_step="`wattlake dev flink stop` first, or leave --port out")
            self.port = self._wanted_port or 0
        if self.job_server in down and not (self.port and is_free(self.port)):
            if self.port and self.port == self._wanted_port:
                raise UsageError(f"port {self.port} of {LOOPBACK} is taken, or not allowed to you", subject=f"--port {self.port}",
                                 next_step="give another --port, or none")
            (self.port,) = free_ports(1, [self.pool_port])
        if self.worker_pool in down and not (self.pool_port and is_free(self.pool_port)):
            (self.pool_port,) = free_ports(1, [self.port])
        self._own.write({"port": self.port, "pool_port": self.pool_port})
