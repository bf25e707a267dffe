"""Zeros that a writer writes ahead of small records: they save a growth of the file at each fsync, and nobody takes them for anything else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wattlake_contracts.filelog.partition import read_mark, segments, written
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import _AHEAD, LogWriter
from wattlake_contracts.record import Damage, Meta, Stored

META = Meta("jobs", "n1", "b1")


def items(root: Path) -> list[Stored | Damage]:
    return list(read(root, "p", *bounds(root, "p")))


def write(writer: LogWriter, count: int, payload_bytes: int = 100, start: int = 0) -> None:
    for seq in range(start, start + count):
        writer.append(META, seq, bytes([1 + seq % 255]) * payload_bytes)
        writer.sync()


def lengths(folder: Path) -> list[tuple[int, int]]:
    """(bytes on the disk, bytes of records) of each segment."""
    return [(path.stat().st_size, size) for _, path, size in written(folder)]


def test_small_records_take_the_place_of_zeros_and_the_file_does_not_grow(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "p")
    write(writer, 1)
    assert [on_disk - of_records for on_disk, of_records in lengths(writer.folder)] == [0], "who writes once writes no more than that"
    write(writer, 1, start=1)
    [(on_disk, of_records)] = lengths(writer.folder)
    assert on_disk == of_records + len(_AHEAD)
    write(writer, 500, start=2)
    assert lengths(writer.folder)[0][0] == on_disk
    assert [item.offset for item in items(tmp_path)] == list(range(502))
    # killed: the next one goes on where the records end
    writer._give_up()
    with LogWriter(tmp_path, "p") as another:
        assert lengths(another.folder) == [(read_mark(another.folder)[2],) * 2]
        write(another, 3, start=502)
        assert lengths(another.folder)[0][0] > lengths(another.folder)[0][1]
    assert [on_disk for on_disk, _ in lengths(tmp_path / "p")] == [size for _, size in lengths(tmp_path / "p")], "what is closed ends with its last record"
    assert [(type(item), item.offset) for item in items(tmp_path)] == [(Stored, i) for i in range(505)]


def test_large_records_have_no_zeros_before_them(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p") as writer:
        write(writer, 5, payload_bytes=60_000)
        [(on_disk, of_records)] = lengths(writer.folder)
        assert on_disk == of_records


def test_a_segment_that_is_full_ends_with_its_last_record(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p", segment_bytes=2000) as writer:
        write(writer, 100)
        *full, last = lengths(writer.folder)
        assert len(full) > 5
        assert all(on_disk == of_records for on_disk, of_records in full)
        assert last[0] <= 2000
    assert [(type(item), item.offset) for item in items(tmp_path)] == [(Stored, i) for i in range(100)]


def test_zeros_are_no_part_of_what_a_bounded_log_holds(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p", segment_bytes=10_000, max_bytes=40_000) as writer:
        write(writer, 400)
        assert 25_000 < sum(size for _, size in lengths(writer.folder)) <= 40_000
        assert bounds(tmp_path, "p")[0] == writer.lost_records > 0


def test_zeros_at_the_end_of_a_segment_are_no_damage_and_lost_records_there_are(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p", segment_bytes=2000) as writer:
        write(writer, 30)
    (_, first), (following, _), *_ = segments(tmp_path / "p")
    raw = first.read_bytes()
    # a power cut between the new segment and the end of the old one
    first.write_bytes(raw + bytes(5000))
    assert [(type(item), item.offset) for item in items(tmp_path)] == [(Stored, i) for i in range(30)]
    first.write_bytes(raw + bytes(4000) + b"x" + bytes(999))
    assert [(item.offset, item.records) for item in items(tmp_path) if isinstance(item, Damage)] == [(following, 0)], "what is no zero is told"
    first.write_bytes(raw[:-20] + bytes(5000))
    assert [(item.offset, item.records) for item in items(tmp_path) if isinstance(item, Damage)] == [(following - 1, 1)]


def test_after_a_sync_that_failed_nothing_is_written_ahead_in_that_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LogWriter(tmp_path, "p", segment_bytes=20_000) as writer:
        write(writer, 2)

        def fail(descriptor: int) -> None:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

        with monkeypatch.context() as failing:
            failing.setattr("wattlake_contracts.filelog.writer._sync_data", fail)
            with pytest.raises(OSError, match="quota"):
                write(writer, 1, start=2)
        write(writer, 3, start=2)
        assert [on_disk - of_records for on_disk, of_records in lengths(writer.folder)] == [0]
        write(writer, 200, start=5)
        assert len(segments(writer.folder)) > 1
        on_disk, of_records = lengths(writer.folder)[-1]
        assert on_disk > of_records, "a new segment may have them again"
    assert [(type(item), item.offset) for item in items(tmp_path)] == [(Stored, i) for i in range(205)]
