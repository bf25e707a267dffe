"""What a broker holds of what was shipped, as it lies on its disk: packed with zstd, and from producers that write nothing twice."""

from __future__ import annotations

from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from kafka import KafkaProducer

from at_work import Agent
from segments import Batch, batches, by_producer, segments
from shipped import shipping_of, wait
from topics import Topics
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.record import Meta
from wattlake_pipelines.dev.kafka import Kafka

#: What a frame of zstd begins with (RFC 8878, 3.1.1).
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    return Topics(kafka.address, topic_prefix)


def held(kafka: Kafka, topics: Topics, kind: str) -> list[Batch]:
    """What the broker has on its disk of a topic."""
    [broker] = kafka.brokers
    return batches(broker, topics.prefix + kind)


def check_packed_and_idempotent(found: list[Batch]) -> None:
    """Every batch is packed with zstd and of a producer that the brokers numbered, and each producer's records are numbered from 0 on without a gap."""
    assert found
    for batch in found:
        told = batch._replace(body=batch.body[:4])
        assert (batch.codec, batch.body[:4]) == ("zstd", _ZSTD_FRAME), told
        assert batch.producer_id >= 0, told
        assert batch.producer_epoch >= 0, told
        assert batch.first_sequence >= 0, told
        assert not batch.is_control, told
    for writer, its in by_producer(found).items():
        numbered = [(batch.first_sequence, batch.records) for batch in its]
        assert [first for first, _ in numbered] == [0, *accumulate(count for _, count in numbered)][:-1], (writer, numbered)


def test_what_a_shipper_sends_is_packed_with_zstd_and_of_an_idempotent_producer(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    each, turns = 40, 5
    with shipping_of(tmp_path, topics) as shipper:
        for turn in range(turns):
            for node in ("n1", "n2", "n3"):
                with LogWriter(tmp_path, node) as log:
                    for seq in range(each * turn, each * (turn + 1)):
                        log.append(Meta("jobs", node, "b"), seq, b'[{"job":"%d","node":"n1","start_ms":1760000000000}]' % seq)
            shipper.wake.set()
            wait(lambda: shipper.acked == 3 * each * (turn + 1), "all of a turn is acknowledged")  # noqa: B023
    found = held(kafka, topics, "jobs")
    check_packed_and_idempotent(found)
    assert sum(batch.records for batch in found) == 3 * each * turns, "each record lies there once"
    assert {batch.partition for batch in found} == {0, 1}
    assert max(map(len, by_producer(found).values())) > 1, "there are batches that go on where others ended"


def test_what_an_agent_sends_is_packed_with_zstd_and_of_an_idempotent_producer(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    agent = Agent(tmp_path, "n1", topics.log.address, {"WATTLAKE_KAFKA_PREFIX": topics.prefix})
    [broker] = kafka.brokers
    sizes = {0}

    def grown() -> bool:
        sizes.add(sum(segment.stat().st_size for segment in segments(broker, topics.prefix + "readings")))
        return len(sizes) > 3

    agent.start()
    try:
        wait(grown, "readings have come to the broker's disk three times")
        assert agent.stop() == 0
    finally:
        agent.end()
    for kind in ("readings", "nodes"):
        check_packed_and_idempotent(held(kafka, topics, kind))


def test_a_writer_that_packs_nothing_and_is_not_idempotent_is_told_from_one_that_does(kafka: Kafka, topics: Topics) -> None:
    with closing(KafkaProducer(**connection(topics.log, topics.config), enable_idempotence=False, compression_type=None)) as producer:
        producer.send(topics.prefix + "jobs", value=b"[]", partition=0)
        producer.flush(30)
    [batch] = held(kafka, topics, "jobs")
    assert (batch.codec, batch.producer_id, batch.first_sequence, batch.records) == ("none", -1, -1, 1), "the brokers store what they are sent"
    with pytest.raises(AssertionError):
        check_packed_and_idempotent([batch])
