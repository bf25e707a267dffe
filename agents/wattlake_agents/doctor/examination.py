"""All probes, in order: each stands on those before it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from wattlake_agents.doctor import machine, topics
from wattlake_agents.doctor.broker import KAFKA, BrokerProbe
from wattlake_agents.doctor.finding import FAILED, OK, Finding, failed, not_tried, ok
from wattlake_contracts.config import Config, load
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.log_address import KafkaLog, log_address, spool_root

CONFIG, CONNECTION, CLUSTER = "config", "connection", "cluster"


def examine(path: str | None, log: str | None, role: str, timeout_s: float) -> Iterator[Finding]:
    """Probe everything from the configuration to the topics. role: agent, or pipelines, which need no sensors and read. timeout_s: for each step."""
    file = path or os.environ.get("WATTLAKE_CONFIG") or "wattlake.toml"
    try:
        config = load(path)
        address = log_address(config, log)
    except WattlakeError as error:
        yield failed(CONFIG, error.subject or file, error.what, error.next_step)
        yield not_tried("all else", "", "nothing can be said without a configuration")
        return
    yield ok(CONFIG, file if Path(file).is_file() else "no file", f"the log is {address}" if log or config.log else f"no log is configured: it is {address}")
    on_kafka = isinstance(address, KafkaLog)
    if role == "agent":
        yield machine.state(config)
        yield from machine.sensors(config)
        yield machine.writing(config, spool_root(config, log), spool=on_kafka)
        if on_kafka:
            yield from machine.signing(config)
    if isinstance(address, KafkaLog):
        yield from _kafka(address, config, role, timeout_s)


def _kafka(log: KafkaLog, config: Config, role: str, timeout_s: float) -> Iterator[Finding]:
    from wattlake_contracts.kafkalog.security import connection

    try:
        keywords = connection(log, config.kafka)
    except WattlakeError as error:
        yield failed(CONNECTION, error.subject or "[kafka]", error.what, error.next_step)
        yield not_tried("all else", str(log), "files, names or passwords are missing")
        return
    probe = BrokerProbe(config.kafka, keywords, timeout_s)
    yield from probe.own()
    well: set[str] = set()
    yield from _each(probe, log.servers, well)
    if not well:
        yield not_tried(topics.TOPICS, str(log), "no broker can be used")
        return
    # clients are sent on to where the brokers say that they are, which may be somewhere else
    others = sorted(probe.advertised - set(log.servers))
    yield from _each(probe, others, well)
    if away := [server for server in others if server not in well]:
        yield failed(CLUSTER, ", ".join(away), "the brokers send clients to addresses that cannot be used from here",
                     "see advertised.listeners of the brokers, and this machine's way to them")
    if not probe.advertised & well:
        yield not_tried(topics.TOPICS, str(log), "no broker can be used where it says it is")
        return
    yield from _topics(KafkaLog(tuple(sorted(probe.advertised & well))), config, role)


def _each(probe: BrokerProbe, servers: Iterable[str], well: set[str]) -> Iterator[Finding]:
    """Probe brokers; those of which nothing failed come into `well`."""
    for server in servers:
        found = list(probe.probe(server))
        yield from found
        # who it is may be of no concern to it; that it is Kafka is never
        if any(f.probe == KAFKA and f.state == OK for f in found) and not any(f.state == FAILED for f in found):
            well.add(server)


def _topics(log: KafkaLog, config: Config, role: str) -> Iterator[Finding]:
    from wattlake_agents.log.brokers import brokers

    try:
        with brokers(log, config.kafka) as cluster:
            yield from topics.probe(cluster, config.kafka, role)
    except WattlakeError as error:
        yield failed(CLUSTER, error.subject, error.what, "see the brokers' logs: each of them could be reached by itself")
