"""Probing the topics: whether they are there, what this principal may do, and how large a record they take."""

from __future__ import annotations

from collections.abc import Iterator

from wattlake_agents.doctor.finding import Finding, failed, not_tried, ok
from wattlake_agents.log.brokers import UNKNOWN_TOPIC, Brokers, Topic
from wattlake_agents.log.topic_set import SIZE
from wattlake_contracts.amount import amount
from wattlake_contracts.config import LEAST_RECORD_BYTES, KafkaConfig
from wattlake_contracts.kinds import TOPICS as NAMES

TOPICS, RIGHTS, LIMIT = "topics", "rights", "record size"
#: What a principal needs by what it is for, and what `log grant` calls that.
NEEDED = {"agent": ("WRITE", "write"), "pipelines": ("READ", "read")}
#: A record's key, headers and batch, beside its payload.
_ENVELOPE_BYTES = 4096


def probe(cluster: Brokers, config: KafkaConfig, role: str) -> Iterator[Finding]:
    """role: a key of NEEDED."""
    right, may = NEEDED[role]
    who = config.username if config.security_protocol == "SASL_SSL" else "PRINCIPAL"
    grant = f"as an administrator: wattlake log grant {who} --may {may}"
    topics = cluster.topics([config.prefix + name for name in NAMES])
    there = [t for t in topics if t.there]
    all_of_them = f"{config.prefix}*"
    if missing := [t.name for t in topics if t.error == UNKNOWN_TOPIC]:
        yield failed(TOPICS, all_of_them, f"not there: {', '.join(missing)}", "wattlake log init")
    if hidden := [t.name for t in topics if t.error not in (0, UNKNOWN_TOPIC)]:
        yield failed(TOPICS, all_of_them, f"this principal may not see (DESCRIBE), or they are not there: {', '.join(hidden)}", grant)
    if leaderless := [t.name for t in there if any(p.leader < 0 for p in t.partitions)]:
        yield failed(TOPICS, all_of_them, f"partitions without a leader: {', '.join(leaderless)}", "start the brokers that are down")
    if not (missing or hidden or leaderless):
        yield ok(TOPICS, all_of_them, f"all {len(topics)} are there")
    if not there:
        for what in (RIGHTS, LIMIT):
            yield not_tried(what, all_of_them, "there is no topic to be seen")
        return
    if lacking := [t.name for t in there if right not in t.rights]:
        yield failed(RIGHTS, all_of_them, f"this principal may not {may} (it lacks {right}): {', '.join(lacking)}", grant)
    else:
        yield ok(RIGHTS, all_of_them, f"{right} and DESCRIBE on {amount(len(there), 'topic')}")
    if role == "agent":
        yield from _limits(cluster, config, there)


def _limits(cluster: Brokers, config: KafkaConfig, there: list[Topic]) -> Iterator[Finding]:
    said = {name: int(settings[SIZE]) for name, settings in cluster.settings([t.name for t in there], [SIZE]).items() if SIZE in settings}
    if not said:
        yield not_tried(LIMIT, f"{config.prefix}*", "this principal may not read the topics' settings (DESCRIBE_CONFIGS), and does not have to")
        return
    small = {name: limit for name, limit in said.items() if limit < config.max_record_bytes + _ENVELOPE_BYTES}
    for name, limit in small.items():
        fitting = limit - _ENVELOPE_BYTES
        yield failed(LIMIT, name, f"takes {limit} bytes, and kafka.max_record_bytes is {config.max_record_bytes}",
                     "`wattlake log init --alter`" + (f", or set kafka.max_record_bytes to {fitting}" if fitting >= LEAST_RECORD_BYTES else ""))
    if not small:
        yield ok(LIMIT, f"{config.prefix}*", f"at least {min(said.values())} bytes, for records of up to {config.max_record_bytes}")
