"""Records that a later version has sent: kinds wait for it, columns are told, and nothing that this version knows is kept back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import later as later_version
from lakes import rows
from logs import Log, payload
from topics import Topics
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.message import Place, UnreadableError, from_message, to_message
from wattlake_contracts.kind import is_newer
from wattlake_contracts.kinds import JOBS, KINDS
from wattlake_contracts.record import ARROW, JSON, Meta, Record
from wattlake_contracts.tables import RAW_JOBS, TABLES
from wattlake_pipelines.account.account import account
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.decode import KEPT, decode
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.status import status
from wattlake_pipelines.land import take_up
from wattlake_pipelines.land.land import Landed, land
from wattlake_pipelines.land.proof import UnprovenError
from wattlake_pipelines.land.source import FileSource
from wattlake_pipelines.land.weight import BOOK_COPIES

T0 = 1_760_054_400_000


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A version that knows one kind more: `shifts`, with a table of their own."""
    with monkeypatch.context() as patched:
        patched.setitem(KINDS, "shifts", replace(JOBS, name="shifts", table="raw_shifts"))
        patched.setitem(TABLES, "raw_shifts", replace(RAW_JOBS, name="raw_shifts"))
        yield


def append(root: Path, *records: Record, partition: str = "p") -> None:
    with LogWriter(root, partition, max_record_bytes=2**30) as log:
        for record in records:
            log.append(record.meta, record.seq, record.payload, record.appended_ms)


def shift(seq: int, name: str, *, kind: str = "shifts", version: str = "1.0", size: int = 0, **more: object) -> Record:
    row = {"job": name, "node": "n", "start_ms": T0, "end_ms": T0 + 60_000, **more}
    return Record(Meta(kind, "n", "b", version), seq, T0, json.dumps([row]).encode() + b" " * size)


def landed(lake: Path, log: Path) -> Landed:
    with Committer(lake) as committer:
        done = land(committer, log, round_bytes=2**28)
        account(committer)
    return done


@pytest.mark.slow
def test_a_record_of_a_later_kind_waits_whole_in_the_lake_and_is_taken_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = tmp_path / "log", tmp_path / "lake"
    big = shift(1, "big", size=20_000)
    append(log, shift(0, "small"), big, shift(2, "known", kind="jobs"), shift(3, "other", kind="tariffs"), shift(0, "small"))
    done = landed(lake, log)
    assert (done.rows, done.rejects) == (1, 3)
    [(reason,)] = rows(lake, "SELECT DISTINCT reason FROM lake.rejects WHERE kind = 'shifts'")
    assert KEPT in str(reason)
    assert "unknown kind 'shifts'" in str(reason)
    assert "upgrade Wattlake here" in str(reason)
    assert "3 records are of kinds that this version does not know" in " ".join(status(lake)[2])
    # the log may give up what was landed, and may bring it again
    append(tmp_path / "again", big, shift(0, "small"))
    assert landed(lake, tmp_path / "again").rejects == 0, "what waits counts as seen"
    (tmp_path / "empty").mkdir()
    with later(monkeypatch):
        done = landed(lake, tmp_path / "empty")
        assert (done.rounds, done.records, done.rows, done.rejects) == (1, 2, 2, 0)
        assert rows(lake, "SELECT job, writer, boot, seq, appended_ms FROM lake.raw_shifts ORDER BY seq") == [
            ("small", "n", "b", 0, T0), ("big", "n", "b", 1, T0)]
        assert rows(lake, "SELECT job FROM lake.raw_jobs") == [("known",)]
        assert rows(lake, "SELECT kind FROM lake.rejects") == [("tariffs",)], "what was taken up is no reject any more"
        assert rows(lake, "SELECT kind, seq FROM lake.set_aside") == [("tariffs", 3)]
        assert landed(lake, log).rounds == 0
        assert landed(lake, tmp_path / "again").rounds == 0
        at_once = tmp_path / "at-once"
        landed(at_once, log)
        for one in ("rejects", "raw_shifts", "raw_jobs", "seen"):
            assert rows(lake, f"FROM lake.{one} ORDER BY ALL") == rows(at_once, f"FROM lake.{one} ORDER BY ALL"), "as if it had been known from the first"
    assert landed(lake, log).rounds == 0


def test_what_is_taken_up_is_checked_as_if_it_came_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = tmp_path / "log", tmp_path / "lake"
    append(log, shift(0, "bad", end_ms=T0 - 1), shift(1, "newer", kind="jobs", version="2.0"))
    landed(lake, log)
    assert rows(lake, "SELECT count(*) FROM lake.set_aside") == [(2,)], "a later major version waits, too"
    with later(monkeypatch):
        done = landed(lake, log)
    assert (done.rounds, done.rows, done.rejects) == (1, 0, 1)
    assert [str(r[0])[:25] for r in rows(lake, "SELECT reason FROM lake.rejects ORDER BY seq")] == ["the end must be after the", "version 2.0 is of another"]
    assert rows(lake, "SELECT seq FROM lake.set_aside") == [(1,)]


def test_what_waits_and_is_dropped_by_the_runner_waits_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = tmp_path / "log", tmp_path / "lake"
    append(log, shift(0, "night"))
    landed(lake, log)
    with later(monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(take_up, "land_pipeline", lambda *_: [])
            with pytest.raises(UnprovenError, match="1 of 1 ranges were not read to their end"):
                landed(lake, log)
        assert rows(lake, "SELECT seq FROM lake.set_aside") == [(0,)]
        landed(lake, log)
        assert rows(lake, "SELECT job FROM lake.raw_shifts") == [("night",)]
    assert rows(lake, "SELECT count(*) FROM lake.set_aside") == [(0,)]


def test_what_waits_is_taken_up_in_commits_that_are_as_large_as_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = tmp_path / "log", tmp_path / "lake"
    for seq in range(5):
        append(log, shift(2 * seq, f"s{seq}", size=1000), shift(2 * seq + 1, f"t{seq}", kind="tariffs"))
        landed(lake, log)
    (tmp_path / "empty").mkdir()
    each = max(BOOK_COPIES * pq.read_metadata(path).row_group(0).total_byte_size for (path,) in rows(lake, "SELECT DISTINCT filename FROM lake.set_aside"))
    with later(monkeypatch), Committer(lake) as committer:
        told: list[tuple[int, int]] = []
        source = FileSource(tmp_path / "empty")
        first = land(committer, source, round_bytes=2 * each, max_rounds=1)
        assert (first.rounds, first.rows) == (1, 2), "a follower goes on in its next round"
        done = land(committer, source, round_bytes=2 * each, progress=lambda records, rows: told.append((records, rows)))
        assert (done.rounds, done.records, done.rows, done.rejects) == (2, 3, 3, 0)
        assert told == [(2, 2), (3, 3)]
        assert land(committer, source, round_bytes=1).rounds == 0
        assert committer.query("SELECT job, seq FROM lake.raw_shifts ORDER BY job").fetchall() == [(f"s{n}", 2 * n) for n in range(5)]
        for table in ("set_aside", "rejects"):
            assert committer.query(f"SELECT kind, seq FROM lake.{table} ORDER BY seq").fetchall() == [("tariffs", 2 * n + 1) for n in range(5)], table


@pytest.mark.slow
def test_taking_up_that_is_killed_between_or_within_its_commits_goes_on_and_nothing_counts_twice(tmp_path: Path) -> None:
    log, lake = tmp_path / "log", tmp_path / "lake"
    support = str(Path(later_version.__file__).parent)
    newer = later_version.make(tmp_path / "later")["PYTHONPATH"]
    environment = {**os.environ, "PYTHONPATH": f"{newer}:{support}"}

    def land_there(where: Path, step: str, nth: int) -> int:
        """What is left of the later version's landing, a file a commit, that is killed there."""
        script = f"from pathlib import Path; from die_at import at; from lakes import run; " \
                 f"run(Path({str(where)!r}), Path({str(log)!r}), round_bytes=1, on_step=at({step!r}, {nth}, 'KILL'))"
        return subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, timeout=300).returncode

    def books(where: Path) -> dict[str, object]:
        asked = subprocess.run([sys.executable, later_version.__file__, "books", str(where)], env=environment, cwd=tmp_path, capture_output=True, timeout=300)
        assert asked.returncode == 0, asked.stderr
        return dict(json.loads(asked.stdout))

    for number in range(4):
        later_version.write(log, "p", "b", 6 * number, 6)
        landed(lake, log)
    assert rows(lake, "SELECT count(*), count(DISTINCT filename) FROM lake.set_aside") == [(16, 4)]
    assert land_there(lake, "added", 2) == -signal.SIGKILL
    assert land_there(lake, "committed", 1) == -signal.SIGKILL
    assert rows(lake, "SELECT count(*), count(DISTINCT filename) FROM lake.set_aside") == [(8, 2)]
    assert land_there(lake, "none", 1) == 0
    assert land_there(tmp_path / "at-once", "none", 1) == 0
    found, expected = books(lake), books(tmp_path / "at-once")
    for each in ("seen", "rows", "rejects", "set_aside", "faults"):
        assert found[each] == expected[each], each
    assert found["set_aside"] == found["rejects"] == found["faults"] == []
    assert sum(n for table, _, _, n in found["rows"] if table in {"raw_meters", "raw_shifts"}) == 16  # type: ignore[attr-defined]  # of JSON


def test_a_record_that_cannot_be_written_down_does_not_wait(tmp_path: Path) -> None:
    append(tmp_path / "log", Record(Meta("shifts", "n", "b", "1.0\0"), 0, T0, b"[]"))
    assert landed(tmp_path / "lake", tmp_path / "log").rejects == 1
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.set_aside") == [(0,)]


def test_columns_of_a_later_version_are_left_out_and_told_by_kind_and_column(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    log.put("jobs", [{"job": "a", "node": "n", "start_ms": T0}])
    append(log.root, shift(1, "b", kind="jobs", queue="q1", cost=3), shift(2, "c", kind="jobs", queue="q2"), shift(3, "d", kind="jobs"))
    mixed = [{"queue": 1}, 5, {"job": "e", "node": "n", "start_ms": T0, "queue": "q", "cost": 1.5}]
    append(log.root, Record(Meta("jobs", "n", "b"), 4, T0, json.dumps(mixed).encode()))
    plain = payload("readings", [reading(0)])[0]
    messages = [ipc(reading(m), temperature_mc=pa.array([40_000 + m])) for m in range(1, 40)]
    append(log.root, Record(Meta("readings", "n", "r", content_type=ARROW), 0, T0 + 10**7, plain),
           *(Record(Meta("readings", "n", "r", content_type=ARROW), 1 + n, T0 + 10**7, m) for n, m in enumerate(messages)), partition="r")
    done = landed(lake, log.root)
    assert done.unknown == {("jobs", "queue"): 4, ("jobs", "cost"): 2, ("readings", "temperature_mc"): 39}
    assert rows(lake, "SELECT count(*), count(DISTINCT ts_ms) FROM lake.raw_readings") == [(40, 40)]
    assert rows(lake, "SELECT job FROM lake.raw_jobs ORDER BY job") == [("a",), ("b",), ("c",), ("d",), ("e",)]
    assert done.rejects == 2, "the two rows that are none, and no row for its column"


def reading(minute: int) -> dict[str, object]:
    return {"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + minute * 60_000, "energy_mj": 9_000_000 * minute,
            "method": "counter", "boundary": "component", "simulated": False}


def ipc(row: dict[str, object], **more: pa.Array) -> bytes:
    table = pa.Table.from_pylist([row], kind_schema(KINDS["readings"]))
    for name, values in more.items():
        table = table.append_column(name, values)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_names_of_unknown_columns_are_few_and_short_whatever_comes(tmp_path: Path) -> None:
    many = {f"x{n}": 1 for n in range(500)}
    append(tmp_path / "log", shift(0, "a", kind="jobs", **many), shift(1, "b", kind="jobs", **{"y" * 10_000: 1, "\0": 3}))
    done = landed(tmp_path / "lake", tmp_path / "log")
    assert done.rows == 2
    assert len(done.unknown) == 101
    assert sum(done.unknown.values()) == 502
    assert all(len(column) <= 100 for _, column in done.unknown)


def test_a_record_of_an_earlier_version_lacks_columns_and_is_taken_all_the_same(tmp_path: Path) -> None:
    old = kind_schema(KINDS["readings"]).remove(kind_schema(KINDS["readings"]).get_field_index("boundary"))
    table = pa.Table.from_pylist([reading(0)], old)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    made = decode(Record(Meta("readings", "n", "b", content_type=ARROW), 0, T0, sink.getvalue().to_pybytes()))
    assert (made.table["boundary"].to_pylist(), made.unknown, made.rejects) == ([None], {}, [])
    made = decode(Record(Meta("jobs", "n", "b", content_type=JSON), 0, T0, b'{"job":"j","node":"n","start_ms":1}'))
    assert (made.table["team"].to_pylist(), made.unknown, made.rejects) == ([None], {}, [])


@pytest.mark.parametrize(("version", "newer"), [("1.0", False), ("1.99", False), ("2.0", True), ("10.3", True), ("0.9", False), ("2", False), ("x.1", False)])
def test_only_a_later_major_version_is_worth_waiting_for(version: str, newer: bool) -> None:
    assert is_newer(version) is newer


def test_a_message_of_a_later_kind_on_a_topic_of_this_version_is_a_record(kafka: Kafka, topic_prefix: str, tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("reference", "g", 0, 7, 5)
    record = shift(3, "a", version="1.4")
    assert from_message(place, *to_message(record)) == record
    for schema in (b"urn:wattlake:jobs:1.0", b"urn:wattlake:No Kind:1.0", b"urn:wattlake:" + b"x" * 99 + b":1.0"):
        with pytest.raises(UnreadableError, match="does not go on this topic"):
            from_message(place, b"k", b"{}", [("ce_dataschema", schema)])
    topics = Topics(kafka.address, topic_prefix)
    topics.send("jobs", [to_message(shift(0, "a")), to_message(shift(1, "b", kind="jobs"))])
    lake = tmp_path / "lake"
    with Committer(lake) as committer:
        assert land(committer, topics.source(), round_bytes=2**28).rejects == 1
    with later(monkeypatch), Committer(lake) as committer:
        done = land(committer, topics.source(), round_bytes=2**28)
        assert (done.records, done.rows, done.rejects) == (1, 1, 0)
        assert committer.query("SELECT job, seq FROM lake.raw_shifts").fetchall() == [("a", 0)]
