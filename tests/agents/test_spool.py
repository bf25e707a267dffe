"""Records on their way to the log: a full disk, a full log, a taken partition."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattlake_agents.spool import Spool
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.filelog.reader import bounds


def test_a_record_is_numbered_once_and_found_in_the_log(tmp_path: Path, log_book: Callable[[Path], Any]) -> None:
    spool = Spool(tmp_path, "n1", "agent.n1")
    spool.open()
    spool.add_json("nodes", [{"node": "n1", "event": "heartbeat"}])
    spool.add("readings", b"x", 1, arrow=True)
    assert spool.sync()
    spool.add_json("nodes", [{"node": "n1", "event": "heartbeat"}])
    spool.close()
    assert [(r.meta.kind, r.meta.boot, r.seq) for r in log_book(tmp_path).records()] == [
        ("nodes", spool.boot, 0), ("readings", spool.boot, 1), ("nodes", spool.boot, 2)]


def test_while_the_disk_is_full_records_wait_and_keep_their_numbers(small_disk: Path, log_book: Callable[[Path], Any]) -> None:
    ballast = small_disk / "ballast"
    spool = Spool(small_disk / "log", "n1", "agent.n1")
    spool.open()
    spool.add("readings", b"a" * 1000, 10, arrow=True)
    assert spool.sync()
    free = os.statvfs(small_disk)
    ballast.write_bytes(b"\0" * (free.f_bavail * free.f_bsize))
    for letter in (b"b", b"c"):
        spool.add("readings", letter * 5000, 10, arrow=True)
        assert not spool.sync()
    assert "No space left" in spool.error
    assert (spool.pending, spool.lost_rows) == (2, 0)
    ballast.unlink()
    assert spool.sync()
    assert (spool.error, spool.pending) == ("", 0)
    records = log_book(small_disk / "log").records()
    assert [(r.seq, bytes(r.payload)[:1]) for r in records] == [(0, b"a"), (1, b"b"), (2, b"c")]
    spool.close()


def test_when_the_disk_stays_full_the_oldest_go_and_are_counted(small_disk: Path, log_book: Callable[[Path], Any]) -> None:
    ballast = small_disk / "ballast"
    spool = Spool(small_disk / "log", "n1", "agent.n1", pending_bytes=20_000)
    spool.open()
    free = os.statvfs(small_disk)
    ballast.write_bytes(b"\0" * (free.f_bavail * free.f_bsize))
    for _ in range(10):
        spool.add("readings", b"x" * 5000, 7, arrow=True)
        assert not spool.sync()
    assert (spool.pending, spool.lost_rows) == (4, 42)
    ballast.unlink()
    assert spool.sync()
    assert [r.seq for r in log_book(small_disk / "log").records()] == [6, 7, 8, 9]
    spool.close()


def test_a_disk_that_is_full_at_the_start_is_no_end(small_disk: Path, log_book: Callable[[Path], Any]) -> None:
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    with ballast.open("wb") as file:
        file.write(b"\0" * (free.f_bavail * free.f_bsize))
    spool = Spool(small_disk / "log", "n1", "agent.n1")
    spool.open()
    spool.add("readings", b"x" * 5000, 1, arrow=True)
    assert not spool.sync()
    ballast.unlink()
    assert spool.sync()
    assert len(log_book(small_disk / "log").records()) == 1
    spool.close()


def test_a_log_at_its_bound_counts_what_it_deletes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "n1", "agent.n1", max_bytes=8 * 2**20)
    spool.open()
    for _ in range(20):
        spool.add("readings", os.urandom(900_000), 1, arrow=True)
        assert spool.sync()
    first, end = bounds(tmp_path, "agent.n1")
    assert spool.lost_records == first > 0
    assert end == 20
    assert sum(p.stat().st_size for p in (tmp_path / "agent.n1").glob("*.wlog")) <= 8 * 2**20
    spool.close()


def test_a_partition_that_another_agent_writes_is_refused(tmp_path: Path) -> None:
    first = Spool(tmp_path, "n1", "agent.n1")
    first.open()
    with pytest.raises(LogError, match="another process"):
        Spool(tmp_path, "n1", "agent.n1").open()
    first.close()


def test_many_rows_are_split_over_records(tmp_path: Path, log_book: Callable[[Path], Any]) -> None:
    spool = Spool(tmp_path, "n1", "agent.n1")
    spool.open()
    spool.add_json("jobs", [{"job": f"j{i}", "text": "x" * 1000} for i in range(2000)])
    assert spool.sync()
    spool.close()
    book = log_book(tmp_path)
    assert len(book.records()) > 1
    assert [row["job"] for row in book.rows("jobs")] == [f"j{i}" for i in range(2000)]


def test_a_row_that_no_record_takes_is_counted_and_holds_up_no_other(tmp_path: Path, log_book: Callable[[Path], Any]) -> None:
    spool = Spool(tmp_path, "n1", "agent.n1", max_record_bytes=10_000)
    spool.open()
    spool.add_json("jobs", [{"job": "a"}, {"job": "b" * 20_000}, {"job": "c"}])
    assert spool.sync()
    spool.add_json("jobs", [{"job": "d"}])
    assert spool.sync()
    assert (spool.lost_rows, spool.pending, spool.rows, spool.error) == (1, 0, 3, "")
    spool.close()
    records = log_book(tmp_path).records()
    assert [bytes(r.payload) for r in records] == [b'[{"job":"a"}]', b'[{"job":"c"}]', b'[{"job":"d"}]']
