"""A broker that is frozen for long, and one that is away longer than a producer is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

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
    shown, complaint = agent.status()
    assert shown["state"] == "unhealthy"
    assert "it sends nothing" in complaint
    assert shown["connections_made_anew"] >= 1, "a producer that hears nothing is given up"
    assert shown["backlog_records"] >= FROZEN_S * 0.7
    broker.thaw()
    here.alive()

    broker.kill()
    time.sleep(STUCK_S + 5)
    assert agent.status()[0]["shipping"] == "cannot ship"
    broker.restart(120)
    here.alive()
    assert agent.status()[0]["state"] == "healthy"
    here.settle()
