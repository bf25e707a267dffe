"""Ways out of the sandbox, each tried on a real lake through a real child process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import catalogue
from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.sql import landlock
from wattlake_warehouse.sql.child import lock
from wattlake_warehouse.sql.limits import Limits
from wattlake_warehouse.sql.session import Session, open_session

LIMITS = Limits(rows=100, timeout_s=30, memory_mib=256, threads=2, result_mib=4, spill_mib=64)


@pytest.fixture(scope="module")
def session(lake: Path) -> Iterator[Session]:
    with open_session(lake, LIMITS) as session:
        yield session


def fingerprint(lake: Path) -> dict[str, str]:
    # SQLite may touch its -shm file; what counts is the catalogue and the data
    return {str(p.relative_to(lake)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(lake.rglob("*")) if p.is_file() and not p.name.endswith(("-shm", "-wal"))}


@pytest.mark.parametrize("escape", [
    "COPY (SELECT 1) TO '{lake}/data/x.parquet'",
    "COPY (SELECT 1) TO '{data_file}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/data/x.parquet'",
    "ATTACH '{lake}/x.duckdb' AS x",
    "ATTACH '{catalogue}' AS x (TYPE sqlite)",
    "INSTALL httpfs",
    "LOAD '{lake}/x.duckdb_extension'",
    "FROM read_text('/etc/passwd')",
    "FROM '/etc/passwd'",
    "FROM read_csv('/proc/self/environ')",
    "FROM glob('/etc/*')",
    "SET enable_external_access = true",
    "PRAGMA memory_limit='100GB'",
    "INSERT INTO lake.fact_energy SELECT * FROM lake.fact_energy",
    "DELETE FROM lake.fact_energy",
    "UPDATE lake.dim_jobs SET team = 'x'",
    "DROP TABLE lake.fact_energy",
    "CREATE TABLE t AS SELECT 1",
    "FROM sqlite_scan('{catalogue}', 'wattlake_meta')",
    "FROM query('SELECT * FROM sqlite_scan(''{catalogue}'', ''wattlake_meta'')')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM range(1)'))",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "SELECT 1; DROP VIEW fact_energy",
    "FROM arrow_scan(1, 2, 3)",
    "FROM sys",
    "FROM limits",
    "FROM 'https://example.org/x.parquet'",
    "FROM '{catalogue}'",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
])
def test_an_escape_fails_and_changes_nothing(session: Session, lake: Path, escape: str) -> None:
    before = fingerprint(lake)
    data_file = next(iter(sorted(lake.glob("data/**/*.parquet"))))
    with pytest.raises(WattlakeError):
        session.ask(escape.format(lake=lake, catalogue=catalogue(lake), data_file=data_file))
    assert fingerprint(lake) == before
    assert session.ask("SELECT count(*) FROM fact_energy").rows == [[492]]


@pytest.mark.parametrize("escape", [
    "COPY (SELECT 1) TO '/tmp/wattlake-escape.csv'", "FROM read_text('/etc/passwd')", "ATTACH '/tmp/wattlake-escape.duckdb'", "INSTALL httpfs", "LOAD httpfs",
    "SET enable_external_access = true", "SET memory_limit = '1TB'", "SET allowed_directories = ['/']", "RESET lock_configuration",
    "DELETE FROM lake.fact_energy",
    "FROM sys", "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
])
def test_duckdbs_own_locks_hold_even_for_a_statement_that_was_not_checked(lake: Path, escape: str) -> None:
    with open_lake(lake) as connection:
        lock(connection, lake, LIMITS)
        with pytest.raises(duckdb.Error):
            connection.execute(escape).fetchall()
        assert connection.execute("SELECT count(*) FROM fact_energy").fetchall() == [(492,)]


def test_a_cross_join_of_10_to_the_19_rows_ends_with_the_time_limit(lake: Path) -> None:
    with open_session(lake, Limits(timeout_s=2)) as session:
        session.start()
        began = time.monotonic()
        with pytest.raises(WattlakeError, match="more than 2 s") as caught:
            session.ask("SELECT sum(a.range * b.range) FROM range(4000000000) a, range(4000000000) b")
        assert time.monotonic() - began < 30
        assert "--timeout" in caught.value.next_step
        # the next statement gets a new process
        assert Session.ask(_patient(session), "SELECT 1").rows == [[1]]


def _patient(session: Session) -> Session:
    session.limits = Limits(timeout_s=60)
    return session


def test_a_result_of_4_trillion_rows_is_cut_at_the_row_limit(session: Session) -> None:
    result = session.ask("SELECT a.range, unnest(range(1000)) FROM range(4000000000) a")
    assert len(result.rows) == 100
    assert result.cut


def test_exactly_as_many_rows_as_allowed_are_not_cut(session: Session) -> None:
    result = session.ask("FROM range(100)")
    assert (len(result.rows), result.cut) == (100, False)


def test_the_memory_limit_ends_a_statement_and_not_the_machine(session: Session) -> None:
    with pytest.raises(WattlakeError, match="memory") as caught:
        session.ask("SELECT list(range) FROM range(500000000)")
    assert "--memory" in caught.value.next_step
    assert session.ask("SELECT 1").rows == [[1]]


def test_a_result_too_large_to_travel_is_refused(session: Session) -> None:
    with pytest.raises(WattlakeError, match="larger than 4 MiB"):
        session.ask("SELECT repeat('x', 5000000)")


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel does not offer Landlock")
def test_landlock_is_in_force_in_the_child(session: Session) -> None:
    session.start()
    assert session.landlock == landlock.version()


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel does not offer Landlock")
def test_landlock_keeps_a_process_from_all_but_what_it_was_given(tmp_path: Path) -> None:
    given, own, other = tmp_path / "given", tmp_path / "own", tmp_path / "other"
    for folder in (given, own, other):
        folder.mkdir()
        (folder / "file").write_text("text")
    program = f"""
import os, socket
from pathlib import Path
from wattlake_warehouse.sql import landlock
landlock.restrict(readable=[Path({str(given)!r}), Path({str(tmp_path / 'absent')!r})], writable=[Path({str(own)!r})])
def attempt(name, what):
    try:
        what()
        print(name, 'yes')
    except OSError as error:
        print(name, type(error).__name__)
attempt('read given', lambda: open({str(given / 'file')!r}).read())
attempt('write given', lambda: open({str(given / 'file')!r}, 'a'))
attempt('make in given', lambda: open({str(given / 'new')!r}, 'x'))
attempt('delete given', lambda: os.unlink({str(given / 'file')!r}))
attempt('write own', lambda: open({str(own / 'new')!r}, 'x'))
attempt('read other', lambda: open({str(other / 'file')!r}))
attempt('read passwd', lambda: open('/etc/passwd'))
attempt('run', lambda: os.execv('/bin/true', ['true']))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "read given yes", "write given PermissionError", "make in given PermissionError", "delete given PermissionError", "write own yes",
        "read other PermissionError", "read passwd PermissionError", "run PermissionError"], done.stderr


def test_the_child_sees_none_of_the_askers_environment(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    with open_session(lake, LIMITS) as session:
        session.start()
        assert session._child is not None
        environment = Path(f"/proc/{session._child.pid}/environ")
        if not environment.exists():
            pytest.skip("needs /proc")
        assert b"very-secret-value" not in environment.read_bytes()


def test_nothing_is_left_behind(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_session(lake, LIMITS) as session:
        session.ask("SELECT count(*) FROM fact_energy")
        assert session._child is not None
        pid = session._child.pid
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
