"""Partitions that are added to a topic of a real Kafka are landed from their first record on, and what they lose before that is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from at_work import until
from lakes import rows, run
from logs import Log, payload
from topics import Topics
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.log_address import KafkaLog
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land import kafka_source
from wattlake_pipelines.land.kafka_partition import KafkaPartition
from wattlake_pipelines.land.kafka_source import GapError
from wattlake_pipelines.land.kafka_topics import Held

T0 = 1_760_000_000_000
ENERGY = "SELECT node, sum(energy_mj)::BIGINT FROM lake.fact_energy GROUP BY node ORDER BY node"


def readings(log: Log, count: int, node: str = "n1") -> None:
    for i in range(count):
        log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node=node)


def landed(lake: Path) -> list[tuple[object, ...]]:
    """(node, its readings, the first of them)."""
    return rows(lake, "SELECT node, count(*), min(ts_ms) FROM lake.raw_readings GROUP BY node ORDER BY node")


def of_readings(topics: Topics) -> list[str]:
    """The names of the partitions that the readings' topic has now."""
    return [name for name in topics.source().ends() if KafkaPartition.named(name).topic == "readings"]


def test_partitions_that_are_added_are_landed(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix)
    log = Log(tmp_path / "log")
    readings(log, 5)
    topics.ship(tmp_path / "log")
    run(tmp_path / "lake", topics.source())
    with topics.admin() as admin:
        admin.create_partitions({topics.prefix + "readings": 5})
    for i in range(12):
        readings(log, 3, node=f"m{i}")
    topics.ship(tmp_path / "log")
    run(tmp_path / "lake", topics.source())
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.raw_readings") == [(41,)]
    used = rows(tmp_path / "lake", "SELECT count(*) FROM lake.log_positions WHERE partition LIKE 'readings/%' AND next_offset > 0")[0][0]
    assert int(str(used)) > 2


def positions(lake: Path, topic: str) -> dict[int, int]:
    """Number of each partition of a topic → its offset that is landed next."""
    found = rows(lake, f"SELECT partition, next_offset FROM lake.log_positions WHERE partition LIKE '{topic}/%'")
    return {KafkaPartition.named(str(name)).number: int(str(offset)) for name, offset in found}


def with_a_partition_added(topics: Topics, lake: Path, tmp_path: Path) -> None:
    """Five readings of n1 are landed from a topic of one partition; it gets another, and that six readings of n2, which nobody lands."""
    readings(Log(tmp_path / "log"), 5)
    topics.ship(tmp_path / "log")
    run(lake, topics.source())
    assert positions(lake, "readings") == {0: 5}
    with topics.admin() as admin:
        admin.create_partitions({topics.prefix + "readings": 2})
    until(lambda: len(of_readings(topics)) == 2, "it is there", 30)
    sent = [payload("readings", [{"node": "n2", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 70 * i}]) for i in range(6)]
    topics.send("readings", [(b"n2", body, [("content-type", content_type.encode())]) for body, content_type in sent], partition=1)


def test_what_an_added_partition_drops_before_anyone_landed_from_it_is_a_gap(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics, lake = Topics(kafka.address, topic_prefix, partitions=1), tmp_path / "lake"
    with_a_partition_added(topics, lake, tmp_path)
    topics.drop_before("readings", 1, 4)
    for _ in range(2):
        with pytest.raises(GapError, match=r"offsets 0 to 4 \(4 records\) are gone") as told:
            run(lake, topics.source())
        assert "readings partition 1" in str(told.value)
        assert "--accept-gap" in str(told.value)
    assert landed(lake) == [("n1", 5, T0)]
    assert positions(lake, "readings") == {0: 5}

    run(lake, topics.source(accept_gap=True), pieces=2)
    assert landed(lake) == [("n1", 5, T0), ("n2", 2, T0 + 4000)]
    assert rows(lake, ENERGY) == [("n1", 20_000), ("n2", 70)]
    [(place, reason)] = rows(lake, "SELECT place, reason FROM lake.rejects")
    assert str(place).startswith("readings/1@")
    assert str(place).endswith(" offset 0")
    assert str(reason).startswith("4 records lost: dropped by the log before landing")
    assert positions(lake, "readings") == {0: 5, 1: 6}

    run(lake, topics.source())
    assert landed(lake) == [("n1", 5, T0), ("n2", 2, T0 + 4000)]
    assert len(rows(lake, "FROM lake.rejects")) == 1, "it is told once"


@pytest.mark.slow
def test_an_added_partition_that_has_lost_nothing_is_landed_as_a_whole(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics, lake = Topics(kafka.address, topic_prefix, partitions=1), tmp_path / "lake"
    with_a_partition_added(topics, lake, tmp_path)
    run(lake, topics.source())
    assert rows(lake, ENERGY) == [("n1", 20_000), ("n2", 350)]
    assert landed(lake) == [("n1", 5, T0), ("n2", 6, T0)]
    assert rows(lake, "FROM lake.rejects") == []
    assert positions(lake, "readings") == {0: 5, 1: 6}


def test_a_partition_that_may_have_been_there_at_the_first_landing_begins_where_it_begins(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics, lake = Topics(kafka.address, topic_prefix, partitions=1), tmp_path / "lake"
    with_a_partition_added(topics, lake, tmp_path)
    topics.drop_before("readings", 0, 2)
    topics.drop_before("readings", 1, 4)
    first, second = of_readings(topics)

    def planned(stands: Mapping[str, int], number: int) -> tuple[int, int, int]:
        [part] = [part for part in topics.source().plan(stands, 2**30) if part.topic == "readings" and part.number == number]
        return part.start, part.end, part.gone

    # it had no leader then, and one with a higher number had
    assert planned({second: 4}, 0) == (2, 5, 0)
    # the topic was another one of that name, which had fewer partitions, or it is new to the lake
    for stands in ({KafkaPartition("readings", 0, "another").name: 5}, {KafkaPartition("jobs", 0, KafkaPartition.named(first).generation).name: 5}, {}):
        assert planned(stands, 0) == (2, 5, 0)
        assert planned(stands, 1) == (4, 6, 0)
    # one that has no leader now is among those that were landed from all the same
    higher = KafkaPartition("readings", 7, KafkaPartition.named(first).generation).name
    assert planned({first: 5, higher: 1}, 1) == (4, 6, 0)
    with pytest.raises(GapError, match="offsets 0 to 4"):
        planned({first: 5}, 1)


@pytest.mark.slow
def test_an_added_partition_that_had_no_leader_when_a_higher_one_was_booked_is_expected_from_its_first_record_too(
        kafka: Kafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topics, lake = Topics(kafka.address, topic_prefix, partitions=1), tmp_path / "lake"
    with_a_partition_added(topics, lake, tmp_path)
    with topics.admin() as admin:
        admin.create_partitions({topics.prefix + "readings": 3})
    until(lambda: len(of_readings(topics)) == 3, "it is there", 30)
    real = kafka_source.extents

    def without_a_leader(log: KafkaLog, config: KafkaConfig) -> Held:
        """What is told while the broker that leads partition 1 is away."""
        told = real(log, config)
        [away] = [each for each in told.extents if (each.topic, each.number) == ("readings", 1)]
        return told._replace(extents=[each for each in told.extents if each is not away],
                             unled=(KafkaPartition(away.topic, away.number, away.generation),))

    with monkeypatch.context() as while_away:
        while_away.setattr(kafka_source, "extents", without_a_leader)
        for _ in range(2):
            run(lake, topics.source())
            assert positions(lake, "readings") == {0: 5, 1: 0, 2: 0}
    topics.drop_before("readings", 1, 4)
    with pytest.raises(GapError, match=r"offsets 0 to 4 \(4 records\) are gone"):
        run(lake, topics.source())
