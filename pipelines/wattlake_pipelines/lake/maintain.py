"""Upkeep of a lake: many small files into few, old snapshots out, what no commit names off the disk.

Done by the committer, between commits, so that it never meets a writer. Merging uses our own
writer: the catalogue's own would undo sorting and encoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import RAW_READINGS, TABLES
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, file_sha256, parquet_options, stage

_ORDER = [(name, "ascending") for name in ("node", "device", "epoch", "ts_ms", "boot", "seq")]
#: The steps of upkeep; between "expired" and "merged" come those of its commits. "emptied": a table that is rewritten is empty.
STEPS = ("expired", "merged", "emptied", "rewritten")
#: Tables of one file per commit are merged once they have this many files.
_MANY = 16


@dataclass(frozen=True)
class Maintained:
    """What upkeep did, in files and snapshots."""

    merged_files: int
    expired_snapshots: int
    orphans: int


def maintain(committer: Committer, *, keep_days: float) -> Maintained:
    """Merge, expire snapshots older than keep_days, and delete what no snapshot and no commit names."""
    # first what makes room, for merging takes some
    expired, orphans = _expire(committer, keep_days), _orphans(committer)
    committer.reach("expired")
    merged = _merge_raw(committer) + _merge_batches(committer)
    committer.reach("merged")
    _rewrite_books(committer)
    committer.reach("rewritten")
    return Maintained(merged, expired + _expire(committer, keep_days), orphans + _orphans(committer))


def _expire(committer: Committer, keep_days: float) -> int:
    expired = committer.query(f"CALL ducklake_expire_snapshots('{ALIAS}', older_than => now() - to_seconds({keep_days * 86400}))").fetchall()
    committer.query(f"CALL ducklake_cleanup_old_files('{ALIAS}', cleanup_all => true)")
    return len(expired)


def _merge_raw(committer: Committer) -> int:
    """Days of raw readings that lie in several files: one file each, hour by hour."""
    found = committer.query(f"""
        SELECT day_ms, shard, list(path ORDER BY path), list(hours_ms ORDER BY path) FROM {ALIAS}.files
        WHERE table_name = '{RAW_READINGS.name}' GROUP BY day_ms, shard HAVING count(*) > 1""").fetchall()
    merged = 0
    for day, shard, paths, hours in found:
        attempt = uuid4().hex[:12]
        staged = _merge_day(committer, day, shard, paths, [[int(h) for h in listed.split(",")] for listed in hours], attempt)
        committer.commit(Manifest("maintain", attempt, (staged,), removed=tuple((RAW_READINGS.name, p) for p in paths), rows=0))
        merged += len(paths)
    return merged


def _merge_day(committer: Committer, day: int, shard: int, paths: list[str], hours: list[list[int]], attempt: str) -> StagedFile:
    files = [pq.ParquetFile(committer.lake / p, page_checksum_verification=True) for p in paths]
    folder = committer.staging(attempt) / RAW_READINGS.name
    folder.mkdir()
    target = folder / f"{day}-{shard}-{attempt}.parquet"
    schema = table_schema(RAW_READINGS)
    every = sorted({h for listed in hours for h in listed})
    rows = 0
    with pq.ParquetWriter(target, schema, **parquet_options(schema)) as writer:
        for hour in every:
            parts = [file.read_row_group(listed.index(hour)).cast(schema) for file, listed in zip(files, hours, strict=True) if hour in listed]
            table = pa.concat_tables(parts).sort_by(_ORDER)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
    return StagedFile(RAW_READINGS.name, target.name, str(target), rows, target.stat().st_size, file_sha256(target), day, shard, tuple(every))


def _merge_batches(committer: Committer) -> int:
    """Tables with a file per commit: one file, once there are many."""
    found = committer.query(f"""
        SELECT table_name, list(path ORDER BY path) FROM {ALIAS}.files WHERE day_ms IS NULL
        GROUP BY table_name HAVING count(*) >= {_MANY}""").fetchall()
    merged = 0
    for table, paths in found:
        attempt = uuid4().hex[:12]
        rows = pa.concat_tables([pq.read_table(committer.lake / p, page_checksum_verification=True).cast(table_schema(TABLES[table])) for p in paths])
        staged = stage(table, rows, committer.staging(attempt), f"{attempt}.parquet")
        committer.commit(Manifest("maintain", attempt, (staged,), removed=tuple((table, p) for p in paths)))
        merged += len(paths)
    return merged


def _rewrite_books(committer: Committer) -> None:
    """The small tables that every commit adds a row or two to: one file each."""
    for table in (t for t in TABLES.values() if not t.files or t.name == "dirty"):
        listed = committer.query(f"SELECT count(*) FROM ducklake_list_files('{ALIAS}', '{table.name}')").fetchall()[0][0]
        if listed < _MANY:
            continue
        rows = committer.query(f'SELECT * FROM {ALIAS}."{table.name}"').to_arrow_table()
        committer.connection.register("rewritten", rows)
        committer.query("BEGIN")
        committer.query(f'DELETE FROM {ALIAS}."{table.name}"')
        committer.reach("emptied")
        committer.query(f'INSERT INTO {ALIAS}."{table.name}" SELECT * FROM rewritten')
        committer.query("COMMIT")
        committer.connection.unregister("rewritten")


def _orphans(committer: Committer) -> int:
    """Delete data files that nothing names: what a killed committer left."""
    return len(committer.query(f"CALL ducklake_delete_orphaned_files('{ALIAS}', cleanup_all => true)").fetchall())
