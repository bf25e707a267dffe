"""Which ranges a round of landing takes."""

from __future__ import annotations

from pathlib import Path

from logs import Log
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Meta
from wattlake_pipelines.land.source import plan


def _fill(root: Path, partition: str, count: int, **options: int) -> None:
    with LogWriter(root, partition, **options) as writer:  # type: ignore[arg-type]  # same keywords
        for i in range(count):
            writer.append(Meta("jobs", "n", "b"), i, b"x" * 100)
            writer.sync()


def test_ranges_cover_what_has_not_landed_once(tmp_path: Path) -> None:
    _fill(tmp_path, "a", 10, segment_bytes=400)
    _fill(tmp_path, "b", 3)
    ranges = plan(tmp_path, {"a": 4}, 10**9, pieces=2)
    covered = sorted((r.partition, o) for r in ranges for o in range(r.start, r.end))
    assert covered == [("a", o) for o in range(4, 10)] + [("b", o) for o in range(3)]
    assert plan(tmp_path, {"a": 10, "b": 3}, 10**9) == []


def test_a_round_is_bounded_and_the_next_goes_on(tmp_path: Path) -> None:
    _fill(tmp_path, "a", 40, segment_bytes=1000)
    position, rounds = 0, 0
    while ranges := plan(tmp_path, {"a": position}, 1500):
        assert ranges[0].start == position
        position, rounds = max(r.end for r in ranges), rounds + 1
    assert position == 40
    assert rounds > 1


def test_a_partition_that_is_written_to_without_end_holds_up_no_other(tmp_path: Path) -> None:
    _fill(tmp_path, "a", 60, segment_bytes=400)
    _fill(tmp_path, "b", 4, segment_bytes=400)
    positions = {"a": 0, "b": 0}
    for _ in range(3):
        # as much as comes in meanwhile
        for found in plan(tmp_path, positions, 800):
            assert found.start == positions[found.partition]
            positions[found.partition] = found.end
    assert positions["b"] == 4
    assert 0 < positions["a"] < 60


def test_records_that_the_log_gave_up_are_told_of(tmp_path: Path) -> None:
    _fill(tmp_path, "a", 40, segment_bytes=400, max_bytes=1200)
    first = plan(tmp_path, {}, 10**9)[0]
    assert first.gone == first.start > 0
    assert sum(r.gone for r in plan(tmp_path, {}, 10**9)) == first.start


def test_records_given_up_land_as_a_reject_with_their_number(tmp_path: Path) -> None:
    from lakes import rows, run

    log = Log(tmp_path / "log")
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": 1_760_000_000_000}])
    _fill(tmp_path / "log", "lossy", 40, segment_bytes=400, max_bytes=1200)
    run(tmp_path / "lake", tmp_path / "log")
    found = rows(tmp_path / "lake", "SELECT place, reason FROM lake.rejects WHERE kind IS NULL")
    gone = plan(tmp_path / "log", {}, 10**9)
    assert [(place, reason.split()[0]) for place, reason in found] == [("lossy offset 0", str(sum(r.gone for r in gone)))]
