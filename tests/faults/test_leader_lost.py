"""Partitions that nobody leads, for the one broker that holds them is down: all others are landed, and those follow when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from at_work import LIVE_S, WATTLAKE, until, until_live
from lakes import rows
from oracles import check_kept
from topics import Topics
from wattlake_contracts.errors import INCOMPLETE, WattlakeError
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_warehouse.lake import open_lake

T0 = 1_760_000_000_000
PARTITIONS = 6


def job(number: int, name: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    return b"n1", f'{{"job":"{name}","node":"p{number}","start_ms":{T0},"end_ms":{T0 + 1000}}}'.encode(), []


def send(topics: Topics, name: str, numbers: set[int]) -> None:
    for number in numbers:
        topics.send("jobs", [job(number, f"{name}-{i}") for i in range(3)], number)


def leaders(topics: Topics) -> dict[int, int]:
    with topics.admin() as admin:
        [told] = admin.describe_topics([topics.prefix + "jobs"])
    return {p["partition_index"]: p["leader_id"] for p in told["partitions"]}


def is_given_up(topics: Topics, number: int) -> bool:
    try:
        return leaders(topics)[number] < 0
    except KafkaConnectionError:  # it was the dead one that was asked
        return False


def landed(lake: Path, name: str) -> set[int]:
    """The partitions from which all jobs of this name are in the lake; read beside the committer."""
    with open_lake(lake) as connection:
        found = connection.execute("SELECT node FROM raw_jobs WHERE job LIKE ? GROUP BY node HAVING count(*) = 3", [f"{name}-%"]).fetchall()
    return {int(str(node)[1:]) for (node,) in found}


@pytest.mark.slow
def test_what_others_lead_lands_while_a_broker_is_down_and_the_rest_when_it_is_back(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                                    world: Callable[..., Any]) -> None:
    kafka = own_kafka(brokers=3)
    topics = Topics(kafka.address, topic_prefix, partitions=PARTITIONS, replication=1)
    here = world(topics)
    led, every = leaders(topics), set(range(PARTITIONS))
    dead = {number for number, leader in led.items() if leader == 2}
    alive = every - dead
    assert dead
    assert len({led[number] for number in alive}) == 2
    send(topics, "before", every)
    here.follow()
    follower = here.follower
    until(lambda: landed(here.lake, "before") == every, "all lands")
    [planned] = [part for part in topics.source().plan({}, 2**30) if part.topic == "jobs" and part.number == min(dead)]

    # what the one that dies has and nobody has landed yet
    follower.process.send_signal(signal.SIGSTOP)
    send(topics, "meanwhile", every)
    kafka.brokers[1].kill()
    send(topics, "without", alive)
    follower.process.send_signal(signal.SIGCONT)
    until_live(lambda: landed(here.lake, "meanwhile") == landed(here.lake, "without") == alive, "what others lead lands")
    until(lambda: is_given_up(topics, min(dead)), "the dead one is given up")

    # one that reads from it as it dies does not wait a minute
    began = time.monotonic()
    with pytest.raises(WattlakeError, match="no broker that leads it answers any more, since offset 0"):
        list(planned.read())
    assert time.monotonic() - began < LIVE_S

    other = here.folder / "other"
    once = subprocess.run([WATTLAKE, "land", "--log", kafka.address, "--lake", str(other)], cwd=here.folder, capture_output=True, text=True, timeout=300,
                          env={**{k: v for k, v in os.environ.items() if not k.startswith("WATTLAKE_")}, "HOME": str(here.folder), **here.environment})
    assert once.returncode == INCOMPLETE, once.stderr
    assert once.stderr.count("no broker that leads it answers; the rest is landed without them\n  next: see that all brokers are up") == 1, once.stderr
    assert all((f"{topic_prefix}jobs partition {number}" in once.stderr) == (number in dead) for number in every)
    assert landed(other, "without") == landed(other, "meanwhile") == alive
    assert landed(other, "before") == alive

    send(topics, "still", alive)
    until_live(lambda: landed(here.lake, "still") == alive, "it goes on")
    said = follower.said.read_text()
    assert said.count("no broker that leads it answers; the rest is landed without them") == 1, "told once, with all partitions in it"
    kafka.brokers[1].start()
    kafka.wait_until_ready(120)
    until(lambda: all(f"{topic_prefix}jobs partition {number}" in follower.said.read_text().rpartition("landed from again")[0].rpartition("wattlake: ")[2]
                      for number in dead), "it says that it lands from there again")
    send(topics, "after", every)
    until_live(lambda: landed(here.lake, "after") == every, "all lands")
    assert follower.stop() == 0, "a gap would have ended it: " + follower.said.read_text()[-3000:]
    counts = "SELECT node, count(*), count(DISTINCT job) FROM lake.raw_jobs GROUP BY node ORDER BY node"
    assert rows(here.lake, counts) == [(f"p{number}", each, each) for number in sorted(every) for each in [3 * (5 if number in alive else 3)]]
    assert rows(here.lake, "FROM lake.rejects") == []
    check_kept(here.lake, topics, here.folder)
