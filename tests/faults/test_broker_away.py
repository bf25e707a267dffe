"""A broker that is frozen for long, and one that is away longer than a producer is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from at_work import until
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka

STUCK_S = 10
FROZEN_S = 45


@pytest.mark.slow
def test_a_broker_that_is_frozen_and_one_that_is_long_away_lose_nothing(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                        world: Callable[..., Any]) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    here = world(Topics(kafka.address, topic_prefix), {"WATTLAKE_KAFKA_STUCK_S": str(STUCK_S)})
    agent = here.agent()
    here.follow()

    broker.freeze()
    time.sleep(FROZEN_S)
    until(lambda: "it sends nothing" in agent.status()[1], "an agent that sends nothing says so")
    shown, _ = agent.status()
    assert shown["state"] == "unhealthy"
    assert shown["connections_made_anew"] >= 1, "a producer that hears nothing is given up"
    assert shown["backlog_records"] >= FROZEN_S * 0.3, "a record each second, on a machine that has time for it"
    broker.thaw()
    here.alive()

    broker.kill()
    time.sleep(STUCK_S + 5)
    until(lambda: agent.status()[0]["shipping"] == "cannot ship", "what cannot be shipped is told")
    broker.restart(120)
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")
    here.settle()
