"""Landing from a real Kafka: the books are those of the file log, and what is not there is told."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from at_work import until
from lakes import dump, rows, run
from logs import Log
from topics import Topics
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.kafkalog import outbox
from wattlake_contracts.record import JSON
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.kafka_consumer import consumer_for
from wattlake_pipelines.land.kafka_partition import KafkaPartition
from wattlake_pipelines.land.kafka_source import GapError, KafkaRange, KafkaSource
from wattlake_pipelines.land.kafka_topics import extents
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate

T0 = 1_760_000_000_000


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    return Topics(kafka.address, topic_prefix)


def readings(log: Log, count: int, node: str = "n1", start: int = 0) -> None:
    for i in range(start, start + count):
        log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node=node)


def landed(lake: Path) -> int:
    found = rows(lake, "SELECT count(*) FROM lake.raw_readings")[0][0]
    assert isinstance(found, int)
    return found


def test_a_fleet_has_the_same_facts_from_kafka_as_from_the_file_log(topics: Topics, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulate(log, Options(nodes=3, days=0.05, seed=11))
    sent = topics.ship(log.rename(tmp_path / "to-ship"))
    simulate(log, Options(nodes=3, days=0.05, seed=11))
    assert sent > 100
    run(tmp_path / "a", log, shipped=True)
    run(tmp_path / "b", topics.source(), shards=2, pieces=3, round_bytes=2**20, shipped=True)
    assert dump(tmp_path / "a") == dump(tmp_path / "b")
    assert landed(tmp_path / "a") == landed(tmp_path / "b") > 1000
    assert rows(tmp_path / "b", "FROM lake.rejects") == []
    again = run(tmp_path / "b", topics.source())
    assert again.elements == 0


def test_what_is_shipped_twice_and_shuffled_counts_once(topics: Topics, tmp_path: Path) -> None:
    for part in "ab":
        log = Log(tmp_path / part)
        order = list(range(20))
        random.Random(part).shuffle(order)
        for i in order:
            log.put("readings", [{"node": "n1", "device": "gpu0", "ts_ms": T0 + 1000 * i, "energy_mj": 10 * i}], node="n1", seq=i)
        topics.ship(tmp_path / part)
    run(tmp_path / "lake", topics.source(), pieces=4)
    assert landed(tmp_path / "lake") == 20
    assert rows(tmp_path / "lake", "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(190,)]


def test_records_that_are_gone_before_they_were_landed_stop_landing_with_the_exact_gap(topics: Topics, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    readings(log, 10)
    topics.ship(tmp_path / "log")
    lake = tmp_path / "lake"
    run(lake, topics.source())
    [(partition, stood)] = rows(lake, "SELECT partition, next_offset FROM lake.log_positions WHERE partition LIKE 'readings/%' AND next_offset > 0")
    number = KafkaPartition.named(str(partition)).number
    assert stood == 10
    readings(log, 10, start=10)
    topics.ship(tmp_path / "log")
    topics.drop_before("readings", number, 14)
    with pytest.raises(GapError, match=r"offsets 10 to 14 \(4 records\) are gone") as told:
        run(lake, topics.source())
    assert f"partition {number}" in str(told.value)
    assert "--accept-gap" in str(told.value)
    assert landed(lake) == 10
    run(lake, topics.source(accept_gap=True))
    assert landed(lake) == 16
    [(place, reason)] = rows(lake, "SELECT place, reason FROM lake.rejects")
    assert place == f"{partition} offset 10"
    assert str(reason).startswith("4 records lost")
    run(lake, topics.source())
    assert landed(lake) == 16


def test_a_new_lake_begins_with_what_a_topic_still_holds(topics: Topics, tmp_path: Path) -> None:
    readings(Log(tmp_path / "log"), 10)
    topics.ship(tmp_path / "log")
    [number] = [e.number for e in extents(topics.log, topics.config)[1] if e.topic == "readings" and e.end]
    topics.drop_before("readings", number, 3)
    run(tmp_path / "lake", topics.source())
    assert landed(tmp_path / "lake") == 7


def test_a_topic_that_is_made_anew_goes_on_without_a_stop(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log")
    readings(log, 10)
    topics.ship(tmp_path / "log")
    lake = tmp_path / "lake"
    run(lake, topics.source())
    topics.delete("readings")
    monkeypatch.setattr(outbox, "PATIENCE_S", 3.0)
    readings(log, 1, start=10)
    with pytest.raises(WattlakeError, match="1 record could not be shipped"):
        topics.ship(tmp_path / "log")
    topics.create("readings")
    readings(log, 2, start=11)
    topics.ship(tmp_path / "log")
    run(lake, topics.source())
    assert landed(lake) == 13
    names = rows(lake, "SELECT partition FROM lake.log_positions WHERE partition LIKE 'readings/%'")
    assert len({KafkaPartition.named(str(name)).generation for (name,) in names}) == 2


class MadeAnew(KafkaSource):
    """A log of which the readings' topic is deleted and made anew between the plan of a round and its reading."""

    def __init__(self, topics: Topics, make_anew: Callable[[], None]) -> None:
        super().__init__(topics.log, topics.config)
        self._make_anew = make_anew

    def plan(self, positions: Mapping[str, int], max_bytes: int, pieces: int = 1, upto: Mapping[str, int] | None = None) -> list[KafkaRange]:
        found = super().plan(positions, max_bytes, pieces, upto)
        self._make_anew()
        return found


def test_what_a_topic_holds_that_was_made_anew_since_the_plan_is_not_landed_as_the_old_ones(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    readings(Log(tmp_path / "old"), 10)
    topics.ship(tmp_path / "old")

    def make_anew() -> None:
        topics.delete("readings")
        topics.create("readings")
        readings(Log(tmp_path / "new"), 12, node="n2")
        topics.ship(tmp_path / "new")

    lake = tmp_path / "lake"
    with pytest.raises(WattlakeError, match="deleted or made anew while it was read"):
        run(lake, MadeAnew(topics, make_anew))
    assert landed(lake) == 0
    assert rows(lake, "FROM lake.log_positions") == []
    run(lake, topics.source())
    assert rows(lake, "SELECT node, count(*) FROM lake.raw_readings GROUP BY ALL") == [("n2", 12)]


@pytest.mark.slow
def test_a_partition_that_has_lost_its_end_stops_landing_until_that_is_accepted(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    topics, log, lake = Topics(kafka.address, topic_prefix, partitions=1), Log(tmp_path / "log"), tmp_path / "lake"

    def more(count: int, start: int) -> None:
        readings(log, count, start=start)
        topics.ship(log.root)

    def plain(*at: int) -> None:
        row = {"node": "n9", "device": "cpu0", "workload": "w"}
        topics.send("usage", [(b"n9", json.dumps([{**row, "ts_ms": T0 + 1000 * i, "usage_ms": i}]).encode(), []) for i in at])

    more(10, 0)
    plain(0)
    broker.stop()
    shutil.copytree(broker.data, tmp_path / "copy")
    broker.restart(120)
    more(5, 10)
    plain(1, 2)
    run(lake, topics.source())
    assert landed(lake) == 15
    assert rows(lake, "SELECT count(*) FROM lake.raw_usage") == [(3,)]

    broker.stop()
    shutil.rmtree(broker.data)
    (tmp_path / "copy").rename(broker.data)
    broker.restart(120)
    more(2, 15)
    plain(3)
    for _ in range(2):
        with pytest.raises(GapError, match="ends at offset 12, and was landed up to 15 already") as told:
            run(lake, topics.source())
        assert "readings partition 0" in str(told.value)
        assert "--accept-gap" in str(told.value)
    assert landed(lake) == 15

    run(lake, topics.source(accept_gap=True))
    (place, reason), (other, _) = rows(lake, "SELECT place, reason FROM lake.rejects ORDER BY place")
    assert str(place).endswith("offset 12")
    assert str(other).startswith("usage/")
    assert "ended at 12 and had been landed up to 15" in str(reason)
    assert rows(lake, "SELECT next_offset FROM lake.log_positions WHERE partition LIKE 'readings/%'") == [(12,)]
    more(3, 17)
    plain(4)
    run(lake, topics.source())
    assert landed(lake) == 18
    assert rows(lake, "SELECT usage_ms FROM lake.raw_usage ORDER BY ALL") == [(0,), (1,), (2,), (4,)], "what has only its place for a name is taken there anew"
    assert len(rows(lake, "FROM lake.rejects")) == 2


def test_what_an_idle_partition_drops_before_it_is_landed_for_the_first_time_is_a_gap(topics: Topics, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    run(lake, topics.source())
    log = Log(tmp_path / "log")
    readings(log, 5)
    topics.ship(log.root)
    [number] = [part.number for part in topics.source().plan({}, 2**30) if part.topic == "readings" and part.end]
    topics.drop_before("readings", number, 3)
    with pytest.raises(GapError, match=r"offsets 0 to 3 \(3 records\) are gone"):
        run(lake, topics.source())
    run(lake, topics.source(accept_gap=True))
    assert landed(lake) == 2


def test_a_consumer_that_was_let_in_with_what_is_renewed_is_not_lent_again(topics: Topics, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("one")
    config, servers = msgspec.structs.replace(topics.config, password_file=str(password)), tuple(topics.log.servers)
    with consumer_for(servers, config) as first:
        pass
    with consumer_for(servers, config) as again:
        assert again is first
    password.write_text("another")
    with consumer_for(servers, config) as fresh:
        assert fresh is not first
    with consumer_for(servers, config) as again:
        assert again is fresh


def test_transactions_of_others_are_no_gaps_and_what_they_took_back_is_not_landed(topics: Topics, tmp_path: Path) -> None:
    def job(name: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        return b"n1", f'{{"job":"{name}","node":"n1","start_ms":{T0},"end_ms":{T0 + 1000}}}'.encode(), [("content-type", JSON.encode())]

    topics.send("jobs", [job("kept-1")], transaction=topics.prefix + "a")
    topics.send("jobs", [job("taken-back")], transaction=topics.prefix + "b", abort=True)
    topics.send("jobs", [job("kept-2")])
    lake = tmp_path / "lake"
    for _ in range(2):
        run(lake, topics.source(), pieces=3)
        assert rows(lake, "SELECT job FROM lake.raw_jobs ORDER BY job") == [("kept-1",), ("kept-2",)]
    assert rows(lake, "FROM lake.rejects") == []
    # two records and two marks of transactions, and the one that was taken back
    assert rows(lake, "SELECT next_offset FROM lake.log_positions WHERE partition LIKE 'jobs/0@%'") == [(5,)]


def test_offsets_that_hold_nothing_but_what_was_taken_back_are_not_waited_for(topics: Topics, tmp_path: Path) -> None:
    topics.send("jobs", [(b"n1", b'{"job":"never","node":"n1"}', [])], transaction=topics.prefix + "a", abort=True)
    began = time.monotonic()
    run(tmp_path / "lake", topics.source())
    assert time.monotonic() - began < 60, "a broker that is silent is waited for as long"
    assert rows(tmp_path / "lake", "SELECT next_offset FROM lake.log_positions WHERE partition LIKE 'jobs/0@%'") == [(2,)]


@pytest.mark.slow
def test_what_a_compacted_topic_has_cleaned_away_is_no_gap(topics: Topics, tmp_path: Path) -> None:
    def job(name: str, key: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        return key.encode(), f'{{"job":"{name}","node":"{key}","start_ms":{T0},"end_ms":{T0 + 1000}}}'.encode(), [("content-type", JSON.encode())]

    def left() -> list[int]:
        return [item.offset for part in topics.source().plan({}, 2**30) if part.partition.startswith("jobs/0@") for item in part.read()]

    name = topics.prefix + "jobs"
    with topics.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={
            "cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "500",
            "message.timestamp.type": "LogAppendTime"})])
    lake = tmp_path / "lake"
    topics.send("jobs", [job(f"landed-{i}", "n1") for i in range(3)])
    run(lake, topics.source())
    # the next ones stand where the lake goes on, and are gone before it does
    topics.send("jobs", [job(f"replaced-{i}", "n1") for i in range(20)], transaction=topics.prefix + "a")
    topics.send("jobs", [job("last-of-n1", "n1"), job("only-of-n2", "n2")])

    def cleaned() -> bool:
        # what is written last stands in a segment that is never cleaned: another one is begun after it
        time.sleep(0.3)
        topics.send("jobs", [job("beat", "n3")])
        return not set(range(24)) & set(left())

    until(lambda: cleaned() or time.sleep(1), "the broker cleans", 180)
    # a broker that gives nothing for a minute fails a round; offsets that hold nothing do not
    for where, known in ((lake, 3), (tmp_path / "anew", 0)):
        run(where, topics.source(), pieces=3)
        jobs = [str(name) for (name,) in rows(where, "SELECT job FROM lake.raw_jobs ORDER BY job")]
        assert [name for name in jobs if name != "beat"] == [*(f"landed-{i}" for i in range(known)), "last-of-n1", "only-of-n2"]
        assert rows(where, "FROM lake.rejects") == []
        [(stands,)] = rows(where, "SELECT next_offset FROM lake.log_positions WHERE partition LIKE 'jobs/0@%'")
        assert [stands] == [e.end for e in extents(topics.log, topics.config)[1] if (e.topic, e.number) == ("jobs", 0)]


def test_what_makes_no_record_is_rejected_with_its_place_and_stops_nothing(topics: Topics, tmp_path: Path) -> None:
    good = (b"n1", b'{"job":"j","node":"n1","start_ms":%d,"end_ms":%d}' % (T0, T0 + 1000), [])
    poison: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (b"k", None, []), (None, b"", []), (b"k", b"\xff\xfe", []), (b"k", b"[" * 100_000, []),
        (b"k", b"{}", [("ce_time", b"soon")]), (b"k", b"x", [("content-type", b"application/vnd.apache.arrow.stream")]),
        (b"k", b'{"job":"j"}', [("ce_dataschema", b"urn:wattlake:jobs:9.0")]), (b"k", b'{"job":"j"}', [("ce_dataschema", b"urn:wattlake:grid:1.0")]),
    ]
    topics.send("jobs", [good, *poison, (good[0], good[1].replace(b'"j"', b'"k"'), [])])
    lake = tmp_path / "lake"
    run(lake, topics.source())
    assert rows(lake, "SELECT job FROM lake.raw_jobs ORDER BY job") == [("j",), ("k",)]
    rejected = rows(lake, "SELECT reason FROM lake.rejects")
    assert len(rejected) == len(poison)
    assert all(reason for (reason,) in rejected)
    run(lake, topics.source())
    assert len(rows(lake, "FROM lake.rejects")) == len(poison)


def test_brokers_that_are_away_are_told_and_the_lake_is_as_it_was(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    topics = Topics(kafka.address, topic_prefix)
    readings(Log(tmp_path / "log"), 5)
    topics.ship(tmp_path / "log")
    source = topics.source()
    run(tmp_path / "lake", source)
    kafka.brokers[0].kill()
    with pytest.raises(WattlakeError, match="no broker answers") as told:
        run(tmp_path / "lake", source)
    assert "wattlake doctor --role pipelines" in told.value.next_step
    assert landed(tmp_path / "lake") == 5


def test_ranges_that_threads_of_one_worker_read_at_once_are_each_whole(topics: Topics, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    readings(log, 400)
    topics.ship(tmp_path / "log")
    ranges = [part for part in topics.source().plan({}, 2**30, 16) if part.topic == "readings" and part.end > part.start]
    assert len(ranges) == 16
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda part: [item.offset for item in part.read()], ranges))
    assert read == [list(range(part.start, part.end)) for part in ranges]
