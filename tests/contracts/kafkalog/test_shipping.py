"""Shipping a spool to a real Kafka, whatever dies: every record that was accepted is in the topics, and none holds up another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from shipped import shipping_of, wait
from topics import Topics
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog import lanes
from wattlake_contracts.kafkalog.message import Place, from_message
from wattlake_contracts.kafkalog.producer import Outcome, Producer
from wattlake_contracts.kafkalog.refusals import REFUSED
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.kafkalog.wreckage import DAMAGED
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Meta, Stored
from wattlake_pipelines.dev.kafka import Kafka

Identity = tuple[str, str, int]


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    return Topics(kafka.address, topic_prefix)


def spool(root: Path, count: int, *, start: int = 0, partition: str = "p", size: int = 100, segment_bytes: int = 16 * 2**20) -> set[Identity]:
    """Append records of jobs, each of its own number; give their identities."""
    with LogWriter(root, partition, segment_bytes=segment_bytes) as log:
        for seq in range(start, start + count):
            log.append(Meta("jobs", "n1", partition), seq, b'{"job":"%d"}' % seq + b" " * size)
    return {("n1", partition, seq) for seq in range(start, start + count)}


def held(topics: Topics) -> list[Identity]:
    """The identities of all messages of the topic of jobs, in their order."""
    found: list[Identity] = []
    with closing(KafkaConsumer(bootstrap_servers=list(topics.log.servers), group_id=None, auto_offset_reset="earliest")) as consumer:
        places = [TopicPartition(topics.prefix + "jobs", n) for n in sorted(consumer.partitions_for_topic(topics.prefix + "jobs") or ())]
        ends = consumer.end_offsets(places)
        for place in places:
            consumer.assign([place])
            consumer.seek(place, 0)
            while consumer.position(place) < ends[place]:
                for message in consumer.poll(5_000).get(place, ()):
                    record = from_message(Place("jobs", "g", place.partition, message.offset, 0), message.key, message.value, message.headers)
                    found.append((record.meta.node, record.meta.boot, record.seq))
    return found


def test_all_partitions_of_a_spool_are_shipped_and_their_segments_deleted(topics: Topics, tmp_path: Path) -> None:
    expected = spool(tmp_path, 500, segment_bytes=4096) | spool(tmp_path, 50, partition="q")
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 550, "all is acknowledged")
        expected |= spool(tmp_path, 10, start=50, partition="q") | spool(tmp_path, 5, partition="new")
        shipper.wake.set()
        wait(lambda: shipper.acked == 565, "what comes later is shipped too")
        wait(lambda: shipper.state.backlog_records == 0 and bounds(tmp_path, "p")[0] > 450, "segments go")
    assert sorted(held(topics)) == sorted(expected)
    assert cursor.load(tmp_path / "p") == [(500, None)]


def test_a_second_shipper_of_a_spool_is_refused(topics: Topics, tmp_path: Path) -> None:
    with shipping_of(tmp_path, topics), pytest.raises(WattlakeError, match="another process ships this spool"):
        Shipper(tmp_path, topics.log, topics.config)


def test_a_shipper_that_starts_again_sends_only_what_was_not_acknowledged(topics: Topics, tmp_path: Path) -> None:
    expected = spool(tmp_path, 20)
    topics.ship(tmp_path)
    expected |= spool(tmp_path, 5, start=20)
    assert topics.ship(tmp_path) == 5
    assert sorted(held(topics)) == sorted(expected)
    (tmp_path / "p" / cursor.CURSOR).unlink()
    topics.ship(tmp_path)
    assert set(held(topics)) == expected, "without its cursor it sends all again, which counts once"


def test_a_record_that_the_topic_does_not_take_is_set_aside_and_holds_up_no_other(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, configs={"max.message.bytes": "20000"})
    before = spool(tmp_path, 3)
    before |= spool(tmp_path, 1, start=3, size=100_000)
    # what cannot be compressed below the limit
    with LogWriter(tmp_path, "p") as log:
        log.append(Meta("jobs", "n1", "p"), 4, os.urandom(100_000))
    after = spool(tmp_path, 3, start=5)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.refused == 1 and shipper.backlog() == 0, "one is refused and the rest acknowledged")
        wait(lambda: "kept in" in shipper.state.error, "and its place is told")
    assert before | after == set(held(topics))
    assert bounds(tmp_path / REFUSED, "p") == (0, 1)
    with shipping_of(tmp_path, topics) as again:
        assert (again.refused, again.refusal) == (1, f"refused earlier; kept in {tmp_path / REFUSED}")


class TellsTime(Producer):
    """Tells the brokers a time: right, but for the records of some numbers in 1970."""

    def __init__(self, wrong: set[int], log: KafkaLog, config: KafkaConfig) -> None:
        super().__init__(log, config)
        self._wrong = wrong

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
        seq = int(dict(headers)["ce_id"].rpartition(b"/")[2])
        future = self._producer.send(topic, value=value, key=key, headers=headers, timestamp_ms=5_000 if seq in self._wrong else int(time.time() * 1000))
        future.add_callback(lambda _: outcome(None))
        future.add_errback(outcome)


@pytest.mark.parametrize("wrong", [{7}, {0, 3, 4, 19}])
def test_only_the_records_whose_time_a_broker_refuses_are_set_aside(kafka: Kafka, topic_prefix: str, tmp_path: Path, wrong: set[int]) -> None:
    topics = Topics(kafka.address, topic_prefix, configs={
        "message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "600000", "message.timestamp.after.max.ms": "600000"})
    expected = spool(tmp_path, 20)
    with shipping_of(tmp_path, topics, partial(TellsTime, wrong)) as shipper:
        wait(lambda: shipper.backlog() == 0, "all is acknowledged or set aside")
        expected |= spool(tmp_path, 5, start=20)
        shipper.wake.set()
        wait(lambda: shipper.state.backlog_records == 0 and shipper.acked == 25 - len(wrong), "and it goes on")
        assert shipper.refused == len(wrong)
        assert "its topic takes no record of its time" in shipper.state.error
    assert set(held(topics)) == {identity for identity in expected if identity[2] not in wrong}
    assert {item.record.seq for item in read(tmp_path / REFUSED, "p", 0, 99) if isinstance(item, Stored)} == wrong


class HearsSlowly(Producer):
    """Hears of one acknowledgement each tenth of a second, as over a slow line; of none at all if deaf."""

    def __init__(self, log: KafkaLog, config: KafkaConfig, *, deaf: bool = False) -> None:
        super().__init__(log, config)
        self._deaf, self._heard = deaf, 0

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
        def late(error: BaseException | None) -> None:
            self._heard += 1
            timer = threading.Timer(0.1 * self._heard, outcome, (error,))
            timer.daemon = True
            timer.start()

        super().send(topic, key, value, headers, (lambda error: None) if self._deaf else late)


def test_a_slow_line_with_much_on_its_way_is_not_given_up(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, stuck_s=1.0)
    expected = spool(tmp_path, 30)
    with shipping_of(tmp_path, topics, HearsSlowly) as shipper:
        wait(lambda: shipper.acked == 30, "all is acknowledged, the last after three times as long as a producer may be silent")
        assert shipper.rebuilt == 0
    assert sorted(held(topics)) == sorted(expected)


@pytest.mark.slow
@pytest.mark.parametrize("late_s", [0.1, 3.0])
def test_what_a_producer_says_once_it_is_given_up_counts_and_counts_once(kafka: Kafka, topic_prefix: str, tmp_path: Path, late_s: float) -> None:
    topics = Topics(kafka.address, topic_prefix, stuck_s=1.0)
    given_up: list[Producer] = []

    class TellsLate(Producer):
        """The first one tells what has become of what it was given only when it is closed, and a while after that."""

        def __init__(self, log: KafkaLog, config: KafkaConfig) -> None:
            super().__init__(log, config)
            self._untold: list[tuple[Outcome, BaseException | None]] = []

        def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
            super().send(topic, key, value, headers, outcome if given_up else lambda error: self._untold.append((outcome, error)))

        def close(self) -> None:
            super().close()
            if not given_up:
                given_up.append(self)
                timer = threading.Timer(late_s, lambda: [outcome(error) for outcome, error in self._untold])
                timer.daemon = True
                timer.start()

    expected = spool(tmp_path, 20)
    with shipping_of(tmp_path, topics, TellsLate) as shipper:
        wait(lambda: given_up and not shipper.state.backlog_records, "all is acknowledged")
        # what was told late of what was sent again meanwhile comes after it
        time.sleep(late_s + 0.5)
        assert shipper.acked == 20
        assert shipper.rebuilt == 1
    assert set(held(topics)) == expected


@pytest.mark.parametrize(("amiss", "told"), [("sasl of k1:9092: wrong password", "sasl of k1:9092: wrong password"),
                                             ("", "no acknowledgement for 1.5 s: the brokers do not answer, or too few of them are in sync")])
def test_a_producer_given_up_for_its_silence_says_what_fails(kafka: Kafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amiss: str,
                                                             told: str) -> None:
    monkeypatch.setattr("wattlake_contracts.kafkalog.shipping._SILENT_S", 0.5)
    topics = Topics(kafka.address, topic_prefix, stuck_s=1.5)
    spool(tmp_path, 3)
    asked: list[str] = []
    shipper = Shipper(tmp_path, topics.log, topics.config, make=partial(HearsSlowly, deaf=True), amiss=lambda: (asked.append(amiss), amiss)[1])
    deadline = time.monotonic() + 60
    while shipper.rebuilt < 2:
        assert time.monotonic() < deadline
        shipper.step()
        if shipper.rebuilt:
            assert shipper.error == told, "it is known, and stays so"
        time.sleep(0.02)
    assert len(asked) == 1, "and not asked too often"
    shipper.close()


def test_damage_in_the_spool_is_counted_and_all_else_is_shipped(topics: Topics, tmp_path: Path) -> None:
    expected = spool(tmp_path, 30)
    [segment] = (tmp_path / "p").glob("*.wlog")
    raw = bytearray(segment.read_bytes())
    size = len(raw) // 30
    raw[size * 5 + 60] ^= 1
    raw[size * 10 : size * 12] = bytes(size * 2)
    segment.write_bytes(raw)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.damaged >= 3 and shipper.state.backlog_records == 0, "damage is counted")
        assert 3 <= shipper.damaged <= 4, "two zeroed records may take a part of a third with them"
        assert [(wreck.place, wreck.records) for wreck in shipper.damages] == [
            (f"p/{segment.name} from byte {size * 5}", 1), (f"p/{segment.name} from byte {size * 10}", shipper.damaged - 1)]
        assert (tmp_path / DAMAGED / f"p~{segment.name}~{size * 5}").read_bytes() == raw[size * 5 : size * 6]
    found = held(topics)
    assert set(found) <= expected
    assert len(found) == 30 - shipper.damaged


def test_a_full_disk_under_the_cursor_keeps_nothing_from_being_shipped(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spool(tmp_path, 200, segment_bytes=4096)
    # the cursor's place is taken by a folder: writing it fails as on a disk without room
    (tmp_path / "p" / cursor.CURSOR).mkdir()
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 200, "all is acknowledged")
        wait(lambda: bounds(tmp_path, "p")[0] > 150, "and its segments make room")
    assert set(held(topics)) == expected


@pytest.mark.slow
def test_a_broker_killed_and_frozen_while_records_come_loses_none(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    topics = Topics(kafka.address, topic_prefix, stuck_s=10)
    broker = kafka.brokers[0]
    expected: set[Identity] = set()
    with shipping_of(tmp_path, topics) as shipper:
        for round_number, harm in enumerate(("kill", "freeze", "kill")):
            expected |= spool(tmp_path, 300, start=round_number * 1000)
            shipper.wake.set()
            time.sleep(0.05)
            if harm == "kill":
                broker.kill()
            else:
                broker.freeze()
            expected |= spool(tmp_path, 300, start=round_number * 1000 + 300)
            shipper.wake.set()
            # longer than stuck_s: the producer is given up at least once
            time.sleep(15)
            if harm == "kill":
                broker.restart(120)
            else:
                broker.thaw()
            back = time.monotonic()
            fresh = spool(tmp_path, 1, start=round_number * 1000 + 700)
            expected |= fresh
            shipper.wake.set()
            wait(lambda: shipper.backlog() == 0, f"after a {harm} all goes on", 60)
            assert time.monotonic() - back < 60
        assert shipper.rebuilt >= 1
    assert set(held(topics)) == expected
    assert threading.active_count() < 20, "no thread of a producer that was given up is left"


@pytest.mark.slow
def test_what_a_full_spool_gives_up_on_its_way_is_sent_again_and_not_lost(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    topics = Topics(kafka.address, topic_prefix, stuck_s=5)
    written: set[Identity] = set()

    def write(count: int) -> set[Identity]:
        """Into a spool that keeps about ten of them."""
        fresh = range(len(written), len(written) + count)
        with LogWriter(tmp_path, "p", segment_bytes=1, max_bytes=12_000) as log:
            for seq in fresh:
                log.append(Meta("jobs", "n1", "p"), seq, b'{"job":"%d"}' % seq + b" " * 1000)
                log.sync()
        written.update(("n1", "p", seq) for seq in fresh)
        return {("n1", "p", seq) for seq in fresh}

    write(3)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 3, "all is acknowledged")
        broker.freeze()
        on_their_way = write(8)
        shipper.wake.set()
        wait(lambda: shipper.state.in_flight_bytes > 8 * 1000, "they are on their way")
        write(30)
        assert bounds(tmp_path, "p")[0] > 11, "the spool has given them up"
        wait(lambda: shipper.rebuilt > 0, "nothing is heard")
        write(30)
        broker.thaw()
        wait(lambda: shipper.state.backlog_records == 0, "all goes on")
        found = set(held(topics))
        assert on_their_way <= found
        assert len(found) == len(written) - shipper.lost
        assert shipper.lost > 20


def test_live_records_go_ahead_of_what_piled_up(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "BACKLOG_BYTES", 10_000)
    slow = Topics.__new__(Topics)
    slow.log, slow.prefix = topics.log, topics.prefix
    slow.config = type(topics.config)(prefix=topics.prefix, replay_mib_per_s=0.02)
    backlog = spool(tmp_path, 2000, size=1000)
    with shipping_of(tmp_path, slow) as shipper:
        wait(lambda: shipper.acked > 10, "the backlog has begun to go")
        live = spool(tmp_path, 3, start=1000)
        shipper.wake.set()
        wait(lambda: live <= set(held(topics)), "what is new goes at once")
        assert shipper.backlog() > 50, "while the backlog is still on its way"
    # the next one goes on with both
    topics.ship(tmp_path)
    assert set(held(topics)) == backlog | live


_SHIP = """
import sys
from pathlib import Path
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.log_address import KafkaLog
print("up", flush=True)
Shipper(Path(sys.argv[1]), KafkaLog((sys.argv[2],)), KafkaConfig(prefix=sys.argv[3])).run()
"""


@pytest.mark.slow
def test_a_shipper_killed_again_and_again_loses_nothing(topics: Topics, tmp_path: Path) -> None:
    expected: set[Identity] = set()
    for turn in range(20):
        expected |= spool(tmp_path, 100, start=turn * 100, segment_bytes=8192)
        with subprocess.Popen([sys.executable, "-c", _SHIP, str(tmp_path), topics.log.servers[0], topics.prefix], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            time.sleep(0.05 * (turn % 10))
            process.send_signal(signal.SIGKILL)
    topics.ship(tmp_path)
    assert set(held(topics)) == expected
