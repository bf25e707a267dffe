"""What the topics of a log on Kafka hold now, and which of them cannot be landed from."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.plain_words import of_code, plainly
from wattlake_pipelines.land.kafka_offsets import offsets
from wattlake_pipelines.land.kafka_partition import KafkaPartition
from wattlake_pipelines.land.source import Withheld

#: Codes of Kafka's protocol (protocol guide, "Error codes"): there is no such topic; one may not even look at it.
_UNKNOWN, _DENIED = 3, 29
_CONNECT_S = 2.0
#: What any broker knows is asked so often, for the client may choose one that is down; next time it chooses another.
_TRIES, _BETWEEN_S = 4, 0.3


@dataclass(frozen=True)
class Extent:
    """What a partition of a topic holds: offsets [first, end). topic: without prefix. generation: the topic's id."""

    topic: str
    generation: str
    number: int
    first: int
    end: int


class Held(NamedTuple):
    """What a log on Kafka holds. cluster: the cluster's id. withheld: the topics and partitions that are not among the extents, and why.

    unled: of these partitions the ones that no leader answers for.
    """

    cluster: str
    extents: list[Extent]
    withheld: tuple[Withheld, ...]
    unled: tuple[KafkaPartition, ...]


def extents(log: KafkaLog, config: KafkaConfig) -> Held:
    """The partitions of the topics that this principal may read, as far as they have a leader that answers.

    WattlakeError if no broker answers, or there is nothing that may be read now. Messages of a transaction that is still open, and all
    after them, are not there yet.
    """
    from kafka import TopicPartition

    with _asked(log, config) as admin:
        cluster = str(_of_any(admin.describe_cluster)["cluster_id"])
        described = _described(admin, config, TOPICS)
        withheld = [w for w in (_withheld(topic, config) for topic in described) if w is not None]
        if len(withheld) == len(described):
            raise _nothing(log, described, withheld)
        left_out = {w.subject for w in withheld}
        generation = {t["name"]: str(t["topic_id"]) for t in described if t["name"] not in left_out}
        told = offsets(admin, {TopicPartition(t["name"], p["partition_index"]): p["leader_id"]
                               for t in described if t["name"] in generation for p in t["partitions"]})
    if told.untold and not told.held:
        raise away(log) if not anyone_listens(log.servers) else WattlakeError(
            "none of its partitions can be read now: " + next(iter(told.untold.values())), subject=str(log), next_step=_BROKERS_UP)
    withheld += [Withheld(f"{place.topic} partition {place.partition}", why, _BROKERS_UP) for place, why in sorted(told.untold.items())]
    return Held(cluster, [Extent(place.topic.removeprefix(config.prefix), generation[place.topic], place.partition, first, end)
                          for place, (first, end) in sorted(told.held.items())], tuple(withheld),
                tuple(KafkaPartition(place.topic.removeprefix(config.prefix), place.partition, generation[place.topic]) for place in sorted(told.untold)))


_BROKERS_UP = "see that all brokers are up; what waits there is landed once a leader answers"


def leader_listens(log: KafkaLog, config: KafkaConfig, topic: str, number: int) -> bool:
    """Whether a partition has a leader to which one can connect. topic: without prefix. WattlakeError if no broker can say."""
    with _asked(log, config) as admin:
        [described] = _described(admin, config, [topic])
        brokers = {b["broker_id"]: f"{b['host']}:{b['port']}" for b in _of_any(admin.describe_cluster)["brokers"]}
    leader = next((p["leader_id"] for p in described["partitions"] if p["partition_index"] == number), -1)
    return leader in brokers and anyone_listens([brokers[leader]])


def generations(log: KafkaLog, config: KafkaConfig, topics: Sequence[str]) -> dict[str, str]:
    """Topic, without prefix → its id now; those that are not there have none. WattlakeError if no broker answers."""
    with _asked(log, config) as admin:
        described = _described(admin, config, topics)
    return {t["name"].removeprefix(config.prefix): str(t["topic_id"]) for t in described if not t.get("error_code")}


def away(log: KafkaLog, error: Exception | None = None) -> WattlakeError:
    """What is told when the brokers do not answer."""
    why = "" if error is None else f": {plainly(error)}"
    return WattlakeError(f"no broker answers{why}", subject=str(log),
                         next_step="`wattlake doctor --role pipelines` tells which it is: that they are down, or the address, a certificate or the password")


def anyone_listens(servers: Sequence[str]) -> bool:
    """Whether a broker, or at least its machine's kernel, takes a connection at any of these HOST:PORT."""
    for server in servers:
        host, _, port = server.rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    return False


def _described(admin: Any, config: KafkaConfig, topics: Sequence[str]) -> list[dict[str, Any]]:
    """What the brokers say of topics, given without prefix."""
    found: list[dict[str, Any]] = _of_any(lambda: admin.describe_topics([config.prefix + topic for topic in topics]))
    return found


def _of_any(ask: Callable[[], Any]) -> Any:
    """What any broker can answer."""
    from kafka.errors import KafkaConnectionError

    for _ in range(_TRIES - 1):
        with suppress(KafkaConnectionError):
            return ask()
        time.sleep(_BETWEEN_S)
    return ask()


@contextmanager
def _asked(log: KafkaLog, config: KafkaConfig) -> Iterator[Any]:
    """A client to ask the brokers with. WattlakeError for whatever kafka-python raises."""
    from kafka import KafkaAdminClient
    from kafka.errors import AuthorizationError, KafkaError

    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        admin = KafkaAdminClient(**connection(log, config))
    except KafkaError as error:
        raise away(log, error) from error
    try:
        yield admin
    except AuthorizationError as error:
        # taken back between two questions; next time it is known of which topic
        raise WattlakeError(f"may not be read: {plainly(error)}", subject=str(log), next_step="run the same command again") from error
    except KafkaError as error:
        raise away(log, error) from error
    finally:
        admin.close()


def _withheld(topic: Mapping[str, Any], config: KafkaConfig) -> Withheld | None:
    """Why a topic cannot be landed from, if it cannot."""
    code, name = topic.get("error_code"), str(topic["name"])
    if code == _UNKNOWN:
        return Withheld(name, "there is no such topic", "make it with `wattlake log init`")
    # who may see a topic and not read it would wait for messages that never come; it may be read where the brokers do not say
    rights = topic.get("authorized_operations")
    if code == _DENIED or (not code and rights and "READ" not in rights):
        who = config.username if config.security_protocol == "SASL_SSL" else "PRINCIPAL"
        lacks = "neither DESCRIBE nor READ is granted" if code == _DENIED else "READ is not granted"
        return Withheld(name, f"may not be read: {lacks} to {config.username or 'this principal'}",
                        f"have an administrator run `wattlake log grant {who} --may read`")
    if code:
        return Withheld(name, f"the brokers do not tell where it is: {of_code(code)}", "see that all brokers are up")
    return None


def _nothing(log: KafkaLog, described: Sequence[Mapping[str, Any]], withheld: Sequence[Withheld]) -> WattlakeError:
    """What is told where there is nothing to land from."""
    codes = {t.get("error_code") for t in described}
    if codes == {_UNKNOWN}:
        return WattlakeError(f"there is no topic {withheld[0].subject} or any other of Wattlake's", subject=str(log),
                             next_step="make them with `wattlake log init`")
    first = next((w for w in withheld if "may not" in w.why), withheld[0])
    return WattlakeError(f"{first.why}: {', '.join(w.subject for w in withheld)}", subject=str(log), next_step=first.next_step)
