"""Records of any size: a round of landing from Kafka takes what it should, whatever it has to learn first, and all lands exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import pytest

from lakes import rows
from logs import Log
from topics import Topics
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import JSON, Meta
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land import land as landing
from wattlake_pipelines.land.land import Landed, land
from wattlake_pipelines.land.pipeline import Part, land_pipeline
from wattlake_pipelines.land.read_range import read_range
from wattlake_pipelines.land.source import FileRange, FileSource, Range
from wattlake_pipelines.land.weight import BOOK_COPIES, Weight

T0 = 1_760_000_000_000
MIB = 2**20


def job(name: str, size: int) -> bytes:
    """A job whose text is so large."""
    row = {"job": name, "node": "n1", "start_ms": T0, "end_ms": T0 + 1000}
    more = [{**row, "job": f"{name}-{i}", "model": "m" * 60_000} for i in range(size // 60_000)]
    return json.dumps([{**row, "model": "m" * min(size, 60_000)}, *more]).encode()


@contextmanager
def watched() -> Iterator[list[tuple[list[Range], list[Part]]]]:
    """What each attempt was to read, and what came of it."""
    attempts: list[tuple[list[Range], list[Part]]] = []

    def pipeline(ranges: Sequence[Range], *rest: object) -> list[Part]:
        attempts.append((list(ranges), land_pipeline(ranges, *rest)))  # type: ignore[arg-type]  # handed on as it came
        return attempts[-1][1]

    with patch.object(landing, "land_pipeline", pipeline):
        yield attempts


def weights(parts: Sequence[Part]) -> list[int]:
    return [read.weight_bytes for part in parts for read in part.read]


def is_whole(parts: Sequence[Part]) -> bool:
    return all(read.is_whole for part in parts for read in part.read)


@pytest.mark.slow
def test_rounds_of_large_records_stay_as_large_as_they_should_be(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    pieces = 3
    topics, lake, log = Topics(kafka.address, topic_prefix), tmp_path / "lake", Log(tmp_path / "log")
    large = [(b"n1", job(f"j{i}", 300_000), []) for i in range(24)]
    topics.send("jobs", large)
    topics.send("jobs", [(b"n1", job(f"s{i}", 10), []) for i in range(40)], 1)
    for i in range(300):
        log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")
    topics.ship(log.root)
    round_bytes = 16 * MIB
    with watched() as attempts, Committer(lake) as committer:
        done = land(committer, topics.source(), round_bytes=round_bytes, pieces=pieces)
    each = BOOK_COPIES * len(large[0][1])
    wasted = [parts for _, parts in attempts if not is_whole(parts)]
    assert 1 <= len(wasted) <= 4
    assert done.rounds == len(attempts) - len(wasted)
    assert done.records == 364
    assert 24 * each / (2 * round_bytes) <= done.rounds <= 10
    assert all(sum(weights(parts)) <= 2 * round_bytes + pieces * 2 * each for _, parts in attempts), "the thrown away ones too"
    assert rows(lake, "SELECT count(*), count(DISTINCT job) FROM lake.raw_jobs") == [(24 * 6 + 40, 24 * 6 + 40)]
    assert rows(lake, "SELECT count(*), count(DISTINCT ts_ms) FROM lake.raw_readings") == [(300, 300)]
    assert rows(lake, "FROM lake.rejects") == []
    assert rows(lake, "SELECT count(*) FROM lake.commits WHERE stage = 'land'") == [(done.rounds,)]
    began_with = {where.partition.partition("/")[0] for where in attempts[0][0] if where.end > where.start}
    assert began_with == {"jobs", "readings"}, "large records do not keep the others waiting"


def test_a_record_that_is_larger_than_a_round_is_one(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics, lake = Topics(kafka.address, topic_prefix, partitions=1), tmp_path / "lake"
    topics.send("jobs", [(b"n1", job(f"j{i}", 300_000), []) for i in range(3)])
    with Committer(lake) as committer:
        done = land(committer, topics.source(), round_bytes=MIB)
    assert (done.rounds, done.records, done.rows) == (3, 3, 18)


class Bounded(FileRange):
    """A range of a file log that bears a bound, as those of Kafka do."""

    bound_bytes: ClassVar[int] = 200_000


def written(root: Path, payloads: Sequence[bytes], kind: str = "jobs", version: str = "1.0") -> Bounded:
    with LogWriter(root, "p", max_record_bytes=2**24) as writer:
        for seq, payload in enumerate(payloads):
            writer.append(Meta(kind, "n1", "b", version, content_type=JSON), seq, payload, T0)
    [whole] = FileSource(root).plan({}, 2**30)
    return Bounded(whole.log, whole.root, whole.partition, whole.start, whole.end)


def weighed(where: Range) -> Weight:
    weight = Weight(where.start, where.bound_bytes)
    assert len(list(read_range(where, 1, weight))) == 1
    return weight


@pytest.mark.parametrize(("payloads", "kind", "version", "reached"), [
    ([job("j", 10_000)] * 20, "jobs", "1.0", 3),
    ([b"[" + b"5," * 400 + b"5]"] * 90, "jobs", "1.0", 32),
    ([b" " * 20_000] * 20, "jobs", "2.0", 2),
    ([b" " * 20_000] * 20, "shifts", "1.0", 2),
    ([job("j", 300_000)], "jobs", "1.0", 1),
])
def test_reading_ends_where_it_becomes_too_much_and_never_within_a_record(tmp_path: Path, payloads: list[bytes], kind: str, version: str, reached: int) -> None:
    weight = weighed(written(tmp_path / "log", payloads, kind, version))
    assert weight.reached == reached
    assert weight.is_too_much


def test_what_few_bytes_become_counts_and_what_is_kept_for_a_later_version_and_what_is_rejected(tmp_path: Path) -> None:
    rows_of = b"[" + b",".join(b'{"job":"j","node":"n","start_ms":%d}' % (T0 + i) for i in range(100)) + b"]"
    told = (("rows", rows_of, "jobs"), ("later", rows_of, "shifts"), ("text", job("j", 50_000), "jobs"), ("bad", b"[5,5,5]", "jobs"))
    sizes = {name: weighed(written(tmp_path / name, [payload], kind)).bytes / BOOK_COPIES / len(payload) for name, payload, kind in told}
    assert sizes["rows"] > 6
    assert sizes["later"] > 2
    assert 1 <= sizes["text"] < 1.1
    assert sizes["bad"] > 200


def test_a_range_that_was_too_much_is_never_committed_though_its_source_learns_nothing(tmp_path: Path) -> None:
    where = written(tmp_path / "log", [job("j", 10_000)] * 20)
    lake = tmp_path / "lake"
    with patch.object(FileSource, "plan", lambda *_: [where]), Committer(lake) as committer:
        assert landing.land_round(committer, FileSource(tmp_path / "log"), [where], ()) is None
    assert all(rows(lake, f"SELECT count(*) FROM lake.{table}") == [(0,)] for table in ("raw_jobs", "log_positions", "commits"))
    with Committer(lake) as committer:
        assert land(committer, tmp_path / "log", round_bytes=2**30) == Landed(1, 20, 20, 0)
