"""Records that come a week late, twice and in any order, when upkeep has long been at what they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until, until_live
from lakes import dump, rows, run
from oracles import check_conserved, latest_ms
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from worlds import HOUR, T0, Told, shuffled, write

DAYS = 8


def day(number: int, node: str) -> list[Told]:
    """A node's records of a day, one each six hours, with the jobs and the counter that go on from the day before."""
    told = []
    for part in range(4):
        seq, start = 8 * number + 2 * part, T0 + (24 * number + 6 * part) * HOUR
        readings = [{"node": node, "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": start + minute * 60_000,
                     "energy_mj": 1_000_000 * ((24 * number + 6 * part) * 60 + minute), "method": "counter", "boundary": "component", "simulated": False}
                    for minute in range(0, 360, 30)]
        job = {"job": f"j{number}-{part}", "node": node, "start_ms": start + HOUR // 2, "end_ms": start + 2 * HOUR, "model": "m", "phase": "train"}
        told += [Told("readings", tuple(readings), node, "boot", seq, start + 6 * HOUR), Told("jobs", (job,), node, "boot", seq + 1, start + 6 * HOUR)]
    return told


@pytest.mark.slow
def test_what_comes_a_week_late_twice_and_shuffled_is_as_if_it_had_come_in_time(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                               tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=3)
    here, lake = world(topics), tmp_path / "lake"
    in_time = [told for number in range(DAYS) for node in ("n1", "n2") for told in day(number, node) if number or node == "n2"]
    late, fresh = day(0, "n1"), day(DAYS, "n1")
    spools = [write(tmp_path / "in-time", in_time), write(tmp_path / "late", shuffled(late, 1)), write(tmp_path / "fresh", fresh)]
    run(tmp_path / "expected", write(tmp_path / "all", in_time + late + fresh), shipped=True)
    topics.ship(spools[0])
    run(lake, topics.source(), shipped=True)
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
    before = rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy WHERE node = 'n1'")
    topics.ship(spools[1])
    topics.ship(write(tmp_path / "again", shuffled(in_time + 2 * late, 2), partitions=3))
    run(lake, topics.source(), shipped=True, pieces=3)
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy WHERE node = 'n1'") > before
    here.follower.start()
    until(lambda: "following:" in here.follower.says(), "it follows", 120)
    topics.ship(spools[2])
    until_live(lambda: latest_ms(lake, "n1") == fresh[-2].rows[-1]["ts_ms"], "what comes in time again landed")
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    assert dump(lake) == dump(tmp_path / "expected")
    check_conserved(lake, topics, spools, tmp_path)
