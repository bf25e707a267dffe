"""Records of kinds that this version does not know wait in the spool, and are shipped by a version that knows them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from topics import Topics
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.format import decode_meta, encode_mark, encode_meta
from wattlake_contracts.filelog.partition import MARK, LogError, partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.refusals import REFUSED, Refusals
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.kafkalog.unknown import UNKNOWN, Unknown, folder_of
from wattlake_contracts.kinds import JOBS, KINDS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Meta, Record, Stored
from wattlake_pipelines.dev.kafka import Kafka


def record(seq: int, kind: str = "meters") -> Record:
    return Record(Meta(kind, "n1", "b", version="1.7", content_type="text/x"), seq, 1_760_000_000_000 + seq, b"%d" % seq)


def known(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    for kind in kinds:
        monkeypatch.setitem(KINDS, kind, replace(JOBS, name=kind))


def test_what_is_kept_is_what_came_and_is_shippable_once_its_kind_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Unknown(tmp_path)
    assert (unknown.waiting(), unknown.shippable()) == ({}, [])
    for seq in range(3):
        unknown.keep("agent.n1", record(seq))
    unknown.keep("job.0", record(0, "tariffs"))
    assert unknown.waiting() == {"meters": 3, "tariffs": 1}
    assert unknown.shippable() == []
    assert partitions(tmp_path) == [], "nobody takes it for a partition of the spool"
    known(monkeypatch, "meters")
    assert unknown.waiting() == {"tariffs": 1}
    assert unknown.shippable() == [f"{UNKNOWN}/meters/agent.n1"]
    assert [s.record for s in read(tmp_path, unknown.shippable()[0], 0, 9) if isinstance(s, Stored)] == [record(seq) for seq in range(3)]
    unknown.close()


def test_what_was_shipped_by_a_version_that_knew_it_is_not_counted_as_waiting(tmp_path: Path) -> None:
    unknown = Unknown(tmp_path)
    for seq in range(5):
        unknown.keep("p", record(seq))
    cursor.store(tmp_path / UNKNOWN / "meters" / "p", [(3, None)])
    assert unknown.waiting() == {"meters": 2}
    unknown.close()


@pytest.mark.parametrize("kind", ["", "..", ".", "a/b", "\x00", "ü" * 200, "a b", "%", "-x"])
def test_whatever_a_kind_is_called_it_has_a_folder_of_its_own(tmp_path: Path, kind: str) -> None:
    unknown = Unknown(tmp_path / "spool")
    unknown.keep("p", record(1, kind))
    unknown.keep("p", record(2, "other"))
    unknown.close()
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]
    assert unknown.waiting() == {folder_of(kind): 1, "other": 1}


def test_a_record_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    (tmp_path / UNKNOWN).write_text("in the way")
    with pytest.raises(LogError, match="cannot write the log"):
        Unknown(tmp_path).keep("p", record(1))


def test_a_meta_with_more_in_it_is_read_by_what_is_known_of_it() -> None:
    meta = Meta("jobs", "n", "b")
    assert decode_meta(encode_meta(meta)[:-1] + b',"of a later version",{"x":1}]') == meta


def spool(root: Path, kinds: dict[int, str]) -> None:
    with LogWriter(root, "p") as log:
        for seq, kind in kinds.items():
            log.append(Meta(kind, "n1", "b"), seq, b'{"job":"x"}')


def shipped(root: Path, topics: Topics, enough: Callable[[Shipper], bool]) -> Shipper:
    """A shipper that has shipped until enough is enough, and is closed."""
    shipper = Shipper(root, topics.log, topics.config)
    deadline = time.monotonic() + 120
    while not (enough(shipper) and shipper.backlog() == 0):
        assert time.monotonic() < deadline
        shipper.step()
        time.sleep(0.02)
    shipper.close()
    return shipper


def test_a_spool_with_records_of_a_later_version_is_shipped_but_for_these_and_these_by_the_later_version(
        kafka: Kafka, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(kafka.address, topic_prefix)
    spool(tmp_path, {0: "jobs", 1: "meters", 2: "meters", 3: "jobs", 4: "tariffs"})
    first = shipped(tmp_path, topics, lambda s: s.acked == 2)
    assert (first.set_aside, first.refused, first.lost, first.error) == (3, 0, 0, "")
    assert (first.state.unknown_records, first.state.unknown_kinds) == (3, "meters, tariffs")
    assert cursor.load(tmp_path / "p") == [(5, None)]
    with monkeypatch.context() as later:
        known(later, "meters")
        second = shipped(tmp_path, topics, lambda s: s.acked == 2)
        assert (second.state.unknown_records, second.state.unknown_kinds) == (1, "tariffs")
    # the earlier version again, and the later one again
    spool(tmp_path, {5: "meters"})
    third = shipped(tmp_path, topics, lambda s: s.set_aside == 1)
    assert third.state.unknown_records == 2
    known(monkeypatch, "meters", "tariffs")
    last = shipped(tmp_path, topics, lambda s: s.acked == 2)
    assert (last.set_aside, last.state.unknown_records) == (0, 0)
    assert bounds(tmp_path, f"{UNKNOWN}/meters/p")[1] == 3


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The folders that are synced from now on: what was made in another one may not outlive a loss of power."""
    found: set[Path] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        found.add(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.parametrize("mark", ["of before", "gone"])
def test_what_waits_is_found_though_its_mark_did_not_outlive_a_loss_of_power(
        tmp_path: Path, mark: str, synced: set[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / UNKNOWN / "meters" / "p"
    unknown = Unknown(tmp_path)
    for seq in range(3):
        unknown.keep("p", record(seq))
    unknown.close()
    assert {place, place.parent, tmp_path / UNKNOWN, tmp_path} <= synced, "it is on the disk before it leaves its own place"
    # as it was synced when the partition was made
    (place / MARK).write_bytes(encode_mark(0, 0, 0))
    if mark == "gone":
        (place / MARK).unlink()
    found = Shipper(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    assert (found.state.unknown_records, found.state.unknown_kinds) == (3, "meters")
    found.close()
    (place / MARK).write_bytes(encode_mark(0, 0, 0))
    known(monkeypatch, "meters")
    later = Shipper(tmp_path, KafkaLog(("127.0.0.1:1",)), KafkaConfig())
    later.step()
    assert later.backlog() == 3
    later.close()


def test_what_cannot_be_looked_through_is_told_and_tried_again(tmp_path: Path) -> None:
    place = tmp_path / UNKNOWN / "meters" / "p"
    unknown = Unknown(tmp_path)
    unknown.keep("p", record(1))
    unknown.close()
    again = Unknown(tmp_path)
    with LogWriter(place.parent, "p"):
        assert "meters/p cannot be looked through" in again.recover()
        assert again.error
    assert (again.recover(), again.error) == ("", "")
    again.close()


def test_what_is_refused_is_on_the_disk_before_it_leaves_its_place_and_found_without_its_mark(tmp_path: Path, synced: set[Path]) -> None:
    with LogWriter(tmp_path, "p") as log:
        log.append(Meta("jobs", "n1", "b"), 0, b"{}")
    lane = Lane(tmp_path, "p", 0, None)
    assert lane.take() is not None
    synced.clear()
    refusals = Refusals(tmp_path)
    assert refusals.set_aside(lane, 0, "too large") == ""
    assert {tmp_path / REFUSED / "p", tmp_path / REFUSED, tmp_path} <= synced
    (tmp_path / REFUSED / "p" / MARK).write_bytes(encode_mark(0, 0, 0))
    assert Refusals(tmp_path, earlier=False).count == 0
    assert (Refusals(tmp_path).count, bounds(tmp_path / REFUSED, "p")) == (1, (0, 1))
