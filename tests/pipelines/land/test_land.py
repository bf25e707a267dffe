"""Landing ends with what the log held when it began, whoever goes on sending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lakes import rows
from logs import Log
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.land import Landed, land
from wattlake_pipelines.land.source import FileSource, Source

T0 = 1_760_000_000_000


def reading(log: Log, i: int) -> None:
    log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")


def land_beside(lake: Path, source: Source, send: Callable[[], None]) -> Landed:
    """Land in the smallest rounds, with something sent after each."""
    rounds = 0

    def landed(records: int, count: int) -> None:
        nonlocal rounds
        rounds += 1
        assert rounds < 10, "it goes on with what is sent"
        send()

    with Committer(lake) as committer:
        return land(committer, source, round_bytes=1, progress=landed)


def test_what_is_sent_to_kafka_meanwhile_is_left_to_the_next_time(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics, log, lake = Topics(kafka.address, topic_prefix, partitions=1), Log(tmp_path / "log"), tmp_path / "lake"
    sent = 0

    def send() -> None:
        nonlocal sent
        reading(log, sent)
        topics.ship(log.root)
        sent += 1

    for _ in range(3):
        send()
    assert land_beside(lake, topics.source(), send) == Landed(3, 3, 3, 0)
    assert land_beside(lake, topics.source(), lambda: None) == Landed(3, 3, 3, 0)
    assert rows(lake, "SELECT count(*), sum(energy_mj)::BIGINT FROM lake.raw_readings") == [(6, 5000 * 15)]


def test_what_is_appended_to_a_file_log_meanwhile_is_left_to_the_next_time(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    sent = 0

    def send() -> None:
        nonlocal sent
        for node in ("n1", f"new-{sent}"):
            log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * sent, "energy_mj": 5000 * sent}], node=node)
        sent += 1

    send()
    first = land_beside(lake, FileSource(log.root), send)
    assert first.records == 2
    second = land_beside(lake, FileSource(log.root), lambda: None)
    assert first.records + second.records == 2 * sent
    assert rows(lake, "SELECT count(*) FROM lake.raw_readings") == [(2 * sent,)]
