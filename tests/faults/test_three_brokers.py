"""Three brokers of which two must have a record: partitions move between them, one may die, two may not, and nothing is lost either way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition

from at_work import until
from topics import Topics
from wattlake_contracts.kinds import TOPICS
from wattlake_pipelines.dev.kafka import Kafka


def move(topics: Topics, replicas: list[int]) -> None:
    """Give all partitions of the topics to these brokers, the first one as their leader, and wait until they have all of them."""
    names = [topics.prefix + name for name in TOPICS]

    def told(what: str) -> list[Any]:
        return [partition[what] for topic in admin.describe_topics(names) for partition in topic["partitions"]]

    with topics.admin() as admin:
        places = [TopicPartition(topic["name"], partition["partition_index"]) for topic in admin.describe_topics(names) for partition in topic["partitions"]]
        assert admin.alter_partition_reassignments(dict.fromkeys(places, replicas)) == dict.fromkeys(places)
        until(lambda: not admin.list_partition_reassignments() and all(held == replicas for held in told("replica_nodes")), f"all moves to {replicas}", 120)
        admin.elect_leaders(0, {name: [place.partition for place in places if place.topic == name] for name in names}, raise_errors=False)
        until(lambda: set(told("leader_id")) == {replicas[0]}, "the first one leads")


@pytest.mark.slow
def test_partitions_move_between_three_brokers_of_which_one_may_die_and_two_lose_nothing(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                                        world: Callable[..., Any]) -> None:
    kafka = own_kafka(brokers=3)
    one, two, _ = kafka.brokers
    here = world(Topics(kafka.address, topic_prefix, replication=3))
    agent = here.agent()
    here.follow()
    here.alive()

    # to two of them, to two others, and back to all
    for replicas in ([2, 3], [3, 1], [1, 2, 3]):
        move(here.topics, replicas)
        here.alive()

    one.kill()
    here.alive()

    two.kill()
    # what was on its way has come by then
    until(lambda: "it sends nothing" in agent.status()[1], "an agent that sends nothing says so")
    before = agent.status()[0]
    acked = before["records_acknowledged"]
    assert acked > 0
    until(lambda: agent.status()[0]["backlog_records"] >= before["backlog_records"] + 5, "it reads on")
    shown, complaint = agent.status()
    assert shown["records_acknowledged"] == acked, "one broker alone acknowledges nothing"
    assert shown["state"] == "unhealthy"
    assert f"records wait): {shown['shipping_error']}" in complaint or shown["shipping_error"] is None
    assert 'cause="sends_nothing",node="n1"} 1' in agent.metrics() or 'node="n1",cause="sends_nothing"} 1' in agent.metrics()

    for broker in (one, two):
        broker.start()
    kafka.wait_until_ready(120)
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")
    here.settle()
