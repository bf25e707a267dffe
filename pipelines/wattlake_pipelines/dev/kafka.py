"""A throw-away Kafka of one broker or more, each of them a process on this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from wattlake_contracts.amount import amount
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_pipelines.dev.folder import ServerFolder, how_to_delete, write_private
from wattlake_pipelines.dev.jars import class_path
from wattlake_pipelines.dev.java import java
from wattlake_pipelines.dev.kafka_ready import knows_all, speaks
from wattlake_pipelines.dev.kafka_settings import server_properties, text_of
from wattlake_pipelines.dev.ports import LOOPBACK, check_free, free_ports, is_free
from wattlake_pipelines.dev.process import ServerProcess

_POLL_S = 0.1
_FORMAT_S = 120
#: Told once a line, with the time; what a broker says of its well-being is many hundred lines.
_LOGGING = {"org.slf4j.simpleLogger.defaultLogLevel": "warn", "org.slf4j.simpleLogger.showDateTime": "true",
            "org.slf4j.simpleLogger.dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSZ"}


class Broker:
    """One broker of a Kafka: start it, and do to it what a machine that fails does."""

    def __init__(self, kafka: Kafka, number: int) -> None:
        self._kafka, self.number = kafka, number
        self.folder = kafka.folder / f"broker-{number}"
        self.process = ServerProcess(self.folder, "broker")

    @property
    def port(self) -> int:
        """Where it listens for clients, the same as long as its data lives."""
        return self._kafka.ports[self.number - 1]

    @property
    def data(self) -> Path:
        """Where its topics lie."""
        return self.folder / "data"

    def state(self) -> str:
        """`runs`, `is silent` (its process is there and does not listen: it is starting or frozen), or `is down`."""
        if self.process.pid() is None:
            return "is down"
        return "runs" if speaks(self.port) else "is silent"

    def start(self) -> None:
        """Start its process. It may take a while to answer: see Kafka.wait_until_ready."""
        self.process.start(java("kafka.Kafka", self._kafka.class_path, str(self.write_properties()), heap_mib=256, properties=_LOGGING))

    def stop(self) -> None:
        """End it in good order."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL: it loses what a process can lose."""
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and nobody answers."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT: it goes on after freeze()."""
        self.process.thaw()

    def restart(self, wait_s: float = 60) -> None:
        """Start it again with the data that it has, on its port, and wait until the whole Kafka answers."""
        self.start()
        self._kafka.wait_until_ready(wait_s)

    def write_properties(self) -> Path:
        """Its server.properties, written anew."""
        # who may not read a topic is not to read its files
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._kafka.ensure_secured()
        file = self.folder / "server.properties"
        given = server_properties(self.number, self._kafka.ports, self._kafka.controller_ports, self.data, self._kafka.properties)
        write_private(file, text_of(given))
        return file

    @property
    def is_formatted(self) -> bool:
        """Whether it has an identity: it was started, or all but."""
        return (self.data / "meta.properties").is_file()

    def begin_format(self) -> subprocess.Popen[str] | None:
        """Begin to give a new broker its identity; None if it has one."""
        if self.is_formatted:
            return None
        lines = ["format", "--config", str(self.write_properties()), "--cluster-id", self._kafka.cluster_id, "--ignore-formatted"]
        for name, password in self._kafka.users.items():
            lines += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        # by file, for everybody on a machine sees a process's arguments
        arguments = self.folder / "format.arguments"
        write_private(arguments, "\n".join(lines) + "\n")
        return subprocess.Popen(java("kafka.tools.StorageTool", self._kafka.class_path, f"@{arguments}", heap_mib=128, properties=_LOGGING),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Kafka:
    """A Kafka in a folder of its own. It runs until stop(), also when this process has ended; another object of the same folder finds it.

    brokers: how many (those it was made with; else 1). port: of the first broker, the others have the next ones (those it was made
    with; else free ones). secured: whether it lets in only whom it knows, as the module `secured` has it (as it was made; else no).
    properties: go before all other settings. users: password by name, for SCRAM-SHA-512, made with the Kafka. client: what
    kafka-python needs to be let in, beside the servers. All three are of a Kafka that is secured in some other way. With three
    brokers a record is acknowledged when two of them have it.

    UsageError if the folder holds a Kafka of another number of brokers, one that is secured and should not be or the other way round,
    or something else.
    """

    def __init__(self, folder: Path, *, brokers: int | None = None, port: int | None = None, secured: bool | None = None,
                 properties: Mapping[str, str] | None = None, users: Mapping[str, str] | None = None, client: Mapping[str, Any] | None = None) -> None:
        self._own = ServerFolder(folder, "kafka")
        self.folder = self._own.path
        self.properties, self.users, self.client = dict(properties or {}), dict(users or {}), dict(client or {})
        made = self._own.read()
        self._wanted_secured = secured
        self.secured = self._is_secured(made)
        if made and brokers is not None and brokers != len(made["ports"]):
            raise UsageError(f"was made with {amount(len(made['ports']), 'broker')}, not {brokers}", subject=str(self.folder),
                             next_step=f"leave --brokers out, give another --dir, or {how_to_delete(self.folder)}")
        count = len(made["ports"]) if made else brokers or 1
        self.cluster_id = str(made["cluster_id"]) if made else _new_id()
        self.controller_ports: list[int] = list(made["controller_ports"]) if made else []
        self.ports: list[int] = list(made["ports"]) if made else []
        self._wanted_port = port
        self.brokers = tuple(Broker(self, number) for number in range(1, count + 1))
        self._class_path: list[Path] = []

    @property
    def class_path(self) -> list[Path]:
        """Kafka's jars, fetched at the first call."""
        self._class_path = self._class_path or class_path("kafka")
        return self._class_path

    @property
    def servers(self) -> list[str]:
        """HOST:PORT of each broker."""
        return [f"{LOOPBACK}:{port}" for port in self.ports]

    @property
    def address(self) -> str:
        """The log's address, as --log takes it."""
        return f"kafka:{','.join(self.servers)}"

    def is_running(self) -> bool:
        """Whether every broker's process runs."""
        return all(broker.process.pid() is not None for broker in self.brokers)

    def start(self, wait_s: float = 60) -> None:
        """Start every broker that does not run, and wait until they answer.

        WattlakeError if one ends, or does not answer within wait_s seconds; then none of those started here goes on.
        UsageError if a port that was asked for is taken.
        """
        if self._wanted_port is not None and self._own.read() is None:
            # before there is a folder, so that none is left behind
            for number in range(len(self.brokers)):
                check_free(self._wanted_port + number)
        with self._own.alone() as made:
            if made:  # perhaps another process has settled it meanwhile
                self.cluster_id, self.ports, self.controller_ports = made["cluster_id"], list(made["ports"]), list(made["controller_ports"])
                self.secured = self._is_secured(made)
            down = [broker for broker in self.brokers if broker.process.pid() is None]
            self._take_ports(fresh=len(down) == len(self.brokers))
            self._secure()
            try:
                self._format(down)
                for broker in down:
                    broker.start()
                self.wait_until_ready(wait_s)
            except BaseException:
                for broker in down:
                    broker.kill()
                raise

    def stop(self) -> bool:
        """End every broker in good order, one that is frozen too; False if none ran."""
        with self._own.alone():
            # all are asked before one is waited for: a controller that has lost its others takes long to end
            asked = [broker.process.ask_to_stop() for broker in self.brokers]
            for broker in self.brokers:
                broker.stop()
        return any(asked)

    def delete(self) -> None:
        """Delete its data, and its folder."""
        self._own.delete()

    def wait_until_ready(self, wait_s: float = 60) -> None:
        """Wait until every broker is known to the cluster and answers. WattlakeError if one ends, or after wait_s seconds."""
        until = time.monotonic() + wait_s
        while not knows_all(self.servers, len(self.brokers), self.client):
            for broker in self.brokers:
                if broker.process.pid() is None:
                    raise broker.process.died("the broker ended while it was waited for")
            if time.monotonic() > until:
                silent = [broker for broker in self.brokers if not speaks(broker.port)]
                raise (silent or self.brokers)[0].process.died(f"does not answer after {wait_s:g} s")
            time.sleep(_POLL_S)

    def ensure_secured(self) -> None:
        """Let a secured Kafka know its own settings, if this object has not started it."""
        if not self.client:
            self._secure()

    def _secure(self) -> None:
        """Settle what a secured Kafka is told, and whom it lets in, with certificates that are valid from now on."""
        if self.secured:
            from wattlake_pipelines.dev.secured import secure

            found = secure(self.folder, self.address, new=not any(broker.is_formatted for broker in self.brokers))
            self.properties, self.users, self.client = found.properties, found.users, found.client

    def _is_secured(self, made: Mapping[str, Any] | None) -> bool:
        """Whether it is secured, by what it was made with and what is asked for. UsageError if these contradict each other."""
        wanted = self._wanted_secured
        if made is None:
            return bool(wanted)
        secured = bool(made.get("secured"))
        if wanted is not None and wanted != secured:
            option = "--secured" if wanted else "--unsecured"
            raise UsageError(f"was made {'with' if secured else 'without'} --secured, and cannot change", subject=str(self.folder),
                             next_step=f"leave {option} out, give another --dir, or {how_to_delete(self.folder)}")
        return secured

    def _take_ports(self, *, fresh: bool) -> None:
        """Settle where the brokers listen, and write it down. fresh: none runs, so that their ports can change."""
        count = len(self.brokers)
        if self._wanted_port is not None:
            wanted = [self._wanted_port + i for i in range(count)]
            if wanted != self.ports and not fresh:
                raise UsageError(f"it runs already, at {self.address}", subject=f"--port {self._wanted_port}",
                                 next_step="`wattlake dev kafka stop` first, or leave --port out")
            if fresh:
                for port in wanted:
                    check_free(port)
            self.ports = wanted
        elif fresh and not all(map(is_free, self.ports)):
            self.ports = []
        if fresh and not all(map(is_free, self.controller_ports)):
            self.controller_ports = []
        self.ports = self.ports or free_ports(count, self.controller_ports)
        self.controller_ports = self.controller_ports or free_ports(count, self.ports)
        state = {"cluster_id": self.cluster_id, "ports": self.ports, "controller_ports": self.controller_ports, "secured": self.secured}
        self._own.write(state)

    def _format(self, brokers: Sequence[Broker]) -> None:
        """Give new brokers their identity, all at once: each takes a Java of its own."""
        begun = [(broker, process) for broker in brokers if (process := broker.begin_format())]
        for broker, process in begun:
            said, _ = process.communicate(timeout=_FORMAT_S)
            (broker.folder / "format.arguments").unlink()
            if process.returncode:
                raise WattlakeError(f"cannot be made: {said.strip()[-2000:]}", subject=str(broker.folder), next_step="see to what it says and start again")


def _new_id() -> str:
    """A cluster's id as Kafka makes them: 16 random bytes in base64 for URLs."""
    from base64 import urlsafe_b64encode

    # a leading - would be taken for an option by Kafka's own tools
    while (made := urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        continue
    return made
