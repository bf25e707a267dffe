"""Clocks that step, partitions that are idle, and two machines that take each other's name."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until, until_live
from lakes import dump, rows, run
from logs import Log
from oracles import check_alive, check_conserved, latest_ms, seen
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.kafka_topics import extents

T0 = 1_760_000_000_000
HOUR = 3_600_000


def fed(topics: Topics) -> int:
    """How many partitions of readings have anything."""
    return sum(1 for each in extents(topics.log, topics.config).extents if each.topic == "readings" and each.end)


@pytest.mark.slow
def test_records_of_clocks_that_step_are_landed_and_instants_that_cannot_be_are_rejected(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                        tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=6)
    here, log = world(topics), Log(tmp_path / "log")

    def read(ts_ms: int, energy_mj: int, node: str = "n1", appended_ms: int = T0) -> None:
        row = {"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": ts_ms, "energy_mj": energy_mj}
        log.put("readings", [row], node=node, appended_ms=appended_ms)

    def lands(what: str, ts_ms: int, node: str = "n1") -> None:
        topics.ship(log.root)
        until_live(lambda: latest_ms(here.lake, node) == ts_ms, what)

    # when its writer believes it was written: right, an hour off, in 1970, and in nanoseconds
    clocks = [T0, T0 - HOUR, T0 + HOUR, 5_000, 0, T0 * 1_000_000]
    for number in range(60):
        read(T0 + 1000 * number, 500 * number, appended_ms=clocks[number % len(clocks)] or 1)
        if number == 20:  # rounds of landing between, with five idle partitions
            topics.ship(log.root)
            here.follow()
        if number in (20, 44):
            lands("what clocks that step wrote", T0 + 1000 * number)
    lands("what clocks that step wrote", T0 + 59_000)
    assert fed(topics) == 1
    run(tmp_path / "in time", log.root, shipped=True)
    for ts_ms in (5_000, T0 * 1_000_000, T0 * 1_000):
        read(ts_ms, 10**9)
    # by a partition that was idle all the while
    read(T0 + 30_000, 0, "n2")
    lands("what is fresh, behind instants that cannot be", T0 + 30_000, "n2")
    assert fed(topics) == 2
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    assert rows(here.lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(59 * 500,)]
    assert dump(here.lake) == dump(tmp_path / "in time")
    assert rows(here.lake, "SELECT max(watermark_ms) FROM lake.commits") == [(T0 + 59_000,)], "a wrong clock does not move the end of the data"
    assert len(rows(here.lake, "SELECT reason FROM lake.rejects WHERE seq >= 60 AND reason LIKE '%ts_ms%'")) == 3
    # what a clock in 1970 wrote down tells of what has not happened yet by that clock: it is not believed, and that is told
    check_conserved(here.lake, topics, [log.root], tmp_path, rejected=20 + 3)


@pytest.mark.slow
def test_no_clock_is_so_wrong_that_a_topic_of_the_writers_times_refuses_a_record(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                wrong_clock: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, configs={
        "message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"})
    here = world(topics)
    # one day after the beginning of 1970, and ten years ahead
    agents = [here.agent(node, environment={"LD_PRELOAD": str(wrong_clock), "WRONG_CLOCK_S": str(wrong_by_s)})
              for node, wrong_by_s in (("n1", 86_400 - int(time.time())), ("n2", 10 * 365 * 86_400))]
    for agent in agents:
        until(lambda: (agent.status()[0].get("records_acknowledged") or 0) > 5, "its records are taken", 120)  # noqa: B023
        shown, _ = agent.status()
        assert (shown["records_refused"], shown["shipping_error"]) == (0, None)
    assert agents[0].status()[0]["last_acknowledged"].startswith("1970-01-02"), "the clock is wrong"
    # beside them one whose clock is right: theirs hold it up nowhere
    here.agent("n3")
    here.follow()
    check_alive([here.lake], ["n3"])
    here.stop()
    run(here.lake, topics.source(), shipped=True)
    [(rejected,)] = rows(here.lake, "SELECT count(*) FROM lake.rejects")
    check_conserved(here.lake, topics, [agent.spool for agent in here.agents], here.folder, rejected=int(str(rejected)))
    assert {node for node, _, _ in seen(here.lake)} == {"n1", "n2", "n3"}


@pytest.mark.slow
def test_machines_of_one_image_under_one_name_both_keep_their_records(kafka: Kafka, topic_prefix: str, world: Callable[..., Any]) -> None:
    here = world(Topics(kafka.address, topic_prefix))
    # both read the same machine's id and the same boot's id
    clones = [here.agent("n1", name=name) for name in ("clone-a", "clone-b")]
    here.follow()
    here.alive()
    assert len({clone.beat()["boot"] for clone in clones}) == 2
    here.settle()
    assert rows(here.lake, "SELECT count(DISTINCT boot) FROM lake.raw_readings WHERE node = 'n1'") == [(2,)]
