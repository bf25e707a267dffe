"""The one committer of a lake: moves staged files in and makes them visible in one transaction."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from wattlake_contracts import schema
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import ALIAS, LOCK, STAGING, catalogue, data_file, data_name
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.connection import attach, quoted
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, file_sha256
from wattlake_pipelines.lake.room import keep_reserve

#: The steps of a commit, in order; `on_step` hears each name before the step that follows it.
STEPS = ("staged", "checked", "moved", "begun", "replaced", "added", "booked", "committed", "cleaned")


class CommitRefusedError(WattlakeError):
    """The commit was not made, and nothing of it is visible."""


class Committer:
    """Holds a lake open for writing.

    lake: its folder. shards, settings: how to make it, if it is not there. on_step: hears the name
    of each step of a commit as it is reached. WattlakeError if another committer holds the lake, or
    it is of a newer layout, or cannot be written.
    """

    def __init__(self, lake: Path, *, shards: int = 1, settings: dict[str, str] | None = None, on_step: Callable[[str], None] | None = None) -> None:
        # DuckLake names files by absolute path
        self.lake = lake = lake.resolve()
        self._on_step = on_step or (lambda _: None)
        if not meta.exists(lake):
            meta.create(lake, shards, settings or {})
        try:
            self._lock = os.open(lake / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WattlakeError(f"cannot be written: {error.strerror}", subject=str(lake), next_step="check owner and mode, or give another --lake") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise WattlakeError("another committer is at work", subject=str(lake), next_step="wait for it, or stop it") from error
        try:
            self._sweep_staging()
            self.about = meta.read(lake)
            if not os.access(catalogue(lake), os.W_OK):
                raise WattlakeError("cannot be written: read-only", subject=str(catalogue(lake)), next_step="check owner and mode")
            self.epoch = meta.next_epoch(lake)
            self.shards = int(self.about["shards"])
            self.connection = attach(lake)
            self._create_tables()
        except BaseException:
            os.close(self._lock)
            raise

    def _create_tables(self) -> None:
        have = {row[0] for row in self.connection.execute(f"SELECT table_name FROM duckdb_tables() WHERE database_name = '{ALIAS}'").fetchall()}
        if missing := [t for t in TABLES.values() if t.name not in have]:
            self.connection.execute("BEGIN")
            for table in missing:
                self.connection.execute(schema.ddl(table, ALIAS))
            self.connection.execute("COMMIT")

    def reach(self, step: str) -> None:
        """Tell whoever listens that a step is reached."""
        self._on_step(step)

    def _sweep_staging(self) -> None:
        """Delete what attempts that were killed have left: whoever holds the lock is alone, and they may be what fills the disk."""
        for folder in (self.lake / STAGING).glob("*"):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def attempt(self) -> Iterator[tuple[str, Path]]:
        """(name, folder) of an attempt, for files not committed yet; whatever comes of it, the folder goes."""
        name = uuid4().hex[:12]
        folder = self.staging(name)
        try:
            yield name, folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def staging(self, attempt: str) -> Path:
        """The folder that the files of an attempt are written to."""
        folder = self.lake / STAGING / attempt
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def query(self, sql: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query on the lake; the result is read before the next one."""
        return self.connection.execute(sql, parameters)

    def next_batch(self) -> int:
        """The number that the next commit will bear."""
        row = self.query(f"SELECT coalesce(max(batch), 0) + 1 FROM {ALIAS}.commits").fetchone()
        assert row is not None
        return int(row[0])

    def commit(self, manifest: Manifest) -> int:
        """Make a manifest visible, whole or not at all; give the commit's number.

        CommitRefusedError if a file is missing or altered, a range was landed already or leaves a hole,
        or a newer committer has taken over.
        """
        self._on_step("staged")
        self._check(manifest)
        self._on_step("checked")
        moved = self._move_in(manifest.files)
        self._on_step("moved")
        batch = self.next_batch()
        self.connection.execute("BEGIN")
        try:
            self._refuse_if_superseded()
            self._on_step("begun")
            self._replace(manifest)
            self._on_step("replaced")
            for table in dict.fromkeys(file.table for file in manifest.files):
                self._add(table, [p for f, p in zip(manifest.files, moved, strict=True) if f.table == table])
            self._on_step("added")
            self._book(manifest, batch)
            self._on_step("booked")
            self.connection.execute("COMMIT")
        except duckdb.Error as error:
            self._roll_back()
            raise CommitRefusedError(f"the catalogue refused the commit: {error}", subject=str(self.lake), next_step="run the same command again") from error
        except BaseException:
            self._roll_back()
            raise
        self._on_step("committed")
        shutil.rmtree(self.lake / STAGING / manifest.attempt, ignore_errors=True)
        self._on_step("cleaned")
        return batch

    def _roll_back(self) -> None:
        try:
            self.connection.execute("ROLLBACK")
        except duckdb.Error:
            self.connection.close()
            self.connection = attach(self.lake)

    def _check(self, manifest: Manifest) -> None:
        for file in manifest.files:
            path = Path(file.staged)
            if not path.is_file() or path.stat().st_size != file.size_bytes or file_sha256(path) != file.sha256:
                raise CommitRefusedError("a staged file is missing or altered", subject=file.staged, next_step="run the same command again")
            if pq.read_metadata(path).num_rows != file.rows:
                raise CommitRefusedError(f"a staged file does not hold the {file.rows} rows it was said to", subject=file.staged,
                                    next_step="run the same command again")
        for log, partition, start, end in manifest.positions:
            row = self.query(f"SELECT next_offset FROM {ALIAS}.log_positions WHERE log = ? AND partition = ?", [log, partition]).fetchone()
            if row is not None and row[0] != start:
                raise CommitRefusedError(f"offsets {start} to {end} do not follow on {row[0]}, where landing stands", subject=f"{log} {partition}",
                                    next_step="run the same command again")

    def _move_in(self, files: Sequence[StagedFile]) -> list[Path]:
        moved = []
        for file in files:
            target = data_file(self.lake, file.table, file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise CommitRefusedError("a file of that name is in the lake already", subject=str(target), next_step="run the same command again")
            _fsync(Path(file.staged))
            Path(file.staged).rename(target)
            moved.append(target)
        for folder in {p.parent for p in moved}:
            _fsync(folder)
        return moved

    def _refuse_if_superseded(self) -> None:
        row = self.query(f"SELECT value FROM __ducklake_metadata_{ALIAS}.{meta.TABLE} WHERE key = 'epoch'").fetchone()
        if row is None or int(row[0]) != self.epoch:
            raise CommitRefusedError("another committer has taken over since this one began", subject=str(self.lake), next_step="stop one of them")

    def _replace(self, manifest: Manifest) -> None:
        gone: dict[str, list[str]] = {}
        replaced = set(manifest.replaced)
        for table in dict.fromkeys(table for table, _, _ in manifest.replaced):
            listed = self.query(f"SELECT path, day_ms, shard FROM {ALIAS}.files WHERE table_name = ? ORDER BY path", [table]).fetchall()
            gone[table] = [path for path, day_ms, shard in listed if (table, day_ms, shard) in replaced]
        for table, path in manifest.removed:
            gone.setdefault(table, []).append(path)
        for table, paths in gone.items():
            if paths:
                self._remove(table, paths)

    def _remove(self, table: str, paths: list[str]) -> None:
        # All rows of these files go, so this is a change of metadata only. One statement for all: each one reads the whole list of files.
        names = ", ".join(quoted(str(self.lake / path)) for path in paths)
        self.query(f'DELETE FROM {ALIAS}."{table}" WHERE filename IN ({names})')
        self.query(f"DELETE FROM {ALIAS}.files WHERE path IN ({', '.join(map(quoted, paths))})")

    def _add(self, table: str, paths: list[Path]) -> None:
        names = "[" + ", ".join(quoted(p) for p in paths) + "]"
        self.query(f"CALL ducklake_add_data_files('{ALIAS}', {quoted(table)}, {names})")

    def _book(self, manifest: Manifest, batch: int) -> None:
        self._insert("files", [(data_name(f.table, f.name), f.table, f.day_ms if f.day_ms >= 0 else None, f.shard if f.shard >= 0 else None,
                                f.rows, f.size_bytes, f.sha256, ",".join(map(str, f.hours_ms)) or None) for f in manifest.files])
        self._insert("dirty", [(*span, batch) for span in manifest.dirty])
        for log, partition, _, _ in manifest.positions:
            self.query(f"DELETE FROM {ALIAS}.log_positions WHERE log = ? AND partition = ?", [log, partition])
        self._insert("log_positions", [(log, partition, end) for log, partition, _, end in manifest.positions])
        if manifest.consumed >= 0:
            self.query(f"DELETE FROM {ALIAS}.dirty WHERE batch <= ?", [manifest.consumed])
        self._insert("commits", [(batch, manifest.stage, manifest.attempt, manifest.rows, manifest.rejects,
                                  manifest.watermark_ms if manifest.watermark_ms >= 0 else None, time.time_ns() // 1_000_000)])

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows of the lake's books in one statement: each statement makes a file."""
        if not rows:
            return
        # seen from SQL by its name
        incoming = pa.table([pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), table_schema(TABLES[table]), strict=True)],
                            schema=table_schema(TABLES[table]))
        self.connection.register("incoming", incoming)
        try:
            self.query(f'INSERT INTO {ALIAS}."{table}" SELECT * FROM incoming')
        finally:
            self.connection.unregister("incoming")

    def close(self) -> None:
        """Give the lake up."""
        self.connection.close()
        keep_reserve(self.lake)
        os.close(self._lock)

    def __enter__(self) -> Committer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
