"""The settings of a throw-away Kafka: small, on the loopback interface, and without surprises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wattlake_pipelines.dev.ports import LOOPBACK

#: The listener for clients and for the brokers among each other; what it speaks may be overridden for a secured cluster.
CLIENT, CONTROLLER = "CLIENT", "CONTROLLER"


def server_properties(number: int, ports: Sequence[int], controller_ports: Sequence[int], data: Path, override: Mapping[str, str]) -> dict[str, str]:
    """The server.properties of broker `number` (from 1), each broker being a controller too.

    ports, controller_ports: of all brokers, in order. data: its folder of logs. override: goes before everything here.
    """
    brokers = len(ports)
    copies, needed = str(min(brokers, 3)), str(1 if brokers < 3 else 2)
    inner = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(f"{n}@{LOOPBACK}:{port}" for n, port in enumerate(controller_ports, 1)),
        "listeners": f"{CLIENT}://{LOOPBACK}:{ports[number - 1]},{CONTROLLER}://{LOOPBACK}:{controller_ports[number - 1]}",
        "advertised.listeners": f"{CLIENT}://{LOOPBACK}:{ports[number - 1]}",
        "listener.security.protocol.map": f"{CLIENT}:PLAINTEXT,{CONTROLLER}:PLAINTEXT",
        "inter.broker.listener.name": CLIENT,
        "controller.listener.names": CONTROLLER,
        "log.dirs": str(data),
        # a topic that is misspelt must be an error, and not a new topic with settings that nobody chose
        "auto.create.topics.enable": "false",
        # a record that was acknowledged is on so many brokers
        "default.replication.factor": copies,
        "min.insync.replicas": needed,
        **{f"{topic}.replication.factor": copies for topic in inner},
        **{f"{topic}.min.isr": needed for topic in inner if topic != "offsets.topic"},
        **{f"{topic}.num.partitions": "4" for topic in inner},
        "group.initial.rebalance.delay.ms": "0",
        # a broker that was killed may come back only when its session has ended: 9 s unless told otherwise
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
        # 128 MiB of memory unless told otherwise
        "log.cleaner.dedupe.buffer.size": "2097152",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "num.recovery.threads.per.data.dir": "1",
        **override,
    }


def text_of(properties: Mapping[str, str]) -> str:
    """As a file of Java properties: a backslash begins an escape there, and a line feed ends a value."""
    return "".join("{}={}\n".format(name, value.replace("\\", "\\\\").replace("\n", "\\n")) for name, value in properties.items())
