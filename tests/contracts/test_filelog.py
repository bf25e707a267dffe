"""The file log against torn tails, flipped bits, full disks and killed writers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattlake_contracts.filelog.format import HEADER_BYTES, MAGIC, MARK_BYTES, encode_mark, encode_meta
from wattlake_contracts.filelog.partition import LogError, partitions, read_mark, segment_name, segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter, RecordTooLarge, open_pooled
from wattlake_contracts.record import Damage, Meta, Record, Stored

META = Meta("jobs", "n1", "b1")


def payload(i: int) -> bytes:
    return b"record-%d." % i * 2


def fill(root: Path, count: int, start: int = 0, **options: int) -> None:
    with LogWriter(root, "p", **options) as writer:
        for i in range(start, start + count):
            writer.append(META, i, payload(i), appended_ms=1000 + i)
            writer.sync()


def everything(root: Path, partition: str = "p") -> list[Stored | Damage]:
    return list(read(root, partition, *bounds(root, partition)))


def records(root: Path) -> list[Record]:
    return [item.record for item in everything(root) if isinstance(item, Stored)]


def damages(root: Path) -> list[Damage]:
    return [item for item in everything(root) if isinstance(item, Damage)]


def only_segment(root: Path) -> Path:
    (found,) = segments(root / "p")
    return found[1]


def expected(i: int) -> Record:
    return Record(META, i, 1000 + i, payload(i))


def test_what_was_synced_is_read_back_in_order(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    assert records(tmp_path) == [expected(i) for i in range(5)]
    assert bounds(tmp_path, "p") == (0, 5)
    assert partitions(tmp_path) == ["p"]
    assert [s.offset for s in read(tmp_path, "p", 2, 4)] == [2, 3]
    assert records(tmp_path)[3].ce_id == "n1/b1/3"


def test_the_reader_stops_at_the_durable_mark(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    segment = only_segment(tmp_path)
    whole = segment.read_bytes()
    with LogWriter(tmp_path, "p") as writer:
        writer.append(META, 2, payload(2))
        assert len(records(tmp_path)) == 2
        segment.write_bytes(whole + whole)  # bytes that are there and not yet fsynced
        assert len(records(tmp_path)) == 2
        segment.write_bytes(whole)
        writer.sync()
        assert len(records(tmp_path)) == 3


def test_a_tail_cut_at_every_byte_keeps_the_valid_prefix_and_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "whole", 3)
    raw = only_segment(tmp_path / "whole").read_bytes()
    mark = (tmp_path / "whole" / "p" / "durable").read_bytes()
    one = len(raw) // 3
    for cut in range(len(raw) + 1):
        root = tmp_path / f"cut{cut}"
        folder = root / "p"
        folder.mkdir(parents=True)
        (folder / segment_name(0)).write_bytes(raw[:cut])
        (folder / "durable").write_bytes(mark)
        kept = cut // one
        assert records(root) == [expected(i) for i in range(kept)]
        lost = sum(d.records for d in damages(root))
        assert lost == 3 - kept
        fill(root, 2, start=10)
        assert records(root) == [*(expected(i) for i in range(kept)), expected(10), expected(11)], cut
        # offsets that were given out once are not given out again
        assert [s.offset for s in everything(root) if isinstance(s, Stored)][kept:] == [3, 4], cut
        assert sum(d.records for d in damages(root)) == 3 - kept, cut


def test_an_unsynced_tail_cut_at_every_byte_is_no_loss(tmp_path: Path) -> None:
    fill(tmp_path / "whole", 3)
    raw = only_segment(tmp_path / "whole").read_bytes()
    one = len(raw) // 3
    for cut in range(one, len(raw)):
        root = tmp_path / f"cut{cut}"
        folder = root / "p"
        folder.mkdir(parents=True)
        (folder / segment_name(0)).write_bytes(raw[:cut])
        (folder / "durable").write_bytes(encode_mark(1, 0, one))
        assert records(root) == [expected(0)]
        fill(root, 1, start=10)
        # a whole record beyond the mark may be kept; it is numbered on from there
        whole = cut // one
        assert records(root) == [*(expected(i) for i in range(whole)), expected(10)], cut
        assert damages(root) == [], cut


def test_every_flipped_bit_of_a_record_is_damage_and_nothing_wrong_is_delivered(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    segment = only_segment(tmp_path)
    raw = segment.read_bytes()
    one = len(raw) // 3
    for position in range(one, 2 * one):
        for bit in range(8):
            damaged = bytearray(raw)
            damaged[position] ^= 1 << bit
            segment.write_bytes(damaged)
            items = everything(tmp_path)
            assert [i.record for i in items if isinstance(i, Stored)] == [expected(0), expected(2)], (position, bit)
            (damage,) = [i for i in items if isinstance(i, Damage)]
            assert (damage.offset, damage.records, damage.position) == (1, 1, one)
            assert damage.raw
            # whoever asks for a part sees the same
            assert [type(i) for i in read(tmp_path, "p", 1, 2)] == [Damage]
            assert [i.offset for i in read(tmp_path, "p", 2, 3)] == [2]


@pytest.mark.parametrize("which", [0, 2])
def test_a_damaged_first_or_last_record_is_counted(tmp_path: Path, which: int) -> None:
    fill(tmp_path, 3)
    segment = only_segment(tmp_path)
    raw = bytearray(segment.read_bytes())
    one = len(raw) // 3
    for position in range(which * one, (which + 1) * one):
        damaged = bytearray(raw)
        damaged[position] ^= 0x10
        segment.write_bytes(damaged)
        assert records(tmp_path) == [expected(i) for i in range(3) if i != which], position
        assert [(d.offset, d.records) for d in damages(tmp_path)] == [(which, 1)], position


def test_a_broken_length_is_resynchronised_by_the_next_magic(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    segment = only_segment(tmp_path)
    raw = bytearray(segment.read_bytes())
    one = len(raw) // 4
    raw[one + 8 : one + 12] = b"\xff\xff\xff\x7f"
    segment.write_bytes(raw)
    assert records(tmp_path) == [expected(0), expected(2), expected(3)]
    assert [(d.offset, d.records) for d in damages(tmp_path)] == [(1, 1)]


def test_a_magic_within_a_payload_is_no_record(tmp_path: Path) -> None:
    inner = MAGIC + bytes(60)
    with LogWriter(tmp_path, "p") as writer:
        for i in range(3):
            writer.append(META, i, inner)
    raw = bytearray(only_segment(tmp_path).read_bytes())
    one = len(raw) // 3
    raw[one] ^= 1
    only_segment(tmp_path).write_bytes(raw)
    assert [r.seq for r in records(tmp_path)] == [0, 2]
    assert [(d.offset, d.records) for d in damages(tmp_path)] == [(1, 1)]


def test_a_record_copied_within_a_payload_is_not_delivered_when_its_carrier_is_broken(tmp_path: Path) -> None:
    fill(tmp_path / "other", 1, start=7)
    smuggled = only_segment(tmp_path / "other").read_bytes()
    with LogWriter(tmp_path, "p") as writer:
        for i in range(3):
            writer.append(META, i, smuggled)
    raw = bytearray(only_segment(tmp_path).read_bytes())
    one = len(raw) // 3
    raw[one] ^= 1
    only_segment(tmp_path).write_bytes(raw)
    assert [r.seq for r in records(tmp_path)] == [0, 2]


def test_bytes_cut_out_of_a_body_lose_that_record_only(tmp_path: Path) -> None:
    fill(tmp_path / "whole", 4)
    raw = only_segment(tmp_path / "whole").read_bytes()
    one = len(raw) // 4
    for cut in range(1, one):
        root = tmp_path / f"cut{cut}"
        fill(root, 4)
        only_segment(root).write_bytes(raw[: 2 * one - cut] + raw[2 * one :])
        assert [r.seq for r in records(root)] == [0, 2, 3], cut
        assert [(d.offset, d.records) for d in damages(root)] == [(1, 1)], cut


def test_a_zeroed_stretch_loses_only_what_was_in_it(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    segment = only_segment(tmp_path)
    raw = bytearray(segment.read_bytes())
    one = len(raw) // 10
    raw[3 * one + 5 : 6 * one + 5] = bytes(3 * one)
    segment.write_bytes(raw)
    assert [r.seq for r in records(tmp_path)] == [0, 1, 2, 7, 8, 9]
    assert [(d.offset, d.records) for d in damages(tmp_path)] == [(3, 4)]


def test_a_missing_or_empty_segment_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, 9, segment_bytes=1)
    found = segments(tmp_path / "p")
    assert len(found) > 3
    found[2][1].write_bytes(b"")
    assert sum(d.records for d in damages(tmp_path)) == 1
    assert [r.seq for r in records(tmp_path)] == [0, 1, 3, 4, 5, 6, 7, 8]


def test_a_lost_mark_is_found_again_by_the_writer(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "p" / "durable").unlink()
    assert records(tmp_path) == []
    fill(tmp_path, 1, start=3)
    assert records(tmp_path) == [expected(i) for i in range(4)]


def test_every_flipped_bit_of_the_mark_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    mark = tmp_path / "p" / "durable"
    raw = mark.read_bytes()
    assert len(raw) == MARK_BYTES
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        mark.write_bytes(damaged)
        assert read_mark(tmp_path / "p") is None


def test_a_second_writer_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p"), pytest.raises(LogError, match="written by another process"):
        LogWriter(tmp_path, "p")
    LogWriter(tmp_path, "p").close()


def test_pooled_writers_take_the_first_free_partition(tmp_path: Path) -> None:
    with open_pooled(tmp_path, "job") as first, open_pooled(tmp_path, "job") as second:
        assert (first.folder.name, second.folder.name) == ("job.0", "job.1")
    with open_pooled(tmp_path, "job") as again:
        assert again.folder.name == "job.0"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "-x", "a" * 201, "ä"])
def test_a_name_that_could_leave_the_log_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LogError, match="cannot name a partition"):
        LogWriter(tmp_path, name)


def test_a_bounded_log_drops_its_oldest_segments_and_counts_them(tmp_path: Path) -> None:
    size = HEADER_BYTES + len(encode_meta(META)) + len(payload(0))
    with LogWriter(tmp_path, "p", segment_bytes=4 * size, max_bytes=12 * size) as writer:
        for i in range(100):
            writer.append(META, i, payload(i))
            writer.sync()
        lost = writer.lost_records
        assert sum(p.stat().st_size for _, p in segments(writer.folder)) <= 13 * size
    first, end = bounds(tmp_path, "p")
    assert (first, end) == (lost, 100)
    assert lost > 80
    assert [r.seq for r in records(tmp_path)] == list(range(lost, 100))
    assert damages(tmp_path) == []


def test_a_record_too_large_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "p", max_record_bytes=500) as writer:
        writer.append(META, 0, payload(0))
        with pytest.raises(RecordTooLarge, match="over the limit of 500"):
            writer.append(META, 1, bytes(600))
        writer.append(META, 2, payload(2))
    assert [r.seq for r in records(tmp_path)] == [0, 2]


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="nothing has written there"):
        partitions(tmp_path / "none")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file")
    with pytest.raises(LogError, match="cannot write the log"):
        LogWriter(tmp_path, "p")


def _accepts(writer: LogWriter, seq: int, payload_bytes: int = 20_000) -> bool:
    try:
        writer.append(META, seq, bytes(payload_bytes))
        writer.sync()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def test_a_full_disk_accepts_nothing_and_works_again_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    with LogWriter(small_disk, "p", segment_bytes=100_000) as writer:
        accepted = 0
        while _accepts(writer, accepted):
            accepted += 1
        assert accepted > 5
        assert not _accepts(writer, accepted), "still full"
        assert [r.seq for r in records(small_disk)] == list(range(accepted))
        ballast.unlink()
        for i in range(accepted, accepted + 10):
            writer.append(META, i, bytes(20_000))
            writer.sync()
    assert [r.seq for r in records(small_disk)] == list(range(accepted + 10))
    assert damages(small_disk) == []
    assert bounds(small_disk, "p") == (0, accepted + 10)


def test_a_disk_without_room_for_zeros_takes_records_to_its_last_page(small_disk: Path) -> None:
    with LogWriter(small_disk, "p") as writer:
        accepted = 0
        while _accepts(writer, accepted, 4000):
            accepted += 1
        room = os.statvfs(small_disk)
        assert accepted * 4000 + room.f_bavail * room.f_bsize > 2**20 - 10 * 4096, "what is free or taken by records is all of it but a few pages"
        assert room.f_bavail <= 2
    assert [r.seq for r in records(small_disk)] == list(range(accepted))
    assert damages(small_disk) == []


WRITER = """
import sys, time
from pathlib import Path
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Meta
boot, start = sys.argv[2], int(sys.argv[3])
with LogWriter(Path(sys.argv[1]), "p", segment_bytes=20_000) as writer:
    seq = start
    while True:
        for _ in range(seq % 7 + 1):
            writer.append(Meta("jobs", "n1", boot), seq, str(seq).encode() * (seq % 50 + 1))
            seq += 1
        writer.sync()
        print(seq, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_again_and_again_loses_nothing_that_it_accepted(tmp_path: Path) -> None:
    start = 0
    for round_ in range(25):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), "b1", str(start)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * (round_ % 9))
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split(b"\n")[:-1]
        process.wait()
        process.stdout.close()
        accepted = max([start, *map(int, said)])
        found = records(tmp_path)
        assert damages(tmp_path) == []
        assert {r.seq for r in found} >= set(range(accepted))
        assert all(r.payload == str(r.seq).encode() * (r.seq % 50 + 1) for r in found)
        start = max(r.seq for r in found) + 1
    seqs = [r.seq for r in records(tmp_path)]
    assert sorted(set(seqs)) == list(range(start))
    assert [s.offset for s in everything(tmp_path) if isinstance(s, Stored)] == list(range(bounds(tmp_path, "p")[1]))
