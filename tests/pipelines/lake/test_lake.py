"""The lake and its committer: one writer, whole commits, upkeep that changes no figure, files that are checked."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lakes import dump, rows, run
from logs import Log
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.manifest import Manifest, StagedFile
from wattlake_pipelines.lake.status import status
from wattlake_pipelines.lake.verify import verify

HOUR = 3_600_000
T0 = 1_760_054_400_000


def _put(log: Log, minute: int) -> None:
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + (minute + m) * 60_000,
                          "energy_mj": 9_000_000 * (minute + m), "method": "counter", "boundary": "component", "simulated": False} for m in range(20)])


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake made in three runs of twenty minutes."""
    log = Log(tmp_path / "log")
    for minute in (0, 20, 40):
        _put(log, minute)
        run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def test_a_second_committer_is_refused_while_the_first_is_at_work(lake: Path) -> None:
    with Committer(lake), pytest.raises(WattlakeError, match="another committer"):
        Committer(lake)


def test_a_committer_that_was_superseded_commits_nothing(lake: Path) -> None:
    before = dump(lake)
    with Committer(lake) as committer:
        # the lock is advisory: a committer on a file system without locks is stopped by its epoch
        committer.connection.close()
        meta.next_epoch(lake)
        from wattlake_pipelines.lake.connection import attach

        committer.connection = attach(committer.lake)
        with pytest.raises(CommitRefusedError, match="taken over"):
            committer.commit(Manifest("land", "late", positions=(("log", "p", 0, 5),)))
    assert dump(lake) == before
    assert rows(lake, "SELECT count(*) FROM lake.log_positions WHERE log = 'log'") == [(0,)]


def test_whoever_locks_the_catalogue_before_the_epoch_is_taken_is_told_of_and_after_it_is_not_waited_for(
        lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a committer that is taken over from, and wakes in the middle of a commit."""
    really = meta.next_epoch
    monkeypatch.setattr(meta, "_PATIENCE_S", 0.2)
    with closing(sqlite3.connect(lake / "catalogue.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WattlakeError, match="the catalogue is locked by another program"):
            Committer(lake)
        other.execute("ROLLBACK")

        def taken(*given: Any) -> int:
            epoch = really(*given)
            other.execute("BEGIN IMMEDIATE")
            return epoch

        monkeypatch.setattr(meta, "next_epoch", taken)
        with Committer(lake) as committer:
            assert committer.query("SELECT count(*) > 0 FROM lake.raw_readings").fetchall() == [(True,)]
            other.execute("ROLLBACK")


def test_an_altered_staged_file_is_refused(lake: Path, tmp_path: Path) -> None:
    bad = tmp_path / "x.parquet"
    bad.write_bytes(b"not what was hashed")
    with Committer(lake) as committer, pytest.raises(CommitRefusedError, match="altered"):
        committer.commit(Manifest("land", "a", (StagedFile("seen", "x.parquet", str(bad), 1, bad.stat().st_size, "0" * 64),)))


def test_a_range_that_does_not_follow_is_refused(lake: Path) -> None:
    [(log, partition, position)] = rows(lake, "SELECT * FROM lake.log_positions")
    with Committer(lake) as committer, pytest.raises(CommitRefusedError, match="do not follow"):
        committer.commit(Manifest("land", "a", positions=((str(log), str(partition), int(str(position)) + 1, int(str(position)) + 2),)))


def test_upkeep_merges_files_and_changes_no_figure(lake: Path) -> None:
    before = dump(lake), rows(lake, "SELECT * FROM lake.raw_readings ORDER BY ALL")
    assert rows(lake, "SELECT count(*) FROM lake.files WHERE table_name = 'raw_readings'") == [(3,)]
    with Committer(lake) as committer:
        done = maintain(committer, keep_days=0, thorough=True)
        assert verify(committer)[1] == []
    assert done.merged_files == 3
    assert done.expired_snapshots > 0
    assert (dump(lake), rows(lake, "SELECT * FROM lake.raw_readings ORDER BY ALL")) == before
    on_disk = {str(p.relative_to(lake)) for p in (lake / "data").rglob("*.parquet")}
    named = {str(p) for (p,) in rows(lake, "SELECT path FROM lake.files")}
    books = {p for p in on_disk if p.split("/")[2] in {"files", "commits", "dirty", "log_positions"}}
    assert on_disk - books == named


def test_upkeep_deletes_what_a_killed_worker_left(lake: Path) -> None:
    (lake / "staging" / "dead").mkdir()
    (lake / "staging" / "dead" / "half.parquet").write_bytes(b"x")
    stray = lake / "data" / "main" / "seen" / "moved-in-and-not-committed.parquet"
    shutil.copy(next((lake / "data").rglob("raw_readings/*.parquet")), stray)
    before = dump(lake)
    with Committer(lake) as committer:
        assert maintain(committer, keep_days=0).orphans == 1
    assert not stray.exists()
    assert not list((lake / "staging").iterdir())
    assert dump(lake) == before


def test_a_landing_after_upkeep_goes_on(lake: Path, tmp_path: Path) -> None:
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
    log = Log(tmp_path / "log")
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": T0, "end_ms": T0 + HOUR // 2}], boot="later")
    run(lake, log.root)
    run(tmp_path / "again", log.root)
    assert dump(lake) == dump(tmp_path / "again")


@pytest.mark.parametrize("table", ["raw_readings", "fact_energy", "seen"])
def test_a_flipped_bit_is_found(lake: Path, table: str) -> None:
    [(name,), *_] = rows(lake, f"SELECT path FROM lake.files WHERE table_name = '{table}'")
    path = lake / str(name)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with Committer(lake) as committer:
        faults = verify(committer)[1]
    assert [(f.path, "changed" in f.what) for f in faults] == [(name, True)]


def test_a_lake_that_was_moved_is_read_written_and_verified(lake: Path, tmp_path: Path) -> None:
    before = dump(lake)
    moved = lake.rename(tmp_path / "elsewhere")
    assert dump(moved) == before
    log = Log(tmp_path / "log")
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": T0, "end_ms": T0 + HOUR // 2}], boot="later")
    run(moved, log.root)
    with Committer(moved) as committer:
        assert verify(committer)[1] == []
    assert dump(moved)["fact_energy"] != before["fact_energy"]


def test_a_lake_of_a_newer_layout_is_not_touched(lake: Path) -> None:
    with sqlite3.connect(lake / "catalogue.sqlite") as database:
        database.execute("UPDATE wattlake_meta SET value = '99' WHERE key = 'lake_version'")
    with pytest.raises(WattlakeError, match="newer Wattlake"):
        Committer(lake)


def test_a_catalogue_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "catalogue.sqlite").write_bytes(b"not a database, but long enough to look at" * 30)
    with pytest.raises(WattlakeError, match="not a Wattlake catalogue"):
        Committer(tmp_path / "lake")


def test_status_tells_of_records_that_are_missing_between_those_that_came(tmp_path: Path) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    for node, boot, numbers in (("a", "b1", (4, 5, 9)), ("a", "b2", (0, 2)), ("c", "b3", (7, 8)), ("d", "at-1", (0, 50))):
        for seq in numbers:
            log.put("readings", [{"node": node, "device": "gpu0", "ts_ms": T0 + 1000 * seq, "energy_mj": seq}], node=node, boot=boot, seq=seq)
    run(lake, log.root)
    [told] = [remark for remark in status(lake)[2] if "missing" in remark]
    assert told.startswith("4 records are missing between those that landed (a: 4): ")
    for boot, numbers in (("b1", (8, 7, 6)), ("b2", (1,))):
        for seq in numbers:
            log.put("readings", [{"node": "a", "device": "gpu0", "ts_ms": T0 + 1000 * seq, "energy_mj": seq}], node="a", boot=boot, seq=seq)
    run(lake, log.root)
    assert not [remark for remark in status(lake)[2] if "missing" in remark]


def test_a_lock_that_cannot_be_written_stops_no_commit(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is for others to read; were it an error, a commit that is made could be taken for one that failed."""
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with Committer(lake) as committer:
        monkeypatch.setattr(os, "pwrite", fails)
        assert committer.commit(Manifest("land", "late", positions=(("log", "p", 0, 5),))) > 0
    monkeypatch.undo()
    assert rows(lake, "SELECT next_offset FROM lake.log_positions WHERE log = 'log'") == [(5,)]
