"""What a power cut leaves of the file log: any mark that ever was or none, and of the last segment what was fsynced, or less.

What is accepted afterwards is read, once, whatever was left; and what was accepted before it is, where the disk kept what it said it had.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.format import encode_mark
from wattlake_contracts.filelog.partition import MARK, read_mark, segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Damage, Meta, Stored

META = Meta("jobs", "n1", "b1")
#: A segment ends after about three of the records below, or one sync of more; or it takes all of a life, with zeros written ahead.
_SEGMENT_BYTES, _LARGE_BYTES = 250, 4000


@dataclass
class Log:
    """A partition, what was accepted in it, and every mark that it ever had. accepted: seq → offset."""

    root: Path
    segment_bytes: int = _SEGMENT_BYTES
    accepted: dict[int, int] = field(default_factory=dict)
    marks: list[bytes] = field(default_factory=list)
    seq: int = 0

    @property
    def folder(self) -> Path:
        return self.root / "p"

    def write(self, groups: list[int]) -> list[int]:
        """Accept so many records to a sync, in one life of a writer that does not end well; give their numbers."""
        fresh: dict[int, int] = {}
        writer = LogWriter(self.root, "p", segment_bytes=self.segment_bytes)
        for count in groups:
            for _ in range(count):
                fresh[self.seq] = writer.append(META, self.seq, b"%d." % self.seq * (self.seq % 5 + 1))
                self.seq += 1
            writer.sync()
            self.marks.append((self.folder / MARK).read_bytes())
        writer._give_up()
        self.accepted |= fresh
        return list(fresh)

    def items(self) -> list[Stored | Damage]:
        return list(read(self.root, "p", *bounds(self.root, "p")))

    def found(self) -> dict[int, int]:
        """seq → offset of all that is read; no offset and no number may be read twice."""
        stored = [item for item in self.items() if isinstance(item, Stored)]
        assert len({s.record.seq for s in stored}) == len(stored)
        assert [s.offset for s in stored] == sorted({s.offset for s in stored})
        return {s.record.seq: s.offset for s in stored}


def cut(log: Log, mark: int | None, left: str, where: float) -> bool:
    """What a power cut leaves: one of the marks, none or zeros; of the last segment all, a part, or zeros. Whether all that was accepted is there."""
    durable = log.folder / MARK
    if mark is None:
        durable.unlink()
    else:
        durable.write_bytes(log.marks[mark % len(log.marks)] if mark >= 0 else bytes(32))
    _, last = segments(log.folder)[-1]
    raw = last.read_bytes()
    at = int(where * len(raw))
    if left == "torn":
        last.write_bytes(raw + b"WLR1" + bytes(range(at % 60)))
    elif left == "short":
        last.write_bytes(raw[:at])
    elif left == "zeros":
        last.write_bytes(raw[:at] + bytes(len(raw) - at))
    return left in ("whole", "torn") or at == len(raw)


_CUTS = st.tuples(st.none() | st.integers(-1, 30), st.sampled_from(["whole", "torn", "short", "zeros"]), st.floats(0, 1))


@given(st.lists(st.tuples(st.lists(st.integers(1, 4), min_size=1, max_size=8), _CUTS), min_size=1, max_size=4),
       st.sampled_from([_SEGMENT_BYTES, _LARGE_BYTES]))
@settings(max_examples=examples(200), deadline=None)
def test_what_is_accepted_after_any_power_cut_is_read_once(lives: list[tuple[list[int], tuple[int | None, str, float]]], segment_bytes: int) -> None:
    with TemporaryDirectory() as folder:
        log = Log(Path(folder), segment_bytes)
        kept: set[int] = set()
        for groups, ((mark, left, where)) in lives:
            kept |= set(log.write(groups))
            found = log.found()
            assert kept <= found.keys(), "what was accepted before this cut is read, and so is all that was accepted after the one before it"
            assert all(log.accepted[seq] == offset for seq, offset in found.items())
            event(f"{left}, {len(segments(log.folder))} segments")
            honest = cut(log, mark, left, where)
            LogWriter(log.root, "p", segment_bytes=segment_bytes).close()
            after = log.found()
            assert not honest or kept <= after.keys(), "only what the disk lost is lost"
            kept &= after.keys()


def test_an_empty_last_segment_and_an_old_mark_lead_to_no_offset_that_was_given(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write([3, 3, 3])
    assert [base for base, _ in segments(log.folder)][-1] == 9
    (log.folder / MARK).write_bytes(log.marks[1])
    fresh = log.write([6])
    assert [log.accepted[seq] for seq in fresh] == list(range(9, 15))
    assert log.found() == {seq: seq for seq in range(15)}


def test_a_last_segment_of_zeros_without_a_mark_does_not_have_its_offsets_given_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write([1] * 40)
    base, last = segments(log.folder)[-1]
    lost = {seq for seq, offset in log.accepted.items() if offset >= base}
    assert lost
    last.write_bytes(bytes(last.stat().st_size))
    (log.folder / MARK).write_bytes(bytes(32))
    fresh = log.write([1, 1, 1])
    assert min(log.accepted[seq] for seq in fresh) >= 40
    assert log.found().keys() == log.accepted.keys() - lost
    [damage] = [item for item in log.items() if isinstance(item, Damage)]
    assert damage.offset == base
    assert damage.records >= len(lost), "how many there were nobody knows: at most so many"


def test_what_a_cursor_says_is_shipped_is_not_given_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write([2])
    _, last = segments(log.folder)[-1]
    last.write_bytes(b"")
    (log.folder / MARK).write_bytes(encode_mark(0, 0, 0))
    cursor.store(log.folder, [(1, 5), (7, None)])
    fresh = log.write([2])
    assert [log.accepted[seq] for seq in fresh] == [7, 8]
    assert [item.offset for item in read(tmp_path, "p", 7, 9)] == [7, 8]


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int] | None]:
    """The marks that were fsynced, as they are."""
    seen: list[tuple[int, int, int] | None] = []
    real = os.fdatasync

    def flush(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name == MARK:
            seen.append(read_mark(path.parent))

    monkeypatch.setattr("wattlake_contracts.filelog.writer._sync_data", flush)
    return seen


def test_the_mark_is_fsynced_at_a_new_segment_and_at_the_end_and_not_at_each_record(tmp_path: Path,
                                                                                   flushed: list[tuple[int, int, int] | None]) -> None:
    with LogWriter(tmp_path, "p", segment_bytes=1000) as writer:
        assert flushed == [(0, 0, 0)]
        ends = []
        for seq in range(60):
            writer.append(META, seq, b"0123456789")
            ends.append(writer.sync())
        bases = [base for base, _ in segments(writer.folder)]
        assert len(bases) > 4
        assert flushed == [(base, base, 0) for base in bases]
    assert flushed[len(bases):] == [read_mark(tmp_path / "p")]
    assert flushed[-1] is not None
    assert flushed[-1][0] == ends[-1]


def test_what_a_writer_that_has_ended_wrote_is_read_after_a_power_cut_though_none_comes_after_it(
        tmp_path: Path, flushed: list[tuple[int, int, int] | None]) -> None:
    with LogWriter(tmp_path / "log", "p") as writer:
        writer.append(META, 0, b"x")
    assert flushed[-1] is not None
    # the power cut leaves the mark that was fsynced last
    copy = shutil.copytree(tmp_path / "log", tmp_path / "after")
    (copy / "p" / MARK).write_bytes(encode_mark(*flushed[-1]))
    assert [item.offset for item in read(copy, "p", *bounds(copy, "p"))] == [0]
