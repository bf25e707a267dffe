"""What is shipped at once is all there, or it is told what is not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from topics import Topics
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.outbox import PATIENCE_S, NotAllShippedError, outbox, ship
from wattlake_contracts.kafkalog.producer import Outcome, Producer
from wattlake_contracts.record import Meta
from wattlake_pipelines.dev.kafka import Kafka


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    """Such that take no large record."""
    return Topics(kafka.address, topic_prefix, configs={"max.message.bytes": "20000"})


def write(root: Path, count: int, *, kind: str = "jobs", size: int = 100, partition: str = "p", segment_bytes: int = 16 * 2**20) -> None:
    with LogWriter(root, partition, segment_bytes=segment_bytes) as log:
        for seq in range(count):
            log.append(Meta(kind, "import", "b1"), seq, b'{"job":"%d"}' % seq + b" " * size)
            log.sync()


def not_shipped(topics: Topics, root: Path, shipped: int) -> WattlakeError:
    with pytest.raises(NotAllShippedError) as told:
        ship(root, topics.log, topics.config)
    assert told.value.shipped == shipped
    assert told.value.subject == str(topics.log)
    assert told.value.next_step.endswith("then run the same command again: nothing counts twice")
    return told.value


def test_damaged_records_are_told_with_their_place(topics: Topics, tmp_path: Path) -> None:
    write(tmp_path, 20)
    [(_, path)] = segments(tmp_path / "p")
    raw = bytearray(path.read_bytes())
    one = len(raw) // 20
    for number in (5, 6, 12):
        raw[number * one + one // 2] ^= 1
    path.write_bytes(raw)
    told = not_shipped(topics, tmp_path, 17)
    assert re.fullmatch(rf"3 records could not be read, at p/{path.name} from byte \d+ \(2\), p/{path.name} from byte \d+ \(1\)", told.what)


def test_records_that_are_gone_are_told(topics: Topics, tmp_path: Path) -> None:
    write(tmp_path, 10, segment_bytes=1)
    cursor.store(tmp_path / "p", [(1, None)])
    for _, path in segments(tmp_path / "p")[:4]:
        path.unlink()
    assert not_shipped(topics, tmp_path, 6).what == "3 records were deleted before they could be read"


def test_records_of_unknown_kinds_are_told(topics: Topics, tmp_path: Path) -> None:
    write(tmp_path, 3)
    write(tmp_path, 2, kind="shifts", partition="q")
    assert not_shipped(topics, tmp_path, 3).what == "2 records are of kinds that this version does not know: shifts"


def test_refused_records_are_named_and_no_folder_that_is_gone(topics: Topics) -> None:
    folders = []

    def write_to_outbox() -> None:
        with outbox(topics.log, topics.config) as root, LogWriter(root, "import.0") as log:
            folders.append(root)
            for seq, size in enumerate((100, 50_000, 100, 60_000)):
                log.append(Meta("jobs", "import", "b1"), seq, os.urandom(size))
            log.sync()

    with pytest.raises(NotAllShippedError) as told:
        write_to_outbox()
    assert told.value.shipped == 2
    assert re.fullmatch(r"2 records were refused: it is larger than its topic takes.* \(jobs import/b1/1, jobs import/b1/3\)", told.value.what)
    assert "max.message.bytes" in told.value.next_step
    [root] = folders
    assert not root.exists()
    assert str(root) not in str(told.value)


@pytest.mark.slow
def test_a_producer_that_is_stuck_is_made_anew_before_patience_ends(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattlake_contracts.kafkalog.outbox._STUCK_S", 2.0)
    write(tmp_path, 5)
    stuck: list[Producer] = []
    real = Producer.send

    def send(producer: Producer, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
        """Says nothing of what the first producer is given, as kafka-python's may."""
        if not stuck:
            stuck.append(producer)
        if producer is not stuck[0]:
            real(producer, topic, key, value, headers, outcome)

    monkeypatch.setattr(Producer, "send", send)
    assert topics.config.stuck_s >= PATIENCE_S, "an agent's would have been made anew too late"
    assert ship(tmp_path, topics.log, topics.config) == 5
    assert stuck
