"""Upkeep between a follower's commits: few files, few snapshots, each row written a few times, and the same facts."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lakes import dump, rows, run
from logs import Log
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake import maintain as maintain_module
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.sizes import small_ones
from wattlake_pipelines.land.land import land

HOUR = 3_600_000
T0 = 1_760_000_400_000 // HOUR * HOUR


def _put(log: Log, seconds: range, device: str = "gpu0") -> None:
    log.put("readings", [{"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + s * 1000, "energy_mj": 90_000 * s,
                          "method": "counter", "boundary": "component", "simulated": False} for s in seconds])


def _follow(committer: Committer, log: Log, *, maintained: bool) -> None:
    """Twenty rounds of some seconds each, the late and the early ones mixed."""
    starts = (0, 300, 3500, 600, 3800, 1200, 900, 7, 3507, 4500, 1500, 1207, 607, 307, 2400, 1800, 2100, 8, 3300, 907)
    rounds = [range(start, start + 300, 15) for start in starts]
    for number, seconds in enumerate(rounds):
        _put(log, seconds)
        land(committer, log.root, round_bytes=2**26)
        if maintained and number % 3 == 0:
            # with marks that wait to be accounted for
            maintain(committer, keep_days=0)
        account(committer)
        if maintained and number % 3 == 1:
            maintain(committer, keep_days=0)


@pytest.mark.slow
def test_facts_of_a_lake_kept_up_between_commits_are_those_of_one_run(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with Committer(tmp_path / "lake") as committer:
        _follow(committer, log, maintained=True)
    run(tmp_path / "once", log.root)
    assert dump(tmp_path / "lake") == dump(tmp_path / "once")
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.reading_bounds WHERE device = 'gpu0'")[0][0] < 60  # type: ignore[operator]  # a number
    # what comes later still finds its neighbours
    _put(log, range(0, 9000, 31))
    run(tmp_path / "lake", log.root)
    run(tmp_path / "again", log.root)
    assert dump(tmp_path / "lake") == dump(tmp_path / "again")


@pytest.mark.slow
def test_books_stay_few_files_however_many_commits(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with Committer(tmp_path / "lake") as committer:
        _follow(committer, log, maintained=False)
        for book in ("files", "commits", "dirty", "log_positions"):
            listed = committer.query(f"SELECT count(*), count(delete_file) FROM ducklake_list_files('lake', '{book}')").fetchall()
            assert listed in ([(0, 0)], [(1, 0)])
        assert committer.query("SELECT count(*) FROM lake.commits").fetchall() == [(40,)]
        assert committer.query("SELECT count(*) FROM lake.files WHERE table_name = 'raw_readings'").fetchall() == [(20,)]
        done = maintain(committer, keep_days=1)
        assert done.merged_files == 40
        # a few more are not worth the writing, unless all is to be put in order
        _put(log, range(5000, 5010))
        land(committer, log.root, round_bytes=2**26)
        account(committer)
        assert maintain(committer, keep_days=1).merged_files == 0
        assert maintain(committer, keep_days=1, thorough=True).merged_files == 2


def test_files_of_few_rows_that_are_long_texts_are_not_joined_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log")
    with Committer(tmp_path / "lake") as committer:
        for number in range(20):
            log.put("jobs", [{"job": f"j{number}", "node": "n", "start_ms": T0, "end_ms": T0 + HOUR, "model": os.urandom(15_000).hex()}])
            land(committer, log.root, round_bytes=2**26)
        files = "SELECT count(*) FROM lake.files WHERE table_name = 'raw_jobs'"
        # each takes more than this on the disk, and holds one row
        monkeypatch.setattr(maintain_module, "_LARGE_ROWS", 10_000 // maintain_module._ROW_BYTES)
        maintain(committer, keep_days=1)
        assert committer.query(files).fetchall() == [(20,)]
        maintain(committer, keep_days=1, thorough=True)
        assert committer.query(files).fetchall() == [(1,)]


def test_what_is_merged_hides_nothing_of_what_is_not(tmp_path: Path) -> None:
    """A node's one file of a day beside another node's merged files of another, found by each of its columns."""
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    for number, (node, day, simulated) in enumerate([("a", 0, True), ("b", 1, False), ("b", 1, False)]):
        start = T0 + day * 24 * HOUR
        log.put("readings", [{"node": node, "device": f"{node}-gpu", "device_kind": "gpu", "epoch": node, "ts_ms": start + 1000 * number,
                              "energy_mj": 1, "method": "counter", "boundary": "component", "simulated": simulated}], node=node, boot=f"{node}-boot")
        run(lake, log.root)
    with Committer(lake) as committer:
        assert maintain(committer, keep_days=0, thorough=True).merged_files >= 2
    found = ("node = 'a'", "device = 'a-gpu'", "epoch = 'a'", "boot = 'a-boot'", "simulated")

    def counts() -> list[tuple[object, ...]]:
        return [rows(lake, f"SELECT count(*) FROM lake.raw_readings WHERE {condition}")[0] for condition in found]

    assert counts() == [(1,)] * len(found)
    # what earlier versions left in the catalogue
    with closing(sqlite3.connect(lake / "catalogue.sqlite")) as catalogue, catalogue:
        changed = catalogue.execute("""
            UPDATE ducklake_table_column_stats SET min_value = 'b', max_value = 'b'
            WHERE table_id = (SELECT table_id FROM ducklake_table WHERE table_name = 'raw_readings') AND column_id = 1""").rowcount
    assert changed == 1
    assert counts() == [(1,)] * len(found)


def test_snapshots_of_the_last_minutes_stay_then_one_an_hour_then_one_a_day(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    _put(log, range(10))
    for _ in range(3):
        _put(log, range(10))
        run(tmp_path / "lake", log.root)
    now = time.time()
    hours, days = now // 3600 * 3600, now // 86400 * 86400
    # (seconds since 1970, whether it is to stay); the last of an hour, or of a day, is the one to stay
    wanted = [(days - 9 * 86400, False), (days - 4 * 86400 + 3600, False), (days - 4 * 86400 + 7200, True), (hours - 8 * 3600 + 60, False),
              (hours - 8 * 3600 + 120, True), (now - 120, True), (now - 60, True)]
    with closing(sqlite3.connect(tmp_path / "lake" / "catalogue.sqlite")) as database, database:
        found = [number for (number,) in database.execute("SELECT snapshot_id FROM ducklake_snapshot ORDER BY snapshot_id DESC")][1:len(wanted) + 1][::-1]
        earlier = datetime.fromtimestamp(now - 100 * 86400, UTC)
        database.execute("UPDATE ducklake_snapshot SET snapshot_time = ? WHERE snapshot_id < ?", [f"{earlier:%Y-%m-%d %H:%M:%S}+00", found[0]])
        for number, (at, _) in zip(found, wanted, strict=True):
            database.execute("UPDATE ducklake_snapshot SET snapshot_time = ? WHERE snapshot_id = ?",
                             [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}+00", number])
    before = dump(tmp_path / "lake")
    with Committer(tmp_path / "lake") as committer:
        maintain(committer, keep_days=7)
        stay = [number for (number,) in committer.query("SELECT snapshot_id FROM ducklake_snapshots('lake') ORDER BY 1").fetchall()]
    assert stay[:-1] == [number for number, (_, stays) in zip(found, wanted, strict=True) if stays]
    assert dump(tmp_path / "lake") == before


def test_files_are_joined_with_no_larger_one_than_all_smaller_ones_together() -> None:
    assert small_ones([("a", 5), ("b", 7)], 0, 10) == ["a", "b"]
    assert small_ones([("big", 1000), ("a", 5), ("b", 7)], 0, 10) == ["a", "b"]
    assert small_ones([("c", 12), ("d", 24), ("big", 49), ("a", 5), ("b", 7)], 0, 10) == ["a", "b", "c", "d"]
    assert small_ones([("big", 49)], 50, 10) == ["big"]
    assert small_ones([], 50, 10) == []


@pytest.mark.parametrize("commits", [10, 100, 1000])
def test_files_grow_no_faster_than_the_logarithm_of_the_commits(commits: int) -> None:
    files: list[int] = []
    written = 0
    for _ in range(commits):
        taken = small_ones(list(enumerate(files)), 1, 1)
        made = 1 + sum(files[i] for i in taken)
        written += made
        files = [size for i, size in enumerate(files) if i not in taken] + [made]
    assert sum(files) == commits
    assert len(files) <= commits.bit_length()
    assert written <= commits * (commits.bit_length() + 1)
