"""What comes through Kafka and is landed and accounted for on a real Flink: the facts of the file log, by work that is spread."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from at_work import Follower, until
from job_server import steps_of
from lakes import dump, rows, run
from logs import Log
from topics import Topics
from wattlake_pipelines.dev.flink import Flink
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate

pytestmark = pytest.mark.slow

T0 = 1_760_000_000_000
SHARDS, PIECES, ROUND_BYTES = 4, 4, 2**28


def test_a_fleet_has_the_same_facts_from_the_file_log_from_kafka_and_on_flink_where_the_work_is_spread(
        kafka: Kafka, flink: Flink, topic_prefix: str, tmp_path: Path) -> None:
    log, topics, job = tmp_path / "log", Topics(kafka.address, topic_prefix), f"fleet-{uuid4().hex[:8]}"
    simulate(log, Options(nodes=6, days=0.05, seed=13))
    assert topics.ship(shutil.copytree(log, tmp_path / "to-ship")) > 100
    ranges = topics.source().plan({}, ROUND_BYTES, PIECES)
    assert len(ranges) > 2 * PIECES

    run(tmp_path / "file", log, shipped=True)
    run(tmp_path / "kafka", topics.source(), shipped=True)
    accounted = run(tmp_path / "flink", topics.source(), shards=SHARDS, pieces=PIECES, round_bytes=ROUND_BYTES, shipped=True,
                    options=(*flink.options, f"--job_name={job}"))

    facts = dump(tmp_path / "file")
    assert dump(tmp_path / "kafka") == facts
    assert dump(tmp_path / "flink") == facts
    assert rows(tmp_path / "flink", "SELECT count(*) > 100 FROM lake.fact_energy") == [(True,)]
    for lake in ("file", "kafka", "flink"):
        assert rows(tmp_path / lake, "FROM lake.rejects") == []
    assert rows(tmp_path / "flink", "SELECT count(DISTINCT shard) FROM lake.files WHERE table_name = 'raw_readings'") == [(SHARDS,)]

    # a job's metrics are written when it has ended
    until(lambda: len(steps_of(flink, job)) == 2, "Flink kept what its metrics say of both jobs", 120)
    landing, accounting = steps_of(flink, job)
    for steps, step, elements in ((landing, "{Ranges, Read}", len(ranges)), (landing, "[1]Write", SHARDS + 1),
                                  (accounting, "{Work, Account}", accounted.elements)):
        [spread] = [given for name, given in steps.items() if step in name]
        assert sum(spread) == elements, (step, steps)
        assert len(spread) == flink.parallelism > 1
        assert min(spread) > 0, f"each subtask was given some of {step}: {steps}"


def test_a_follower_on_flink_ends_with_the_round_that_is_under_way(kafka: Kafka, flink: Flink, topic_prefix: str, tmp_path: Path) -> None:
    topics, log, lake = Topics(kafka.address, topic_prefix), Log(tmp_path / "log"), tmp_path / "lake"

    def send(first: int) -> None:
        for i in range(first, first + 10):
            log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")
        topics.ship(log.root)

    send(0)
    follower = Follower(lake, kafka.address, {"WATTLAKE_KAFKA_PREFIX": topic_prefix}, beam=flink.options)
    follower.start()
    try:
        until(lambda: "10 rows of 10 records" in follower.said.read_text(), "the first round is over", 300)
        send(10)
        until(lambda: any((lake / "staging").iterdir()), "the second round is under way", 120)
        assert follower.stop(300) == 0, follower.said.read_text()[-3000:]
    finally:
        follower.end()
    assert "stopped: 20 rows of 20 records in 2 rounds, 0 rejected, 0 rounds failed" in follower.said.read_text()
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(5000 * 19,)]
    assert not list((lake / "staging").iterdir())
