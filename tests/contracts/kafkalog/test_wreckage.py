"""What cannot be read of a spool is kept byte for byte before its segment goes, within a bound, and holds up nothing where it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wattlake_contracts.filelog.cursor import CURSOR
from wattlake_contracts.filelog.partition import partitions, segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.lanes import Lanes
from wattlake_contracts.kafkalog.wreckage import DAMAGED, keep
from wattlake_contracts.record import Damage, Meta, Stored

SIZE = 20_000


def spool(root: Path, partition: str = "p", count: int = 6) -> tuple[Path, list[int]]:
    """A segment of records that do not compress, and where each ends."""
    with LogWriter(root, partition) as log:
        for seq in range(count):
            log.append(Meta("jobs", "n1", "b"), seq, os.urandom(SIZE))
    [(_, segment)] = segments(root / partition)
    return segment, [item.end for item in read(root, partition, 0, count) if isinstance(item, Stored)]


def hit(segment: Path, *positions: int) -> bytes:
    """Flip a bit at each; the bytes as they then are."""
    raw = bytearray(segment.read_bytes())
    for position in positions:
        raw[position] ^= 4
    segment.write_bytes(raw)
    return bytes(raw)


def kept(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / DAMAGED).iterdir()}


def drain(root: Path, whole: Path | None = None) -> Lanes:
    """Lanes of a spool all of whose records have been taken and acknowledged."""
    lanes = Lanes(root, whole)
    lanes.look()
    for lane in lanes:
        while (stored := lane.take()) is not None:
            lane.acknowledge(stored.offset)
    lanes.tidy()
    return lanes


def test_each_stretch_is_kept_whole_under_its_place(tmp_path: Path) -> None:
    segment, ends = spool(tmp_path)
    # two neighbours by their headers, and the last by its body
    raw = hit(segment, ends[0] + 9, ends[1] + 9, ends[5] - 1)
    lanes = drain(tmp_path)
    expected = {f"p~{segment.name}~{ends[0]}": raw[ends[0] : ends[2]], f"p~{segment.name}~{ends[4]}": raw[ends[4] :]}
    assert kept(tmp_path) == expected
    assert list(lanes.damages) == [(f"p/{segment.name} from byte {ends[0]}", 2, f"kept as {DAMAGED}/p~{segment.name}~{ends[0]}"),
                                   (f"p/{segment.name} from byte {ends[4]}", 1, f"kept as {DAMAGED}/p~{segment.name}~{ends[4]}")]
    assert partitions(tmp_path) == ["p"], "nobody takes it for a partition"
    # a shipper that died before it wrote its cursor comes by again
    (tmp_path / "p" / CURSOR).unlink()
    assert drain(tmp_path).damaged == 3
    assert kept(tmp_path) == expected


def test_of_a_spool_within_a_spool_they_are_kept_in_the_whole(tmp_path: Path) -> None:
    part = tmp_path / ".held" / "jobs"
    segment, ends = spool(part)
    raw = hit(segment, ends[1] + 200)
    lanes = drain(part, tmp_path)
    [wreck] = lanes.damages
    assert wreck.place == f".held/jobs/p/{segment.name} from byte {ends[1]}"
    assert kept(tmp_path) == {f".held~jobs~p~{segment.name}~{ends[1]}": raw[ends[1] : ends[2]]}


def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    segment, ends = spool(tmp_path)
    raw = segment.read_bytes()
    stretches = [Damage(i, 1, segment.name, ends[i - 1], "", b"", end=ends[i]) for i in (1, 2, 3)]
    told = [keep(tmp_path, segment, damage, most_bytes=30_000) for damage in stretches]
    size = ends[1] - ends[0]
    assert told[0] == f"kept as {DAMAGED}/p~{segment.name}~{ends[0]}"
    assert told[1].endswith(f"~{ends[1]}, the first {30_000 - size} of {size} bytes")
    assert told[2] == f"not kept: {DAMAGED} holds as much as it may"
    assert kept(tmp_path) == {f"p~{segment.name}~{ends[0]}": raw[ends[0] : ends[1]], f"p~{segment.name}~{ends[1]}": raw[ends[1] : ends[1] + 30_000 - size]}


@pytest.mark.parametrize("in_the_way", [True, False])
def test_what_cannot_be_kept_holds_up_nothing(tmp_path: Path, in_the_way: bool) -> None:
    segment, ends = spool(tmp_path)
    hit(segment, ends[1] + 200)
    if in_the_way:
        (tmp_path / DAMAGED).write_text("a file")
        lanes = drain(tmp_path)
        [wreck] = lanes.damages
        assert (wreck.records, wreck.kept[:9]) == (1, "not kept:")
        assert lanes.backlog() == 0
    else:  # the spool has given the segment up
        segment.unlink()
        assert keep(tmp_path, segment, Damage(1, 1, segment.name, 0, "", b"", end=9)) == "not kept: No such file or directory"
    assert bounds(tmp_path, "p")[1] == 6
