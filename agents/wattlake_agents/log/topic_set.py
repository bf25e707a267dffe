"""What the topics of a log should be like, and how those that are there differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattlake_agents.log.brokers import Topic
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kinds import TOPICS

#: What the lake cannot be made again without: small, and kept for ever.
KEPT = ("reference", "nodes")
#: Room for a record's key and headers, and for the batch around it.
ENVELOPE_BYTES = 64 * 1024
DAY_MS = 86_400_000
FOR_EVER = -1

RETENTION, SIZE, IN_SYNC = "retention.ms", "max.message.bytes", "min.insync.replicas"
TIMESTAMP, COMPRESSION, CLEANUP, RETENTION_BYTES = "message.timestamp.type", "compression.type", "cleanup.policy", "retention.bytes"
UNCLEAN = "unclean.leader.election.enable"
SETTINGS = (RETENTION, SIZE, IN_SYNC, TIMESTAMP, COMPRESSION, CLEANUP, RETENTION_BYTES, UNCLEAN)


@dataclass(frozen=True)
class Asked:
    """What was asked for; None: the default, which is then the least that is taken of a topic that is there."""

    partitions: int | None = None
    replication: int | None = None
    retention_days: float | None = None

    PARTITIONS, RETENTION_DAYS = 6, 7.0


@dataclass(frozen=True)
class Wanted:
    """What one topic should be like. settings: its configuration in Kafka's names. exactly: what more is no better of, by name."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]
    exactly: frozenset[str] = frozenset()


@dataclass
class Difference:
    """Something of a topic that is not as wanted.

    name: a setting in Kafka's name, `partitions` or `replication`. there, wanted: in words. fixed: why it cannot be changed here.
    value: what a setting is to be set to. unread: this principal may not read what is there, which may be as wanted.
    """

    name: str
    there: str
    wanted: str
    fixed: str = ""
    value: str = ""
    unread: bool = False

    def __str__(self) -> str:
        return f"{self.name} is {self.there}, wanted {self.wanted}" + (f" ({self.fixed})" if self.fixed else "")


@dataclass
class Finding:
    """One topic: how it stands. state: one of those in making."""

    wanted: Wanted
    state: str
    there: Topic | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    problem: str = ""


def topic_set(config: KafkaConfig, asked: Asked, brokers: int) -> list[Wanted]:
    """Every topic of a log. brokers: how many there are; a partition is kept on three of them, or on all where there are fewer."""
    replication = asked.replication if asked.replication is not None else max(1, min(3, brokers))
    partitions = asked.partitions if asked.partitions is not None else Asked.PARTITIONS
    days = asked.retention_days if asked.retention_days is not None else Asked.RETENTION_DAYS
    said = {"partitions": asked.partitions, "replication": asked.replication, RETENTION: asked.retention_days}
    exactly = frozenset(name for name, value in said.items() if value is not None)
    found = []
    for topic in TOPICS:
        kept = topic in KEPT
        settings = {
            RETENTION: str(FOR_EVER if kept or days == FOR_EVER else round(days * DAY_MS)),
            SIZE: str(config.max_record_bytes + ENVELOPE_BYTES),
            # one broker may be away, and what was acknowledged is on two
            IN_SYNC: "2" if replication >= 3 else "1",
            # by the writers' time an import of old data would be deleted at once
            TIMESTAMP: "LogAppendTime",
            COMPRESSION: "producer",
            CLEANUP: "delete",
            # a topic that drops by size drops what nobody has landed yet
            RETENTION_BYTES: str(FOR_EVER),
            # a leader that lacks the latest records would take the end of the log with it, though it was acknowledged
            UNCLEAN: "false",
        }
        found.append(Wanted(config.prefix + topic, partitions, replication, settings, exactly))
    return found


def differences(wanted: Wanted, there: Topic, settings: Mapping[str, str]) -> list[Difference]:
    """What is not as wanted. Without having been asked for, more partitions, copies, days or bytes than wanted are as good."""
    found = []
    count = len(there.partitions)
    if count < wanted.partitions:
        found.append(Difference("partitions", str(count), str(wanted.partitions)))
    elif count > wanted.partitions and "partitions" in wanted.exactly:
        found.append(Difference("partitions", str(count), str(wanted.partitions), "a topic never gets fewer"))
    if there.replication < wanted.replication or (there.replication > wanted.replication and "replication" in wanted.exactly):
        found.append(Difference("replication", str(there.replication), str(wanted.replication), "move its partitions with Kafka's own tools"))
    # by the copies that there are: with more demanded than that, nothing could be written at all
    needed = {**wanted.settings, IN_SYNC: "2" if there.replication >= 3 else "1"}
    if unknown := [name for name in needed if name not in settings]:
        found.append(Difference("/".join(unknown) if settings else "configuration", "not known", "to be checked",
                                "this principal may not read it: it needs DESCRIBE_CONFIGS", unread=True))
    for name, value in needed.items():
        given = settings.get(name)
        if given is not None and (not _enough(name, given, value, exactly=name in wanted.exactly) or (name == IN_SYNC and int(given) > there.replication)):
            found.append(Difference(name, _shown(name, given), _shown(name, value), value=value))
    return found


def _enough(name: str, given: str, wanted: str, *, exactly: bool) -> bool:
    if exactly or name in (TIMESTAMP, COMPRESSION, CLEANUP, UNCLEAN):
        return given == wanted
    if name in (RETENTION, RETENTION_BYTES):
        return given == str(FOR_EVER) or (wanted != str(FOR_EVER) and int(given) >= int(wanted))
    return int(given) >= int(wanted)


def days(value: str | None) -> float | None:
    """retention.ms as days; -1 for ever, None where it is not known."""
    if value is None:
        return None
    return FOR_EVER if value == str(FOR_EVER) else round(int(value) / DAY_MS, 6)


def days_text(value: str | None) -> str | None:
    """retention.ms in words."""
    found = days(value)
    return None if found is None else "for ever" if found == FOR_EVER else f"{found:g} d"


def _shown(name: str, value: str) -> str:
    return f"{value} ({days_text(value)})" if name == RETENTION else value
