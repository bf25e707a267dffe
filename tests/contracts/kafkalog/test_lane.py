"""What a lane takes from a spool that gives up its oldest records meanwhile: each is acknowledged, waits, or is counted as lost, and never two of these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattlake_contracts.filelog.reader import bounds
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog import lanes as lanes_module
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.lanes import Lanes
from wattlake_contracts.record import Meta, Stored

META = Meta("jobs", "n1", "b")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[LogWriter]:
    """One that keeps about four of these records, each in a segment of its own."""
    with bounded(tmp_path) as writer:
        yield writer


def bounded(root: Path) -> LogWriter:
    return LogWriter(root, "p", segment_bytes=1, max_bytes=800)


def write(spool: LogWriter, count: int) -> None:
    for _ in range(count):
        spool.append(META, 1000 + spool.next_offset, payload(spool.next_offset))
        spool.sync()


def payload(offset: int) -> bytes:
    return b"%d" % offset + b" " * 100


def take(lane: Lane, count: int) -> list[int]:
    """Take so many; give their numbers."""
    taken = [lane.take() for _ in range(count)]
    return [number(stored) for stored in taken if stored is not None]


def number(stored: Stored) -> int:
    """The offset of a record, which must be what was written there."""
    record = stored.record
    assert (record.meta, record.seq, bytes(record.payload)) == (META, 1000 + stored.offset, payload(stored.offset))
    return stored.offset


def test_what_is_given_up_on_its_way_is_not_lost_where_it_is_acknowledged(tmp_path: Path, spool: LogWriter) -> None:
    write(spool, 3)
    lane = Lane(tmp_path, "p", 0, None)
    assert take(lane, 9) == [0, 1, 2]
    write(spool, 6)
    first = bounds(tmp_path, "p")[0]
    assert first > 3
    lane.look()
    assert lane.lost == first - 3, "of what was never taken"
    assert (lane.base, lane.waiting(), lane.kept_bytes) == (0, 3 + 9 - first, 3 * len(payload(0)))
    for offset in (1, 0, 2):
        lane.acknowledge(offset)
    assert (lane.lost, lane.base, lane.waiting(), lane.kept_bytes) == (first - 3, first, 9 - first, 0)


def test_what_is_given_up_on_its_way_is_sent_again_from_memory(tmp_path: Path, spool: LogWriter) -> None:
    write(spool, 4)
    lane = Lane(tmp_path, "p", 0, None)
    assert take(lane, 3) == [0, 1, 2]
    lane.acknowledge(1)
    write(spool, 6)
    first = bounds(tmp_path, "p")[0]
    for _ in range(2):
        lane.again()
        assert take(lane, 2) == [0, 2]
    assert lane.oldest_ms() is not None
    lane.acknowledge(0)
    assert take(lane, 99) == list(range(first, 10)), "and the spool goes on after what is gone"
    assert lane.lost == first - 3
    lane.again()
    lane.acknowledge(2)
    assert take(lane, 99) == list(range(first, 10)), "what is acknowledged meanwhile is not sent again"


def test_no_record_is_sent_that_was_counted_as_lost(tmp_path: Path, spool: LogWriter) -> None:
    with LogWriter(tmp_path, "q", max_bytes=800) as one:
        for offset in range(8):
            one.append(META, 1000 + offset, payload(offset))
        one.sync()
        lane = Lane(tmp_path, "q", 0, None)
        assert take(lane, 2) == [0, 1]
        # the segment that is being read is given up, and the lane hears of it before it reads on
        one.segment_bytes = 1
        for offset in range(8, 10):
            one.append(META, 1000 + offset, payload(offset))
            one.sync()
        assert bounds(tmp_path, "q")[0] == 9
        lane.look()
        assert lane.lost == 7
        assert take(lane, 99) == [9]
        assert lane.lost == 7


def test_what_is_given_up_between_two_looks_is_counted(tmp_path: Path, spool: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    from wattlake_contracts.kafkalog import lane as module

    write(spool, 4)
    lane = Lane(tmp_path, "p", 0, None)

    def late(root: Path, partition: str) -> tuple[int, int]:
        found = bounds(root, partition)
        if spool.next_offset < 10:
            write(spool, 6)
        return found

    monkeypatch.setattr(module, "bounds", late)
    assert take(lane, 99) == list(range(spool.first_offset, 10))
    assert lane.lost == spool.first_offset


def test_segments_taken_away_from_outside_do_not_keep_a_lane_busy(tmp_path: Path, spool: LogWriter) -> None:
    write(spool, 3)
    for segment in (tmp_path / "p").glob("*.wlog"):
        segment.unlink()
    lane = Lane(tmp_path, "p", 0, None)
    assert lane.take() is None
    assert lane.oldest_ms() is None


def test_what_comes_after_a_split_is_another_lanes(tmp_path: Path, spool: LogWriter) -> None:
    write(spool, 3)
    lane = Lane(tmp_path, "p", 0, None)
    assert take(lane, 2) == [0, 1]
    lane.again()
    live = lane.split()
    assert live is not None
    write(spool, 1)
    assert take(live, 9) == [3]
    assert live.split() is not None
    assert take(lane, 9) == [0, 1, 2]
    assert lane.split() is None
    for offset in range(3):
        assert not lane.done
        lane.acknowledge(offset)
    assert lane.done
    assert not lane.waiting()


def test_a_lane_without_room_gives_only_what_it_has_in_memory(tmp_path: Path, spool: LogWriter) -> None:
    write(spool, 2)
    lane = Lane(tmp_path, "p", 0, None)
    assert lane.take(fresh=False) is None
    assert take(lane, 1) == [0]
    lane.again()
    again = lane.take(fresh=False)
    assert again is not None
    assert number(again) == 0
    assert lane.take(fresh=False) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["write", "take", "acknowledge", "again", "look"]), st.integers(0, 5)), max_size=30))
def test_every_record_is_acknowledged_or_waits_or_is_lost(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder, bounded(Path(folder)) as spool:
        lane = Lane(Path(folder), "p", 0, None)
        sent: list[int] = []
        acknowledged: set[int] = set()
        for what, count in steps:
            if what == "write":
                write(spool, count)
            elif what == "take":
                sent += take(lane, count)
            elif what == "acknowledge":
                # in any order, and what was sent before the producer was made anew too
                for offset in sent[count::3]:
                    lane.acknowledge(offset)
                    acknowledged.add(offset)
            elif what == "again":
                lane.again()
            else:
                lane.look()
            lane.look()
            assert len(acknowledged) + lane.waiting() + lane.lost == spool.next_offset
            assert lane.kept_bytes == sum(len(payload(offset)) for offset in set(sent) - acknowledged)
            assert not acknowledged & set(range(lane.base, lane.base + 1))
        lane.again()
        rest = take(lane, 1000)
        assert len(rest) == len(set(rest))
        assert not acknowledged & set(rest)
        assert set(sent) - acknowledged <= set(rest), "what is on its way is sent again, whatever the spool has given up"
        assert len(acknowledged) + len(rest) + lane.lost == spool.next_offset


def test_however_often_the_brokers_come_and_go_a_partition_has_few_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "BACKLOG_BYTES", 1)
    with LogWriter(tmp_path, "p") as spool:
        write(spool, 1)
        lanes = Lanes(tmp_path)
        lanes.look()
        for _ in range(50):
            lanes.split()
            write(spool, 1)
            for lane in lanes:
                lane.take()
        assert len(list(lanes)) < 10
        taken = {offset for lane in lanes for offset in range(51) if lane.kept(offset) is not None}
        while found := [stored.offset for lane in lanes for stored in [lane.take()] if stored is not None]:
            taken |= set(found)
    assert taken == set(range(51))
    assert lanes.oldest_ms() > 0
