"""Asking Kafka's brokers about topics: kafka-python's admin client, its answers in this project's terms."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.plain_words import of_code, plainly, without_classes

#: A cluster that is there answers within this, also while it elects a leader.
_BOOTSTRAP_MS = 10_000
#: Codes of Kafka's protocol (protocol guide, "Error codes").
UNKNOWN_TOPIC, NOT_ALLOWED = 3, 29


@dataclass(frozen=True)
class Partition:
    """One partition of a topic. leader: -1 if it has none now. replicas, in_sync: how many brokers should have it, and have it."""

    number: int
    leader: int
    replicas: int
    in_sync: int


@dataclass(frozen=True)
class Topic:
    """What the brokers say of a topic. rights: what this principal may do, e.g. READ, WRITE, DESCRIBE. error: a code of Kafka's, 0 if it is there."""

    name: str
    error: int
    generation: str
    partitions: tuple[Partition, ...]
    rights: frozenset[str]

    @property
    def there(self) -> bool:
        """Whether it exists, and this principal may see it."""
        return not self.error

    @property
    def replication(self) -> int:
        """On how many brokers each partition should be; the least of them where they differ."""
        return min((p.replicas for p in self.partitions), default=0)


class Brokers:
    """A connection to a cluster. Raises WattlakeError for whatever kafka-python raises."""

    def __init__(self, admin: Any, log: KafkaLog) -> None:
        self._admin, self._log = admin, log

    def registered(self) -> int:
        """How many brokers the cluster has, those that are down now among them (where it tells of those: from Kafka 4 on)."""
        with told(self._log):
            return len(self._admin.describe_cluster()["brokers"])

    def topics(self, names: Sequence[str]) -> list[Topic]:
        """Those topics, in that order."""
        with told(self._log):
            found = {t["name"]: t for t in self._admin.describe_topics(list(names))}
        return [_topic(name, found[name]) for name in names]

    def settings(self, names: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Settings by topic; a topic whose settings this principal may not read has none."""
        from kafka.admin import ConfigResource

        with told(self._log):
            found = self._admin.describe_configs([ConfigResource("topic", name, list(keys)) for name in names], config_filter="all")
        topics = found.get("topic", {})
        return {name: {key: str(value["value"]) for key, value in topics.get(name, {}).items()} for name in names}

    def offsets(self, topics: Sequence[Topic]) -> dict[tuple[str, int], tuple[int, int]]:
        """(first offset, end offset) by topic and partition; a partition without a leader has none now."""
        from kafka import TopicPartition
        from kafka.admin import OffsetSpec

        wanted = [TopicPartition(t.name, p.number) for t in topics for p in t.partitions if p.leader >= 0]
        if not wanted:
            return {}
        with told(self._log):
            first, end = (self._admin.list_partition_offsets(dict.fromkeys(wanted, spec)) for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST))
        return {(w.topic, w.partition): (first[w].offset, end[w].offset) for w in wanted}

    def create(self, topics: Mapping[str, Mapping[str, Any]], *, dry_run: bool = False) -> dict[str, str]:
        """Make topics; why not, by name of those that could not be made. topics: as kafka-python takes them."""
        with told(self._log):
            found = self._admin.create_topics({name: dict(what) for name, what in topics.items()}, raise_errors=False, validate_only=dry_run)["topics"]
        return {t["name"]: t["error_message"] or of_code(t["error_code"]) for t in found if t["error_code"]}

    def set(self, name: str, settings: Mapping[str, str]) -> str:
        """Change settings of a topic; why not, or ''."""
        from kafka.admin import ConfigResource

        with told(self._log):
            said: str = self._admin.alter_configs([ConfigResource("topic", name, dict(settings))])["topic"][name]
        return "" if said == "OK" else without_classes(said)

    def widen(self, name: str, partitions: int) -> str:
        """Give a topic more partitions; why not, or ''."""
        with told(self._log):
            [result] = self._admin.create_partitions({name: partitions}, raise_errors=False).results
        return str(result.error_message or of_code(result.error_code)) if result.error_code else ""

    def allow(self, principal: str, rights: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Give a principal rights on topics, from any host; why not, by (topic, right) of those that were refused. rights: (topic, e.g. WRITE)."""
        from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

        acls = {ACL(principal, "*", ACLOperation[right], ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, topic)): (topic, right)
                for topic, right in rights}
        with told(self._log):
            result = self._admin.create_acls(list(acls))
        # which of several errors is which right's is not told
        why = ", ".join(sorted({of_code(error.errno) for error in result["failed"]}))
        return {what: why for acl, what in acls.items() if acl not in result["succeeded"]}

    def disallow(self, principal: str, rights: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Take rights on topics back that `allow` gives; by (topic, right) why not, or '' where there was none. rights: (topic, e.g. WRITE)."""
        from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourcePatternFilter, ResourceType
        from kafka.admin import ACLResourcePatternType as PatternType

        def of(topic: str | None, operation: Any) -> Any:
            pattern = ResourcePattern(ResourceType.TOPIC, topic) if topic else ResourcePatternFilter(ResourceType.TOPIC, None, PatternType.LITERAL)
            return ACLFilter(principal, "*", operation, ACLPermissionType.ALLOW, pattern)

        with told(self._log):
            results = self._admin.delete_acls([of(topic, ACLOperation[right]) for topic, right in rights])
            # kafka-python does not tell which of those that were found could not be deleted
            there, _ = self._admin.describe_acls(of(None, ACLOperation.ANY)) if any(found for _, found, _ in results) else ((), None)
        still = {(acl.resource_pattern.resource_name, acl.operation.name) for acl in there}
        return {what: of_code(error.errno) if error.errno else "it is still there" if what in still else ""
                for what, (_, found, error) in zip(rights, results, strict=True) if error.errno or what in still or not found}

    def set_password(self, user: str, mechanism: str, password: str) -> str:
        """Make a SCRAM user, or give one another password; why not, or ''. The password itself is not sent, only what it is checked with."""
        from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

        with told(self._log):
            said = self._admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramMechanism[mechanism.replace("-", "_")], password)])
        return str(said.get(user) or "")

    def has_password(self, user: str) -> bool | None:
        """Whether the brokers keep a SCRAM password of a user; None where this principal may not ask, or the cluster does not know the question."""
        from kafka.errors import KafkaError

        try:
            found = self._admin.describe_user_scram_credentials([user])
        except KafkaError:
            return None
        return bool(found.get(user, {}).get("credential_infos"))


@contextmanager
def told(log: KafkaLog) -> Iterator[None]:
    """What kafka-python raises, as a WattlakeError."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise WattlakeError(f"the brokers do not do it: {getattr(error, 'description', '') or plainly(error)}"[:500], subject=str(log),
                            next_step="see `wattlake doctor`") from error


def _topic(name: str, found: Mapping[str, Any]) -> Topic:
    partitions = sorted((Partition(p["partition_index"], p["leader_id"], len(p["replica_nodes"]), len(p["isr_nodes"])) for p in found["partitions"]),
                        key=lambda p: p.number)
    return Topic(name, int(found["error_code"]), str(found.get("topic_id") or ""), tuple(partitions), frozenset(found.get("authorized_operations") or ()))


@contextmanager
def brokers(log: KafkaLog, config: KafkaConfig) -> Iterator[Brokers]:
    """Connect. WattlakeError if no broker answers, UsageError if a file that the configuration names cannot be read."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    # what kafka-python says in its own words is for its developers
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    keywords = {**connection(log, config), "bootstrap_timeout_ms": _BOOTSTRAP_MS}
    try:
        admin = KafkaAdminClient(**keywords)
    except (KafkaError, OSError, ValueError) as error:
        # a wrong password, an unknown authority and a broker that is down all come as the same timeout
        raise WattlakeError(f"no broker answers: {plainly(error)}", subject=str(log),
                            next_step="`wattlake doctor` tells which it is: that they are down, or the address, a certificate or the password") from error
    try:
        yield Brokers(admin, log)
    finally:
        admin.close()
