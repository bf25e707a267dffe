"""Agents and the follower killed with -9 again and again, at any instant, while three partitions are fed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from at_work import until
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.kafka_topics import extents

KILLS = 15


@pytest.mark.slow
def test_agents_and_follower_killed_again_and_again_land_all_once(kafka: Kafka, topic_prefix: str, world: Callable[..., Any]) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=3)
    here = world(topics)
    # their names go to three partitions
    agents = [here.agent(node) for node in ("n1", "n3", "n4")]
    here.follow()
    chance, ended, killed = random.Random(11), threading.Event(), 0

    def kill_agents() -> None:
        nonlocal killed
        while not ended.is_set() or killed < KILLS:
            for agent in agents:
                time.sleep(chance.uniform(0.5, 2))
                agent.kill()
                agent.start()
                killed += 1

    killer = threading.Thread(target=kill_agents)
    killer.start()
    try:
        # while it starts, reads, writes, commits
        for _ in range(KILLS):
            time.sleep(random.Random(KILLS).uniform(0.5, 1) + chance.uniform(0, 6))
            here.follower.kill()
            here.follower.start()
    finally:
        ended.set()
        killer.join()
    assert killed >= KILLS
    # the faults stop once what was killed runs again: Python alone starts for long where others start too
    until(lambda: "following:" in here.follower.says(), "it follows", 120)
    here.alive()
    here.settle()
    fed = [e for e in extents(topics.log, topics.config)[1] if e.topic == "readings" and e.end]
    assert len(fed) == 3
