"""All probes, in order: each stands on those before it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wattlake_agents.doctor import machine, topics
from wattlake_agents.doctor.broker import BrokerProbe
from wattlake_agents.doctor.finding import FAILED, Finding, failed, not_tried, ok
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
    well = []
    for server in log.servers:
        found = list(probe.probe(server))
        yield from found
        if not any(f.state == FAILED for f in found):
            well.append(server)
    if not well:
        yield not_tried(topics.TOPICS, str(log), "no broker can be used")
        return
    yield from _cluster(KafkaLog(tuple(well)), log, config, probe, role)


def _cluster(well: KafkaLog, log: KafkaLog, config: Config, probe: BrokerProbe, role: str) -> Iterator[Finding]:
    from wattlake_agents.log.brokers import brokers

    try:
        with brokers(well, config.kafka) as cluster:
            # clients are sent on to where the brokers say they are, which may be somewhere else
            others = [s for s in (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for _, host, port in cluster.live()) if s not in log.servers]
            amiss = False
            for server in others:
                for finding in probe.probe(server):
                    amiss = amiss or finding.state == FAILED
                    yield finding
            if amiss:
                yield failed(CLUSTER, ", ".join(others), "the brokers send clients to addresses that cannot be used from here",
                             "see advertised.listeners of the brokers")
            yield from topics.probe(cluster, config.kafka, role)
    except WattlakeError as error:
        yield failed(CLUSTER, error.subject, error.what, "see advertised.listeners of the brokers, and their logs: each could be reached by itself")
