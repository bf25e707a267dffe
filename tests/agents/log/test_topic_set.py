"""What the topics of a log should be like, and what of those that are there is good enough."""

from __future__ import annotations

from typing import Any

import pytest

from wattlake_agents.log.brokers import Partition, Topic
from wattlake_agents.log.topic_set import IN_SYNC, RETENTION, SIZE, Asked, Wanted, differences, topic_set
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kinds import TOPICS

DAY = 86_400_000


def wanted(name: str = "readings", brokers: int = 3, **asked: Any) -> Wanted:
    return next(w for w in topic_set(KafkaConfig(), Asked(**asked), brokers) if w.name == f"wattlake.{name}")


def there(partitions: int = 6, replication: int = 3) -> Topic:
    return Topic("wattlake.readings", 0, "id", tuple(Partition(n, 1, replication, replication) for n in range(partitions)), frozenset())


def amiss(want: Wanted, topic: Topic, **settings: str) -> dict[str, str]:
    """Differences by name, of a topic with the wanted settings but those given (with _ for . in their names)."""
    given = {**want.settings, **{name.replace("_", "."): value for name, value in settings.items()}}
    return {d.name: d.there for d in differences(want, topic, given)}


def test_every_topic_has_its_settings() -> None:
    found = topic_set(KafkaConfig(prefix="x.", max_record_bytes=500_000), Asked(), 3)
    assert [w.name for w in found] == [f"x.{t}" for t in TOPICS]
    for w in found:
        assert (w.partitions, w.replication) == (6, 3)
        assert w.settings[SIZE] == str(500_000 + 65_536)
        assert w.settings["message.timestamp.type"] == "LogAppendTime"
        assert w.settings["cleanup.policy"] == "delete"
        assert w.settings["compression.type"] == "producer"
        assert w.settings[IN_SYNC] == "2"
        kept = w.name in ("x.reference", "x.nodes")
        assert w.settings[RETENTION] == ("-1" if kept else str(7 * DAY))
        assert w.settings["retention.bytes"] == "-1"
        assert w.settings["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(("brokers", "replication", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (5, 3, "2")])
def test_copies_are_as_many_as_there_are_brokers_and_at_most_three(brokers: int, replication: int, in_sync: str) -> None:
    w = wanted(brokers=brokers)
    assert (w.replication, w.settings[IN_SYNC]) == (replication, in_sync)


def test_what_is_as_wanted_differs_in_nothing() -> None:
    assert amiss(wanted(), there()) == {}


def test_more_than_the_default_is_as_good_and_what_was_asked_for_is_exact() -> None:
    many = there(partitions=12)
    assert amiss(wanted(), many, retention_ms=str(30 * DAY), max_message_bytes="9000000") == {}
    asked = amiss(wanted(partitions=6, retention_days=7.0), many, retention_ms=str(30 * DAY))
    assert asked == {"partitions": "12", RETENTION: f"{30 * DAY} (30 d)"}


def test_fewer_partitions_can_be_mended_and_more_cannot() -> None:
    [few] = differences(wanted(partitions=8), there(6), wanted().settings)
    [many] = differences(wanted(partitions=4), there(6), wanted().settings)
    assert few.fixed == ""
    assert many.fixed == "a topic never gets fewer"


def test_data_that_is_to_stay_for_ever_may_not_expire_in_a_thousand_years() -> None:
    assert amiss(wanted("nodes"), there(), retention_ms=str(365_000 * DAY)) == {RETENTION: f"{365_000 * DAY} (365000 d)"}
    assert amiss(wanted("nodes", retention_days=2.0), there()) == {}
    assert amiss(wanted("nodes"), there(), retention_bytes="1000") == {"retention.bytes": "1000"}


def test_acknowledgements_by_more_brokers_than_there_are_copies_are_amiss() -> None:
    # otherwise nothing could be written, and mending min.insync.replicas to 2 would bring that about
    single = there(replication=1)
    assert amiss(wanted(), single, min_insync_replicas="1") == {"replication": "1"}
    assert amiss(wanted(), single, min_insync_replicas="2") == {"replication": "1", IN_SYNC: "2"}
    mended = next(d for d in differences(wanted(), single, {**wanted().settings, IN_SYNC: "2"}) if d.name == IN_SYNC)
    assert mended.value == "1"


@pytest.mark.parametrize(("name", "value"), [("message_timestamp_type", "CreateTime"), ("cleanup_policy", "compact"), ("compression_type", "gzip"),
                                             ("max_message_bytes", "1000"), ("retention_ms", str(DAY)), ("min_insync_replicas", "1"),
                                             ("retention_bytes", "1000000"), ("unclean_leader_election_enable", "true")])
def test_a_setting_that_loses_or_refuses_data_is_told(name: str, value: str) -> None:
    assert amiss(wanted(), there(), **{name: value}).keys() == {name.replace("_", ".")}


def test_settings_that_may_not_be_read_are_not_taken_for_good() -> None:
    [found] = differences(wanted(), there(), {})
    assert str(found) == "configuration is not known, wanted to be checked (this principal may not read it: it needs DESCRIBE_CONFIGS)"
