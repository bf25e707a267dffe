"""What a runner, a reader or a worker loses makes no hole: the round fails, and nothing of it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from lakes import rows
from logs import Log
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import JSON, Meta
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land import land as landing
from wattlake_pipelines.land.land import Landed, land
from wattlake_pipelines.land.pipeline import Part, ReadRange, land_pipeline
from wattlake_pipelines.land.proof import RangeRead, UnprovenError, proven, span, with_proof, without_proof
from wattlake_pipelines.land.read_range import BOOK
from wattlake_pipelines.land.source import FileRange, FileSource, Range

T0 = 1_760_000_000_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Twenty readings of two nodes, each node a partition."""
    log = Log(tmp_path / "log")
    for i in range(20):
        for node in ("n1", "n2"):
            log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}],
                    node=node, partition=node)
    return log.root


def land_four(lake: Path, log: Path) -> Landed:
    """Land it in ranges of five readings."""
    with Committer(lake) as committer:
        return land(committer, log, round_bytes=2**30, pieces=4)


def nothing_landed(lake: Path) -> bool:
    return all(rows(lake, f"SELECT count(*) FROM lake.{table}") == [(0,)] for table in ("raw_readings", "log_positions", "commits"))


@pytest.mark.parametrize("left_out", range(8))
def test_a_range_that_the_runner_drops_fails_the_round_and_is_landed_by_the_next(log: Path, tmp_path: Path, left_out: int) -> None:
    def careless(ranges: Sequence[Range], *rest: object) -> list[Part]:
        return land_pipeline([r for i, r in enumerate(ranges) if i != left_out], *rest)  # type: ignore[arg-type]  # handed on as it came

    partition, start = f"n{left_out // 4 + 1}", left_out % 4 * 5
    with patch.object(landing, "land_pipeline", careless), pytest.raises(UnprovenError) as told:
        land_four(tmp_path / "lake", log)
    assert f"1 of 8 ranges were not read to their end; the first: offsets {start} to {start + 5} of {partition}" in str(told.value)
    assert "nothing of the round was committed" in str(told.value)
    assert nothing_landed(tmp_path / "lake")
    assert land_four(tmp_path / "lake", log) == Landed(1, 40, 40, 0)


def test_all_ranges_that_the_runner_drops_fail_the_round(log: Path, tmp_path: Path) -> None:
    with patch.object(landing, "land_pipeline", lambda *_: []), pytest.raises(UnprovenError, match="8 of 8 ranges were not read to their end"):
        land_four(tmp_path / "lake", log)
    assert nothing_landed(tmp_path / "lake")


def _losing(keep: Callable[[int], bool]) -> Callable[[ReadRange, Range], Iterator[tuple[int, bytes]]]:
    whole = ReadRange.process

    def process(self: ReadRange, element: Range) -> Iterator[tuple[int, bytes]]:
        return (made for made in whole(self, element) if element.start != 5 or keep(made[0]))

    return process


@pytest.mark.parametrize(("keep", "said"), [
    (lambda shard: shard == BOOK, "2 of 8 pieces of readings were read and not written"),
    (lambda shard: shard != BOOK, "2 of 8 ranges were not read to their end; the first: offsets 5 to 10 of n1"),
])
def test_what_gets_lost_between_two_workers_fails_the_round(log: Path, tmp_path: Path, keep: Callable[[int], bool], said: str) -> None:
    with patch.object(ReadRange, "process", _losing(keep)), pytest.raises(UnprovenError, match=said):
        land_four(tmp_path / "lake", log)
    assert nothing_landed(tmp_path / "lake")
    assert land_four(tmp_path / "lake", log) == Landed(1, 40, 40, 0)


def test_only_the_ranges_that_were_asked_for_prove_anything() -> None:
    asked = [FileRange("file:/l", "/l", "p", at, at + 10, 3 if at == 10 else 0) for at in (10, 20)]
    said = [RangeRead(span(r), [f"piece-{r.start}"], r.end) for r in asked]
    assert proven(asked, said, {"piece-10", "piece-20"}) == (("file:/l", "p", 7, 20), ("file:/l", "p", 20, 30))
    for read, written, complaint in (
        ([said[0], RangeRead(("file:/l", "p", 20, 29), ["piece-20"], 29)], {"piece-10", "piece-20"}, "1 of 2 ranges were not read to their end"),
        ([said[0], RangeRead(said[1].span, ["piece-20"], 29)], {"piece-10", "piece-20"}, "1 of 2 ranges were not read to their end"),
        ([*said, said[1]], ["piece-10", "piece-20", "piece-20"], "1 of 2 ranges were read twice"),
        ([*said, RangeRead(("file:/l", "q", 0, 1), [], 1)], ["piece-10", "piece-20"], "1 ranges were read that nobody asked for"),
        (said, ["piece-10", "piece-20", "piece-20"], "pieces of readings were written that no range made"),
    ):
        with pytest.raises(UnprovenError, match=complaint):
            proven(asked, read, written)


@pytest.mark.parametrize("body", [b"", b"x", b"{}" * 1000])
def test_a_proof_comes_back_as_it_went(body: bytes) -> None:
    read = RangeRead(("kafka:c", 'odd "name"', 2**60, 2**60 + 1), ["a", "b"], 2**60 + 1, 2**40)
    back, said = without_proof(with_proof(body, read))
    assert (back.to_pybytes(), said) == (body, read)


def test_segments_that_a_bounded_log_drops_before_they_are_read_fail_the_round_and_are_counted_by_the_next(tmp_path: Path) -> None:
    root = tmp_path / "log"
    with LogWriter(root, "p", segment_bytes=2_000) as writer:
        for seq in range(40):
            writer.append(Meta("jobs", "n1", "b", content_type=JSON), seq, b'[{"job":"j%d","node":"n1","start_ms":%d,"end_ms":%d}]' % (seq, T0, T0 + 1000), T0)
            writer.sync()
    kept = segments(root / "p")
    assert len(kept) > 2
    ranges = FileSource(root).plan({}, 2**30)
    kept[0][1].unlink()
    first = kept[1][0]
    with pytest.raises(WattlakeError, match=f"offsets 0 to {first} are no longer there"):
        list(ranges[0].read())

    dropping = tmp_path / "dropping"
    with patch.object(FileSource, "plan", lambda *_: ranges), pytest.raises(WattlakeError, match="no longer there"), Committer(dropping) as committer:
        land(committer, root, round_bytes=2**30)
    assert rows(dropping, "SELECT count(*) FROM lake.log_positions") == [(0,)]
    with Committer(dropping) as committer:
        land(committer, root, round_bytes=2**30)
    assert rows(dropping, "SELECT count(*) FROM lake.raw_jobs") == [(40 - first,)]
    assert [str(reason).partition(":")[0] for (reason,) in rows(dropping, "SELECT reason FROM lake.rejects")] == [f"{first} records lost"]
