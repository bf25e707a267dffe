"""Three brokers of which two must have a record: one may die, two may not, and nothing is lost either way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from at_work import until
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka


@pytest.mark.slow
def test_one_of_three_brokers_may_die_and_two_lose_nothing(own_kafka: Callable[..., Kafka], topic_prefix: str, world: Callable[..., Any]) -> None:
    kafka = own_kafka(brokers=3)
    one, two, _ = kafka.brokers
    here = world(Topics(kafka.address, topic_prefix, replication=3))
    agent = here.agent()
    here.follow()
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
