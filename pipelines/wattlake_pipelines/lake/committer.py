"""The one committer of a lake: moves staged files in and makes them visible in one transaction."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow.parquet as pq

from wattlake_contracts import schema
from wattlake_contracts.amount import amount
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import ALIAS, STAGING, catalogue, data_file, data_name
from wattlake_contracts.table import Table
from wattlake_contracts.tables import COMMITS, DIRTY, FILES, LOG_POSITIONS, TABLES
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.books import write_in
from wattlake_pipelines.lake.connection import attach, quoted
from wattlake_pipelines.lake.interrupt import held_back
from wattlake_pipelines.lake.lock import Lock, living_epochs, stuck
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, file_sha256
from wattlake_pipelines.lake.room import keep_reserve

#: The steps of a commit, in order; `on_step` hears each name before the step that follows it.
STEPS = ("staged", "checked", "moved", "begun", "replaced", "added", "booked", "committed", "cleaned")


class CommitRefusedError(WattlakeError):
    """The commit was not made, and nothing of it is visible."""


class SupersededError(CommitRefusedError):
    """Another committer has taken over: this one is to end."""


class OutcomeUnknownError(WattlakeError):
    """Whether the commit was made could not be found out: the catalogue does not answer."""


class Committer:
    """Holds a lake open for writing.

    lake: its folder. shards, settings: how to make it, if it is not there. on_step: hears the name
    of each step of a commit as it is reached. take_over: shut out the committer that holds the lake,
    if there is one. WattlakeError if another committer holds the lake, or it is of a newer layout, or
    cannot be written.
    """

    def __init__(self, lake: Path, *, shards: int = 1, settings: dict[str, str] | None = None, on_step: Callable[[str], None] | None = None,
                 take_over: bool = False) -> None:
        # DuckLake names files by absolute path
        self.lake = lake = lake.resolve()
        self._on_step = on_step or (lambda _: None)
        self._step = "opened"
        self._connection: duckdb.DuckDBPyConnection | None = None
        if not meta.exists(lake):
            meta.create(lake, shards, settings or {})
        self._lock = Lock(lake, take_over=take_over)
        try:
            if not self._lock.takes_over:
                # whoever left it is dead, and it may be what fills the disk
                self.sweep_staging()
            self.about = meta.read(lake)
            if not os.access(catalogue(lake), os.W_OK):
                raise WattlakeError("cannot be written: read-only", subject=str(catalogue(lake)), next_step="check owner and mode")
            try:
                self.epoch = meta.next_epoch(lake, self._lock.settle)
            except meta.BusyError as error:
                raise stuck(lake, self._lock.others()) from error
            self.shards = int(self.about["shards"])
            if not meta.is_fenced(lake):
                attach(lake).close()
                meta.fence(lake)
            self._bring_up_to_date()
        except BaseException:
            if self._connection is not None:
                self._connection.close()
            self._lock.close()
            raise

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection on which all of this committer's work is done."""
        if self._connection is None:
            self._connection = attach(self.lake)
        return self._connection

    @connection.setter
    def connection(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def _bring_up_to_date(self) -> None:
        """Add the tables and columns that the lake lacks; what a later version has added stays as it is."""
        have: dict[str, set[str]] = {}
        books = f"__ducklake_metadata_{ALIAS}"
        # DuckDB's own listing would read the statistics of all files
        for table, column in self.query(f"""
                SELECT table_name, column_name FROM {books}.ducklake_table t JOIN {books}.ducklake_column c USING (table_id)
                WHERE t.end_snapshot IS NULL AND c.end_snapshot IS NULL""").fetchall():
            have.setdefault(table, set()).add(column)
        if missing := schema.additions(have, ALIAS):
            with self.transaction(uuid4().hex):
                for statement in missing:
                    self.query(statement)
        #: tables with columns that this version does not know, and so writes nothing in
        self._wider = {name for name, table in TABLES.items() if have.get(name, set()) - set(table.names)}

    def reach(self, step: str) -> None:
        """Note that a step is reached, and tell whoever listens."""
        self._step = step
        self._lock.beat(step)
        self._on_step(step)

    def sweep_staging(self) -> None:
        """Delete what attempts of dead committers have left, but nothing of one that lives, if only frozen, and nothing of this one's."""
        living = living_epochs(self.lake)
        for folder in (self.lake / STAGING).glob("*"):
            epoch = folder.name.partition("-")[0]
            if not epoch.isdecimal() or int(epoch) not in living | {getattr(self, "epoch", 0)}:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def attempt(self, of: str = "") -> Iterator[tuple[str, Path]]:
        """(name, folder) of an attempt, for files not committed yet; whatever comes of it, the folder goes.

        of: what the name begins with, where it is to be found again among the commits.
        """
        name = of + uuid4().hex[:12]
        folder = self.staging(name)
        try:
            yield name, folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def staging(self, attempt: str) -> Path:
        """The folder that the files of an attempt are written to; its name says whose it is."""
        folder = self._staging(attempt)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock.beat(self._step)
        return folder

    def _staging(self, attempt: str) -> Path:
        return self.lake / STAGING / f"{self.epoch}-{attempt}"

    def query(self, sql: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query on the lake; the result is read before the next one."""
        self._lock.beat(self._step)
        return self.connection.execute(sql, parameters)

    def next_batch(self) -> int:
        """The number that the next commit will bear."""
        row = self.query(f"SELECT coalesce(max(batch), 0) + 1 FROM {ALIAS}.commits").fetchone()
        assert row is not None
        return int(row[0])

    def commit(self, manifest: Manifest) -> int:
        """Make a manifest visible, whole or not at all; give the commit's number.

        CommitRefusedError if a file is missing or altered, a range was landed already or leaves a hole;
        SupersededError if another committer has taken over; OutcomeUnknownError if the catalogue could
        not be asked whether it was made.
        """
        moved: list[Path] = []
        try:
            try:
                self.reach("staged")
                self._check(manifest)
                self.reach("checked")
                self._move_in(manifest.files, moved)
                self.reach("moved")
                batch = self.next_batch()
            except BaseException:
                _take_back(moved)
                raise
            # from here on files are taken back only by it, which knows whether it was made
            with self.transaction(manifest.attempt, lambda: _take_back(moved)):
                self.reach("begun")
                gone = self._replace(manifest)
                self.reach("replaced")
                for table in dict.fromkeys(file.table for file in manifest.files):
                    self._add(table, [p for f, p in zip(manifest.files, moved, strict=True) if f.table == table])
                self.reach("added")
                self._book(manifest, batch, gone, moved)
                self.reach("booked")
        except FileNotFoundError as error:
            raise self._refusal(f"a staged file is gone: {error.filename}") from error
        self.reach("committed")
        shutil.rmtree(self._staging(manifest.attempt), ignore_errors=True)
        self.reach("cleaned")
        return batch

    @contextmanager
    def transaction(self, name: str, undo: Callable[[], None] = lambda: None) -> Iterator[None]:
        """One transaction on the lake, whole or not at all, and none if another committer has taken over.

        name: tells it from all others, and is kept with its snapshot. undo: called if it is sure that it
        was not made, and never else. CommitRefusedError, SupersededError, OutcomeUnknownError as in
        `commit`. Ctrl-C waits while it is committed, and is heard once it is known what became of it.
        """
        try:
            self.query("BEGIN")
            self.refuse_if_superseded()
            self.query(f"CALL ducklake_set_commit_message('{ALIAS}', 'wattlake', {quoted(name)}, extra_info => 'epoch {self.epoch}')")
            yield
        except BaseException as error:
            with held_back():
                self._roll_back()
                undo()
            if isinstance(error, duckdb.Error):
                raise self._refusal(str(error)) from error
            raise
        with held_back():
            self._commit(name, undo)

    def _commit(self, name: str, undo: Callable[[], None]) -> None:
        try:
            self.query("COMMIT")
        except BaseException as error:  # whatever it is, the commit may have been made
            if not self._was_made(name, error):
                undo()
                if isinstance(error, duckdb.Error):
                    raise self._refusal(str(error)) from error
                raise
            if not isinstance(error, Exception):
                raise

    def renew(self) -> None:
        """Give the connection up, and whatever it has begun; the next query opens another."""
        self._let_go()

    def _roll_back(self) -> None:
        try:
            self.connection.execute("ROLLBACK")
        except Exception:  # what cannot be rolled back ends with its connection
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _was_made(self, name: str, error: BaseException) -> bool:
        """Whether the transaction of that name was made after all, as the catalogue has it for a fresh connection."""
        self._let_go()
        try:
            meta.settle(self.lake)
            asked = "SELECT count(*) FROM __ducklake_metadata_{0}.ducklake_snapshot_changes WHERE commit_message = ?"
            row = self.query(asked.format(ALIAS), [name]).fetchone()
        except Exception as silence:
            self._let_go()
            raise OutcomeUnknownError(f"nobody can tell whether the last commit was made: {error}; and then: {silence}", subject=str(self.lake),
                                      next_step="check the disk, and run the same command again: it counts once, made or not") from error
        return row is not None and row[0] > 0

    def _refusal(self, why: str) -> CommitRefusedError:
        """Why a commit was not made: another has taken over, somebody holds the catalogue, or what DuckDB says."""
        try:
            self.refuse_if_superseded()
        except SupersededError as superseded:
            return superseded
        except duckdb.Error:
            self._let_go()
        if "database is locked" in why and (others := self._lock.others()):
            held = stuck(self.lake, others)
            return CommitRefusedError(held.what, subject=held.subject, next_step=held.next_step)
        return CommitRefusedError(f"the catalogue refused the commit: {why}", subject=str(self.lake), next_step="run the same command again")

    def _check(self, manifest: Manifest) -> None:
        # before all else: whatever is amiss after that is another's doing
        self.refuse_if_superseded()
        for file in manifest.files:
            path = Path(file.staged)
            if not path.is_file() or path.stat().st_size != file.size_bytes or file_sha256(path) != file.sha256:
                raise CommitRefusedError("a staged file is missing or altered", subject=file.staged, next_step="run the same command again")
            if pq.read_metadata(path).num_rows != file.rows:
                raise CommitRefusedError(f"a staged file does not hold the {amount(file.rows, 'row')} it was said to", subject=file.staged,
                                    next_step="run the same command again")
        stands: dict[tuple[str, str], int] = {}
        for log, partition, start, end in sorted(manifest.positions):
            if (stood := stands.get((log, partition))) is None:
                row = self.query(f"SELECT next_offset FROM {ALIAS}.log_positions WHERE log = ? AND partition = ?", [log, partition]).fetchone()
                # a log that is new to the lake begins wherever it begins
                stood = start if row is None else row[0]
            if stood != start:
                raise CommitRefusedError(f"offsets {start} to {end} do not follow on {stood}, where landing stands", subject=f"{log} {partition}",
                                    next_step="run the same command again")
            stands[log, partition] = end

    def _move_in(self, files: Sequence[StagedFile], moved: list[Path]) -> None:
        for file in files:
            target = data_file(self.lake, file.table, file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise CommitRefusedError("a file of that name is in the lake already", subject=str(target), next_step="run the same command again")
            fsync(Path(file.staged))
            Path(file.staged).rename(target)
            moved.append(target)
        for folder in {p.parent for p in moved}:
            fsync(folder)

    def refuse_if_superseded(self) -> None:
        """SupersededError if another committer has taken over since this one began."""
        row = self.query(f"SELECT value FROM __ducklake_metadata_{ALIAS}.{meta.TABLE} WHERE key = 'epoch'").fetchone()
        if row is None or int(row[0]) != self.epoch:
            raise SupersededError("another committer has taken over since this one began", subject=str(self.lake),
                                  next_step="let the other one go on: what this one has not committed, it takes from the log again")

    def _replace(self, manifest: Manifest) -> list[str]:
        """Remove the files that give way; give their names in the books."""
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
        return [path for paths in gone.values() for path in paths]

    def _remove(self, table: str, paths: list[str]) -> None:
        # All rows of these files go, so this is a change of metadata only. One statement for all: each one reads the whole list of files.
        names = ", ".join(quoted(str(self.lake / path)) for path in paths)
        self.query(f'DELETE FROM {ALIAS}."{table}" WHERE filename IN ({names})')

    def _add(self, table: str, paths: list[Path]) -> None:
        names = "[" + ", ".join(quoted(p) for p in paths) + "]"
        lenient = ", allow_missing => true" if table in self._wider else ""
        self.query(f"CALL ducklake_add_data_files('{ALIAS}', {quoted(table)}, {names}{lenient})")

    def _book(self, manifest: Manifest, batch: int, gone: Sequence[str], moved: list[Path]) -> None:
        """Write all four books; what is written joins `moved`."""
        files = [{"path": data_name(f.table, f.name), "table_name": f.table, "day_ms": f.day_ms if f.day_ms >= 0 else None,
                  "shard": f.shard if f.shard >= 0 else None, "rows": f.rows, "bytes": f.size_bytes, "sha256": f.sha256,
                  "hours_ms": ",".join(map(str, f.hours_ms)) or None} for f in manifest.files]
        reached = {(log, partition): end for log, partition, _, end in sorted(manifest.positions)}
        entries: tuple[tuple[Table, str, Sequence[Mapping[str, object]]], ...] = (
            (FILES, f"path IN ({', '.join(map(quoted, gone))})" if gone else "false", files),
            (DIRTY, f"batch <= {manifest.consumed}", [
                {"cause": cause, "key": key, "from_ms": from_ms, "to_ms": to_ms, "batch": batch} for cause, key, from_ms, to_ms in manifest.dirty]),
            (LOG_POSITIONS, " OR ".join(f"(log = {quoted(log)} AND partition = {quoted(partition)})" for log, partition in reached) or "false",
             [{"log": log, "partition": partition, "next_offset": end} for (log, partition), end in reached.items()]),
            (COMMITS, "false" if manifest.folded is None else manifest.folded.gone, [*(() if manifest.folded is None else manifest.folded.rows), {
                "batch": batch, "stage": manifest.stage, "attempt": manifest.attempt, "rows": manifest.rows, "rejects": manifest.rejects,
                "watermark_ms": manifest.watermark_ms if manifest.watermark_ms >= 0 else None, "committed_ms": time.time_ns() // 1_000_000}]))
        for table, out, rows in entries:
            written = write_in(self.connection, self.lake, table, f"{batch}-{manifest.attempt}.parquet", gone=out, rows=rows)
            if written is not None:
                moved.append(written)
                fsync(written)
                fsync(written.parent)
                self._add(table.name, [written])

    def close(self) -> None:
        """Give the lake up."""
        self._let_go()
        keep_reserve(self.lake)
        self._lock.close()

    def __enter__(self) -> Committer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take_back(moved: Sequence[Path]) -> None:
    """Delete the files of a commit that was not made; their names were its own, so nobody else has any of them."""
    for path in moved:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Make a file or a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
