"""Topics that change below agents that ship and a follower that lands: one is deleted and made anew, and partitions are added."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until
from lakes import run
from oracles import accepted, check_conserved, seen
from topics import Topics
from wattlake_contracts.filelog.cursor import CURSOR
from wattlake_contracts.kafkalog.claim import LOCK
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.status import status
from wattlake_pipelines.land.kafka_source import extents

TOPIC = "readings"


@pytest.mark.slow
def test_partitions_are_added_while_agents_ship(kafka: Kafka, topic_prefix: str, world: Callable[..., Any]) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    here = world(topics)
    for node in ("n1", "n3", "n4"):
        here.agent(node)
    here.follow()
    with topics.admin() as admin:
        admin.create_partitions({topics.prefix + name: 4 for name in (TOPIC, "nodes")})
    # a producer hears of new partitions when it asks the next time, minutes later, or when it is made anew
    agents = list(here.agents)
    agents[0].kill()
    agents[0].start()
    here.alive()
    here.settle()
    fed = {e.number for e in extents(topics.log, topics.config)[1] if e.topic == TOPIC and e.end}
    assert len(fed) > 1


@pytest.mark.slow
def test_a_topic_that_is_deleted_and_made_anew_stops_nothing_and_what_went_with_it_is_told(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                           tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix)
    here = world(topics)
    agent = here.agent()
    here.follow()
    here.alive()
    assert here.follower.stop() == 0
    # what is acknowledged from here on is on the topic and not in the lake, and goes with it
    until(lambda: len(accepted([agent.spool]) - seen(here.lake)) > agent.status()[0]["backlog_records"] + 1, "records are acknowledged that nobody lands")
    topics.delete(TOPIC)
    until(lambda: agent.status()[0]["shipping_error"], "an agent says that it cannot ship")
    here.follower.start()
    until(lambda: "following:" in here.follower.says(), "it lands again", 120)
    topics.create(TOPIC)
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")
    assert agent.stop() == 0
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    topics.ship(agent.spool)
    run(here.lake, topics.source(), shipped=True)
    found, numbers = seen(here.lake), sorted(seq for _, _, seq in accepted([agent.spool]) - seen(here.lake))
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "what was acknowledged last before the topic went, and nothing else"
    [told] = [remark for remark in status(here.lake)[2] if "missing" in remark]
    assert told.startswith(f"{len(numbers)} records are missing between those that landed (n1: {len(numbers)})")

    # all that is left comes a second time, to the topic that is there now: that mends it
    copy = shutil.copytree(agent.spool, tmp_path / "again", ignore=shutil.ignore_patterns(CURSOR, LOCK))
    assert topics.ship(copy) == len(found) + len(numbers)
    run(here.lake, topics.source(), shipped=True)
    assert not [remark for remark in status(here.lake)[2] if "missing" in remark]
    check_conserved(here.lake, topics, [agent.spool], tmp_path)
