"""A lake's books in memory, without Beam and without commits: what is planned and computed, many times a second."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import duckdb

from wattlake_contracts import schema
from wattlake_contracts.layout import ALIAS, data_name
from wattlake_contracts.tables import FACTS, TABLES
from wattlake_pipelines.account import account as accounting
from wattlake_pipelines.account.element import DayElement, compute
from wattlake_pipelines.account.pipeline import AccountPart
from wattlake_pipelines.account.spread import MAKERS, SpreadElement
from wattlake_pipelines.lake.manifest import Manifest
from wattlake_pipelines.land.piece import ReadingPiece
from wattlake_pipelines.land.read_range import BOOK, read_range
from wattlake_pipelines.land.seen import SCHEMA as SEEN_SCHEMA
from wattlake_pipelines.land.source import plan
from wattlake_pipelines.land.write_book import write_book
from wattlake_pipelines.land.write_readings import write_readings
from worlds import Told, shuffled, write


class Books:
    """Stands where a Committer does: the same tables, in memory; files lie in `lake`."""

    def __init__(self, lake: Path, shards: int = 1) -> None:
        self.lake, self.shards, self.about = lake, shards, {"long_gap_ms": "300000"}
        self.connection = duckdb.connect()
        self.connection.execute(f"ATTACH ':memory:' AS {ALIAS}")
        for table in TABLES.values():
            self.connection.execute(schema.ddl(table, ALIAS))
        self._batch = 0

    def land_and_account(self, told: Sequence[Told]) -> None:
        """One run after these records have come."""
        folder = self.lake / uuid4().hex
        log = write(folder / "log", told)
        ranges = plan(log, {}, 2**30)
        seen = self.connection.execute(f"SELECT node, boot, from_seq, to_seq FROM {ALIAS}.seen").to_arrow_table().cast(SEEN_SCHEMA)
        parts: dict[int, list[bytes]] = {}
        for where in ranges:
            for shard, raw in read_range(where, self.shards):
                parts.setdefault(shard, []).append(raw)
        files, dirty, watermark = [], [], -1
        for shard, raws in sorted(parts.items()):
            if shard == BOOK:
                booked = write_book(raws, seen, folder, folder.name, self._batch + 1)
                files, dirty, watermark = files + booked.files, dirty + booked.dirty, max(watermark, booked.watermark_ms)
                continue
            pieces = [ReadingPiece.from_bytes(raw) for raw in raws]
            made = write_readings(pieces, seen, folder, folder.name, shard, self._batch + 1)
            hours = [h for f in made if f.day_ms >= 0 for h in f.hours_ms]
            files += made
            if hours:
                dirty.append(("readings", str(shard), min(hours), max(hours) + 3_600_000))
                watermark = max(watermark, *(int(p.runs.ts_ms.max()) for p in pieces))
        self.commit(Manifest("land", folder.name, tuple(files), replaced=tuple((f.table, f.day_ms, f.shard) for f in files if f.table == "seen"),
                             dirty=tuple(dirty), watermark_ms=watermark))
        with patch.object(accounting, "account_pipeline", _one_by_one):
            accounting.account(self)  # type: ignore[arg-type]

    def attempt(self) -> _Attempt:
        """As of a Committer."""
        return _Attempt(self.lake)

    def commit(self, manifest: Manifest) -> None:
        """Take the rows in."""
        self._batch += 1
        execute = self.connection.execute
        for table, day_ms, shard in manifest.replaced:
            for (path,) in execute(f"SELECT path FROM {ALIAS}.files WHERE table_name = ? AND day_ms = ? AND shard = ?", [table, day_ms, shard]).fetchall():
                execute(f"CREATE OR REPLACE TABLE {ALIAS}.\"{table}\" AS FROM {ALIAS}.\"{table}\" EXCEPT ALL FROM read_parquet('{self.lake / path}')")
                execute(f"DELETE FROM {ALIAS}.files WHERE path = ?", [path])
        for file in manifest.files:
            target = self.lake / data_name(file.table, file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file.staged, target)
            names = ", ".join(f'"{n}"' for n in TABLES[file.table].names)
            execute(f"INSERT INTO {ALIAS}.\"{file.table}\" ({names}) SELECT {names} FROM read_parquet('{target}')")
            execute(f"INSERT INTO {ALIAS}.files (path, table_name, day_ms, shard, rows, bytes, sha256, hours_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [data_name(file.table, file.name), file.table, file.day_ms if file.day_ms >= 0 else None, file.shard if file.shard >= 0 else None,
                     file.rows, file.size_bytes, file.sha256, ",".join(map(str, file.hours_ms)) or None])
        for span in manifest.dirty:
            execute(f"INSERT INTO {ALIAS}.dirty VALUES (?, ?, ?, ?, ?)", [*span, self._batch])
        if manifest.consumed >= 0:
            execute(f"DELETE FROM {ALIAS}.dirty WHERE batch <= ?", [manifest.consumed])
        execute(f"INSERT INTO {ALIAS}.commits (batch, stage, attempt, rows, rejects, watermark_ms, committed_ms) VALUES (?, ?, ?, 0, 0, ?, 0)",
                [self._batch, manifest.stage, manifest.attempt, manifest.watermark_ms if manifest.watermark_ms >= 0 else None])

    def facts(self) -> dict[str, list[tuple[object, ...]]]:
        """Every fact table, sorted."""
        return {name: self.connection.execute(f"FROM {ALIAS}.{name} ORDER BY ALL").fetchall() for name in FACTS}


class _Attempt:
    def __init__(self, lake: Path) -> None:
        self._folder = lake / uuid4().hex

    def __enter__(self) -> tuple[str, Path]:
        self._folder.mkdir()
        return self._folder.name, self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _one_by_one(elements: Sequence[DayElement | SpreadElement], staging: Path, attempt: str, options: Sequence[str], progress: object) -> list[AccountPart]:
    del options, progress
    return [AccountPart(compute(e, staging, attempt) if isinstance(e, DayElement) else MAKERS[e.kind](e, staging, attempt), []) for e in elements]


def at_once_and_bit_by_bit(folder: Path, told: list[Told], steps: int, seed: int) -> tuple[Books, Books]:
    """Books of all the records at once, and those of the same in another order, in so many steps, on two shards."""
    whole, piecemeal = Books(folder / "whole"), Books(folder / "piecemeal", shards=2)
    whole.land_and_account(told)
    order = shuffled(told, seed)
    size = max(1, -(-len(order) // steps))
    for at in range(0, len(order), size):
        piecemeal.land_and_account(order[at : at + size])
    return whole, piecemeal
