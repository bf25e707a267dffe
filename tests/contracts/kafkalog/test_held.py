"""A topic that takes no records holds up no other; its own wait apart, survive whatever dies, and go once it takes them."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, cast

import msgspec
import pytest

from shipped import shipping_of, wait
from topics import Topics
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import MARK, segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog import held as held_module
from wattlake_contracts.kafkalog.claim import claim, shipped
from wattlake_contracts.kafkalog.held import Held
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.producer import Outcome, Producer
from wattlake_contracts.kafkalog.setting_apart import HELD
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.kafkalog.wreckage import Wreck
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Meta, Record, Stored
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.kafka_source import extents

COUNT = 40


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    """All but that of jobs."""
    found = Topics(kafka.address, topic_prefix)
    found.delete("jobs")
    return found


def spool(root: Path, count: int, start: int = 0, kinds: tuple[str, ...] = ("jobs", "nodes")) -> None:
    """So many records of each kind, in turn."""
    with LogWriter(root, "p") as log:
        for seq in range(start, start + count):
            for kind in kinds:
                log.append(Meta(kind, "n1", kind), seq, b'{"x":%d}' % seq)


def on(topics: Topics, topic: str) -> int:
    """How many messages a topic has."""
    return sum(extent.end for extent in extents(topics.log, topics.config)[1] if extent.topic == topic)


@pytest.mark.slow
def test_records_of_a_missing_topic_wait_alone_and_go_once_it_is_made(topics: Topics, tmp_path: Path) -> None:
    jobs = topics.prefix + "jobs"
    spool(tmp_path, COUNT)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == COUNT and shipper.state.held, "the others flow")
        [held] = shipper.state.held
        assert (held.topic, held.records) == (jobs, COUNT)
        assert abs(time.time() * 1000 - held.since_ms) < 60_000
        assert held.why.startswith("a topic is not there"), "and not that no broker answers"
        assert jobs in shipper.trouble
        assert "log init" in shipper.trouble
        assert shipper.state.state == "holds back"
        assert shipper.backlog() == COUNT
        wait(lambda: shipper.state.backlog_records == COUNT, "and counted as what waits")
        wait(lambda: shipper.state.oldest_unacked_ms == shipper.state.held[0].since_ms, "by its age too")
        began = time.monotonic()
        spool(tmp_path, 5, start=COUNT)
        shipper.wake.set()
        wait(lambda: shipper.acked == COUNT + 5, "what is new flows live", 3)
        assert time.monotonic() - began < 3
    # the next one begins with what waits, and asks nobody's leave for the rest
    spool(tmp_path, 5, start=COUNT + 5)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 5, "the rest flows at once", 10)
        wait(lambda: [one.records for one in shipper.state.held] == [COUNT + 10], "and is told of what waits")
        topics.create("jobs")
        wait(lambda: shipper.acked == 5 + COUNT + 10, "they go by themselves")
        wait(lambda: not shipper.state.held and shipper.state.backlog_records == 0 and not shipper.trouble, "and all is well")
        spool(tmp_path, 3, start=COUNT + 10)
        shipper.wake.set()
        wait(lambda: shipper.acked == 5 + COUNT + 10 + 6, "from then on as any other", 10)
        wait(lambda: not (tmp_path / HELD / "jobs").exists(), "and nothing of them is left")
        assert shipper.rebuilt == 0
    assert on(topics, "jobs") == on(topics, "nodes") == COUNT + 13


@pytest.mark.slow
def test_a_producer_that_is_stuck_with_a_topic_apart_is_not_given_as_long_as_others(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattlake_contracts.kafkalog.shipping._TOPIC_STUCK_S", 2.0)
    swallowed = threading.Event()

    class Stuck(Producer):
        """Says nothing, as kafka-python's may: the first one of the topic apart, which is made with less room than the others."""

        def __init__(self, log: KafkaLog, config: KafkaConfig) -> None:
            super().__init__(log, config)
            self._is_stuck = config.in_flight_mib < topics.config.in_flight_mib and not swallowed.is_set()

        def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
            if self._is_stuck:
                swallowed.set()
            else:
                super().send(topic, key, value, headers, outcome)

    spool(tmp_path, 5)
    with shipping_of(tmp_path, topics, Stuck) as shipper:
        wait(swallowed.is_set, "one topic waits apart, and its producer is stuck")
        topics.create("jobs")
        wait(lambda: shipper.acked == 10, "another is made soon", topics.config.stuck_s / 2)
    assert on(topics, "jobs") == 5


@pytest.mark.slow
def test_a_topic_that_goes_while_records_flow_holds_up_no_other(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix)
    spool(tmp_path, 5)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 10, "all flows")
        topics.delete("jobs")
        spool(tmp_path, 5, start=5)
        shipper.wake.set()
        wait(lambda: [(one.topic, one.records) for one in shipper.state.held] == [(topic_prefix + "jobs", 5)], "these wait")
        wait(lambda: on(topics, "nodes") >= 10, "and the others do not")
        topics.create("jobs")
        wait(lambda: not shipper.state.backlog_records, "they go by themselves")
    assert on(topics, "jobs") == 5


@pytest.mark.slow
def test_where_nothing_can_be_set_apart_nothing_is_lost_and_the_others_flow(topics: Topics, tmp_path: Path) -> None:
    # a folder that cannot be made, as on a disk without room
    (tmp_path / HELD).write_text("in the way")
    spool(tmp_path, COUNT)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == COUNT, "the others flow")
        wait(lambda: "cannot be set apart" in shipper.state.error, "and that is told")
        assert shipper.backlog() == COUNT
        (tmp_path / HELD).unlink()
        wait(lambda: [one.records for one in shipper.state.held] == [COUNT] and shipper.trouble.count("wait for") == 1, "they wait apart after all")
        topics.create("jobs")
        wait(lambda: shipper.acked == 2 * COUNT, "and go")
    assert on(topics, "jobs") == COUNT


@pytest.mark.slow
def test_more_than_may_be_in_flight_that_cannot_be_set_apart_holds_up_no_other_within_a_bound(topics: Topics, tmp_path: Path) -> None:
    (tmp_path / HELD).write_text("in the way")
    topics.config = msgspec.structs.replace(topics.config, in_flight_mib=1.0)

    def write(jobs: int, nodes: int) -> None:
        with LogWriter(tmp_path, "p") as log:
            for kind, count in (("jobs", jobs), ("nodes", nodes)):
                for seq in range(count):
                    log.append(Meta(kind, "n1", f"{jobs}"), seq, b'{"x":"%s"}' % (b"x" * 5000))

    write(400, 20)
    with shipping_of(tmp_path, topics) as shipper:
        wait(lambda: shipper.acked == 20, "the others flow, behind 2 MB")
        wait(lambda: shipper.state.state == "holds back" and "cannot be set apart" in shipper.state.error, "and that is told")
        assert shipper.state.held == []
        write(1000, 3)
        shipper.wake.set()
        wait(lambda: shipper.state.state == "cannot ship", "behind 7 MB they do not")
        assert "cannot be set apart" in shipper.trouble
        assert 4 * 2**20 <= shipper._lanes.kept_bytes() <= 5 * 2**20 + 5010, "for the memory has a bound"
        (tmp_path / HELD).unlink()
        wait(lambda: shipper.acked == 23 and [one.records for one in shipper.state.held] == [1400], "once there is room, they do")
        assert shipper._held.pending_bytes == 0


@pytest.mark.slow
def test_an_import_for_a_topic_that_is_not_there_says_so(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattlake_contracts.kafkalog.outbox.PATIENCE_S", 7.0)
    spool(tmp_path, 3)
    with pytest.raises(WattlakeError, match=rf"3 records could not be shipped: 3 records wait for {topics.prefix}jobs, .*log init"):
        topics.ship(tmp_path)
    topics.create("jobs")
    assert topics.ship(tmp_path) == 3
    assert on(topics, "nodes") == 3


@pytest.mark.slow
def test_where_no_broker_answers_nothing_is_set_apart(tmp_path: Path) -> None:
    spool(tmp_path, 3)
    shipper = Shipper(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    shipper.step()
    assert shipper.error
    assert shipper.backlog() == 6
    shipper.close()
    assert not (tmp_path / HELD).exists()


# what needs no broker


def nobody(folder: Path) -> NoReturn:
    raise WattlakeError("no shipper")


def held_of(root: Path, max_bytes: int | None = None) -> Held:
    return Held(root, "w.", nobody, max_bytes)


class Counting:
    """A shipper of which only the counts matter; it runs until it is stopped."""

    flows, error, refusal = True, "", ""

    def __init__(self, acked: int, lost: int, damaged: int, refused: int) -> None:
        self.acked, self.lost, self.damaged, self.refused = acked, lost, damaged, refused
        self.damages: deque[Wreck] = deque()
        self.stop, self.wake = threading.Event(), threading.Event()

    def run(self) -> None:
        self.stop.wait(60)


def lane_of(root: Path, payload: bytes, count: int) -> Lane:
    with LogWriter(root, "p") as log:
        for seq in range(count):
            log.append(Meta("jobs", "n1", "b"), seq, payload)
    return Lane(root, "p", 0, None)


def test_what_is_taken_is_acknowledged_when_it_is_written_with_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = lane_of(tmp_path, b"{}", 50)
    held = held_of(tmp_path)
    assert not held.holds("w.jobs")
    assert held.hold("w.jobs", "so it is")
    assert not held.hold("w.jobs", "again"), "no news"
    assert (held.holds("w.jobs"), held.holds("w.nodes")) == (True, False)
    while (stored := lane.take()) is not None:
        held.take("w.jobs", lane, stored)
    assert lane.waiting() == 50
    synced: list[LogWriter] = []
    real = LogWriter.sync
    monkeypatch.setattr(LogWriter, "sync", lambda writer: (synced.append(writer), real(writer))[1])
    held.sync(0.0)
    assert (lane.waiting(), held.waiting(), len(synced)) == (0, 50, 1)
    [told] = held.told()
    assert (told.topic, told.records, told.why) == ("w.jobs", 50, "so it is")
    held.close(1.0)
    assert [item.record for item in read(tmp_path / HELD / "jobs", "p", 0, 99) if isinstance(item, Stored)] == [
        Record(Meta("jobs", "n1", "b"), seq, item.record.appended_ms, b"{}")
        for seq, item in enumerate(read(tmp_path, "p", 0, 99)) if isinstance(item, Stored)]
    again = held_of(tmp_path)
    assert again.holds("w.jobs"), "a new one knows of it"
    assert again.waiting() == 50
    again.close(1.0)


@pytest.mark.parametrize("mark", ["of before", "gone"])
def test_what_waits_is_found_though_its_mark_did_not_outlive_a_loss_of_power(tmp_path: Path, mark: str) -> None:
    lane = lane_of(tmp_path, b"{}", 3)
    held = held_of(tmp_path)
    held.hold("w.jobs", "so it is")
    place = tmp_path / HELD / "jobs" / "p"
    befores = []
    while (stored := lane.take()) is not None:
        held.take("w.jobs", lane, stored)
        held.sync(0.0)
        befores.append((place / MARK).read_bytes())
    held.close(1.0)
    if mark == "gone":
        (place / MARK).unlink()
    else:
        (place / MARK).write_bytes(befores[0])
        # of what the mark tells all has been shipped
        cursor.store(place, [(1, None)])
    again = held_of(tmp_path)
    assert again.waiting() == (3 if mark == "gone" else 2)
    again.look(10.0, lambda: 0)
    again.close(1.0)
    assert len([item for item in read(tmp_path / HELD / "jobs", "p", 0, 9) if isinstance(item, Stored)]) == 3, "and nothing of it is deleted"


def test_what_has_all_been_shipped_is_deleted_by_the_next(tmp_path: Path) -> None:
    lane = lane_of(tmp_path, b"{}", 3)
    held = held_of(tmp_path)
    held.hold("w.jobs", "so it is")
    while (stored := lane.take()) is not None:
        held.take("w.jobs", lane, stored)
    held.sync(0.0)
    held.close(1.0)
    cursor.store(tmp_path / HELD / "jobs" / "p", [(3, None)])
    os.close(claim(tmp_path / HELD / "jobs"))
    again = held_of(tmp_path)
    assert not again.holds("w.jobs")
    again.look(0.0, lambda: 0)
    assert not (tmp_path / HELD / "jobs").exists()
    again.close(1.0)


def test_a_folder_that_is_shipped_or_has_more_in_it_stays(tmp_path: Path) -> None:
    jobs = tmp_path / HELD / "jobs"
    over = threading.Event()

    class Slow(Counting):
        def run(self) -> None:
            with_lock = claim(jobs)
            over.wait(60)
            os.close(with_lock)

    held = Held(tmp_path, "w.", lambda _: cast(Shipper, Slow(0, 0, 0, 0)), None)
    held.hold("w.jobs", "so it is")
    held.look(0.0, lambda: 0)
    wait(lambda: shipped(jobs), "it is shipped")
    held.look(10.0, lambda: 0)
    # it is held again, and has nothing again, before the shipper of before is at its end
    held.hold("w.jobs", "so it is")
    held.look(20.0, lambda: 0)
    held.look(30.0, lambda: 0)
    held.look(31.0, lambda: 0)
    assert shipped(jobs)
    (jobs / ".unknown").mkdir()
    over.set()
    wait(lambda: not shipped(jobs), "it has ended")
    held.close(10.0)
    assert sorted(path.name for path in jobs.iterdir()) == [".ship.lock", ".unknown"]


def test_all_that_waits_keeps_to_the_bound_and_the_oldest_goes(tmp_path: Path) -> None:
    lane = lane_of(tmp_path, os.urandom(10_000), 400)
    held = held_of(tmp_path, 2 * 2**20)
    held.hold("w.jobs", "so it is")
    now = 0.0
    while (stored := lane.take()) is not None:
        held.take("w.jobs", lane, stored)
        held.sync(now)
        if stored.offset % 50 == 49:
            held.look(now, lambda: 0)
    first, end = bounds(tmp_path / HELD / "jobs", "p")
    assert end == 400
    assert 150 < end - first <= 210, "about 2 MiB of 10 kB"
    held.look(now, lambda: 2**20)
    assert bounds(tmp_path / HELD / "jobs", "p")[0] - first >= 90, "what else waits counts too"
    held.look(now, lambda: 2**24)
    assert len(segments(tmp_path / HELD / "jobs" / "p")) == 1, "what is being written stays"
    held.close(1.0)


def test_much_is_written_part_by_part_and_what_was_written_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = lane_of(tmp_path, os.urandom(300_000), 10)
    held = held_of(tmp_path)
    held.hold("w.jobs", "so it is")
    taken = []
    while (stored := lane.take()) is not None:
        taken.append(stored)
    for stored in taken * 2:
        held.take("w.jobs", lane, stored)
    assert held.pending_bytes == 3_000_000, "each counts once"
    real, calls = LogWriter.sync, 0

    def full(writer: LogWriter) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            writer._pending.clear()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(writer)

    with monkeypatch.context() as small:
        small.setattr(LogWriter, "sync", full)
        held.sync(0.0)
    assert held.error.endswith("No space left on device")
    assert (lane.waiting(), held.waiting(), held.pending_bytes) == (2, 8, 600_000)
    held.sync(5.0)
    assert (held.error, lane.waiting(), held.waiting(), held.pending_bytes) == ("", 0, 10, 0)
    held.close(1.0)
    assert [item.record.seq for item in read(tmp_path / HELD / "jobs", "p", 0, 99) if isinstance(item, Stored)] == list(range(10))


def test_a_failed_write_is_tried_again_and_writes_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / HELD).write_text("in the way")
    lane = lane_of(tmp_path, b"{}", 3)
    held = held_of(tmp_path)
    held.hold("w.jobs", "so it is")
    for _ in range(2):
        while (stored := lane.take()) is not None:
            held.take("w.jobs", lane, stored)
        held.sync(10.0)
        assert "records of w.jobs, which takes none, cannot be set apart" in held.error
        assert lane.waiting() == 3
        # the producer is made anew meanwhile
        lane.again()
    (tmp_path / HELD).unlink()
    lane.acknowledge(1)
    held.sync(10.5)
    assert lane.waiting() == 2, "not so soon"
    held.sync(11.5)
    assert (held.error, lane.waiting(), held.waiting()) == ("", 0, 2)
    held.close(1.0)


@pytest.mark.parametrize("fails_in", ["Held", "state"])
def test_a_shipper_that_could_not_begin_leaves_the_spool_to_the_next(tmp_path: Path, fails_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / HELD / "jobs" / "p"
    with LogWriter(place.parent, "p") as log:
        log.append(Meta("jobs", "n1", "b"), 0, b"{}")
    with monkeypatch.context() as broken:
        if fails_in == "state":
            # it cannot be read, as on a damaged disk
            (place / MARK).rename(place / "before")
            (place / MARK).mkdir()
        else:
            broken.setattr(Held, "_waiting", lambda *_: next((tmp_path / "no such folder").iterdir()))
        for _ in range(2):
            with pytest.raises(OSError, match="Is a directory" if fails_in == "state" else "No such file"):
                Shipper(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    if fails_in == "state":
        (place / MARK).rmdir()
        (place / "before").rename(place / MARK)
    shipper = Shipper(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    assert shipper.backlog() == 1
    assert shipper.state.held
    shipper.close()


def let_end(held: Held, now: float) -> None:
    """Look at it until a topic that has nothing to wait is as any other."""
    held.look(now, lambda: 0)
    held.look(now + 10, lambda: 0)
    wait(lambda: not any(thread.name == "ship jobs" for thread in threading.enumerate()), "its shipper ends")
    held.look(now + 11, lambda: 0)


def test_whoever_looks_at_the_counts_at_any_instant_sees_none_of_them_fall(tmp_path: Path) -> None:
    held = Held(tmp_path, "w.", lambda _: cast(Shipper, Counting(1, 2, 3, 4)), None)
    seen: list[tuple[int, ...]] = []
    looking = False

    def at_each_line(frame: FrameType, _event: str, _arg: Any) -> Any:
        nonlocal looking
        if frame.f_code.co_filename != held_module.__file__:
            return None
        if not looking:
            looking = True
            seen.append((held.acked, held.lost, held.refused))
            looking = False
        return at_each_line

    before = sys.gettrace()
    sys.settrace(at_each_line)
    try:
        for now in (0.0, 100.0):
            held.hold("w.jobs", "so it is")
            let_end(held, now)
        held.hold("w.jobs", "so it is")
        held.look(200.0, lambda: 0)
        held.close(10.0)
    finally:
        sys.settrace(before)
    assert sorted(set(seen)) == [(count, 2 * count, 4 * count) for count in range(4)]
    assert seen == sorted(seen)
    assert (held.acked, held.lost, held.refused) == (3, 6, 12)


def test_what_could_not_be_read_is_counted_with_its_place_and_not_before(tmp_path: Path) -> None:
    made: list[Counting] = []

    def make(_: Path) -> Shipper:
        made.append(Counting(0, 0, 0, 0))
        return cast(Shipper, made[-1])

    held = Held(tmp_path, "w.", make, None)
    places: deque[Wreck] = deque()

    def find(place: str) -> None:
        made[-1].damages.append(Wreck(place, 2, "kept"))
        made[-1].damaged += 2

    held.hold("w.jobs", "so it is")
    held.look(0.0, lambda: 0)
    find("while it runs")
    assert held.damaged == 0
    held.pass_on(places)
    assert (held.damaged, [wreck.place for wreck in places]) == (2, ["while it runs"])
    find("before it ended")
    let_end(held, 100.0)
    assert held.damaged == 2
    held.pass_on(places)
    assert (held.damaged, places[-1].place) == (4, "before it ended")
    held.hold("w.jobs", "so it is")
    held.look(200.0, lambda: 0)
    find("before all ended")
    held.close(10.0)
    held.pass_on(places)
    held.pass_on(places)
    assert (held.damaged, [wreck.place for wreck in places]) == (6, ["while it runs", "before it ended", "before all ended"])
