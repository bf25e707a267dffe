"""Upkeep of a lake: many small files into few, old snapshots out, what no commit names off the disk.

Done by the committer, between commits, so that it never meets a writer. Merging uses our own
writer: the catalogue's own would undo sorting and encoding. What a follower does every few minutes
joins small files only, so that each reading is written a few times however many commits there were;
a thorough one leaves one file per day, shard and table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS, DAY_MS, HOUR_MS
from wattlake_contracts.tables import RAW_READINGS, READING_BOUNDS, SEEN_EVENTS, TABLES
from wattlake_pipelines.arrow_schema import fitted, table_schema, widened, widest
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.fold_commits import fold_commits
from wattlake_pipelines.lake.manifest import READING_STATISTICS, Manifest, StagedFile, file_sha256, parquet_options, stage
from wattlake_pipelines.lake.sizes import small_ones
from wattlake_pipelines.land.bounds import EDGE_READINGS
from wattlake_pipelines.land.seen import stage_events

_ORDER = [(name, "ascending") for name in ("node", "device", "epoch", "ts_ms", "boot", "seq")]
#: The steps of upkeep; between "expired" and "merged" come those of its commits.
STEPS = ("expired", "listed", "merged")
#: Fewer small files than this are let be: a day's, and those of a table that every commit adds one to.
_MANY_OF_A_DAY, _MANY = 8, 16
#: Files with fewer rows are small; those with more than the second figure take seconds to write, and wait for a thorough upkeep.
_SMALL_ROWS, _LARGE_ROWS = 2**16, 2**22
#: What a row takes on the disk at most to count as one: the texts of jobs may be of 64 KiB each, and rows are joined in memory.
_ROW_BYTES = 64
_ROWS = f"greatest(rows, bytes // {_ROW_BYTES})"

#: An event of another program is remembered until commits were made on so many days after it was landed. Days on which none
#: was made do not count, nor does what a message says of its time: a clock that steps forgets nothing.
EVENT_DAYS = 100
#: Every snapshot is kept for as long as a query may take, for its files go with it; one an hour is kept for two days. A commit
#: looks at all files that the catalogue knows, so those of a follower's many snapshots would make it slower and slower.
_ALL_MS, _HOURLY_MS = 600_000, 2 * DAY_MS


@dataclass(frozen=True)
class Maintained:
    """What upkeep did, in files and snapshots."""

    merged_files: int
    expired_snapshots: int
    orphans: int


def maintain(committer: Committer, *, keep_days: float, thorough: bool = False) -> Maintained:
    """Merge, expire snapshots, fold old commits in their book, and delete what no snapshot and no commit names.

    keep_days: snapshots older than this go. Of those that stay, all of the last ten minutes are kept, the last of each hour of
    two days, and the last of each day. thorough: merge what is large, too. SupersededError if another committer has taken over.
    """
    committer.sweep_staging()
    # first what makes room, for merging takes some
    expired, orphans = _expire(committer, keep_days), _orphans(committer)
    committer.reach("expired")
    _forget_events(committer)
    fold_commits(committer, keep_days)
    merged = _merge_raw(committer, thorough) + _merge_batches(committer, thorough)
    committer.reach("merged")
    if merged and keep_days == 0:  # else a snapshot still names what was just merged
        expired, orphans = expired + _expire(committer, keep_days), orphans + _orphans(committer)
    committer.refuse_if_superseded()
    return Maintained(merged, expired, orphans)


def _expire(committer: Committer, keep_days: float) -> int:
    committer.refuse_if_superseded()
    listed = committer.query(f"""
        WITH found AS (
            SELECT snapshot_id, epoch_ms(snapshot_time) AS at_ms, epoch_ms(now()) - at_ms AS age_ms FROM ducklake_snapshots('{ALIAS}')),
        ranked AS (
            SELECT *, max(snapshot_id) OVER (PARTITION BY at_ms // {HOUR_MS}) AS of_hour, max(snapshot_id) OVER (PARTITION BY at_ms // {DAY_MS}) AS of_day,
                   max(snapshot_id) OVER () AS last FROM found)
        SELECT snapshot_id FROM ranked
        WHERE snapshot_id != last AND (age_ms >= {keep_days * DAY_MS} OR (age_ms >= {_ALL_MS} AND snapshot_id != of_hour)
                                       OR (age_ms >= {_HOURLY_MS} AND snapshot_id != of_day))
        ORDER BY snapshot_id""").fetchall()
    if listed:
        committer.query(f"CALL ducklake_expire_snapshots('{ALIAS}', versions => [{', '.join(str(number) for (number,) in listed)}])")
    committer.query(f"CALL ducklake_cleanup_old_files('{ALIAS}', cleanup_all => true)")
    return len(listed)


def _merge_raw(committer: Committer, thorough: bool) -> int:
    """Days of raw readings that lie in several files: one file each, or the small ones together, hour by hour."""
    found = committer.query(f"""
        SELECT day_ms, shard, list(path ORDER BY path), list({_ROWS} ORDER BY path), list(hours_ms ORDER BY path) FROM {ALIAS}.files
        WHERE table_name = '{RAW_READINGS.name}' GROUP BY day_ms, shard HAVING count(*) >= {2 if thorough else _MANY_OF_A_DAY}""").fetchall()
    merged = 0
    for day, shard, paths, rows, hours in found:
        hours_of = {path: [int(h) for h in listed.split(",")] for path, listed in zip(paths, hours, strict=True)}
        chosen = paths if thorough else _small(paths, rows, _MANY_OF_A_DAY)
        if chosen:
            attempt = uuid4().hex[:12]
            staged = _merge_day(committer, day, shard, chosen, [hours_of[path] for path in chosen], attempt)
            committer.commit(Manifest("maintain", attempt, (staged,), removed=tuple((RAW_READINGS.name, p) for p in chosen)))
            merged += len(chosen)
    return merged


def _small(paths: Sequence[str], rows: Sequence[int], many: int) -> list[str]:
    """The files that are worth joining: none if they are few, none that is large."""
    chosen = small_ones([(path, count) for path, count in zip(paths, rows, strict=True) if count < _LARGE_ROWS], 0, _SMALL_ROWS)
    return sorted(chosen) if len(chosen) >= many else []


def _merge_day(committer: Committer, day: int, shard: int, paths: list[str], hours: list[list[int]], attempt: str) -> StagedFile:
    files = [pq.ParquetFile(committer.lake / p, page_checksum_verification=True) for p in paths]
    folder = committer.staging(attempt) / RAW_READINGS.name
    folder.mkdir()
    target = folder / f"{day}-{shard}-{attempt}.parquet"
    schema = widest(table_schema(RAW_READINGS), *(file.schema_arrow for file in files))
    every = sorted({h for listed in hours for h in listed})
    rows = 0
    with pq.ParquetWriter(target, schema, **parquet_options(schema, READING_STATISTICS)) as writer:
        for hour in every:
            parts = [fitted(file.read_row_group(listed.index(hour)), schema) for file, listed in zip(files, hours, strict=True) if hour in listed]
            table = pa.concat_tables(parts).sort_by(_ORDER)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
    return StagedFile(RAW_READINGS.name, target.name, str(target), rows, target.stat().st_size, file_sha256(target), day, shard, tuple(every))


def _merge_batches(committer: Committer, thorough: bool) -> int:
    """Tables with a file per commit: one file, or the small ones together, once there are many; all tables in one commit."""
    found = committer.query(f"""
        SELECT table_name, list(path ORDER BY path), list({_ROWS} ORDER BY path) FROM {ALIAS}.files WHERE day_ms IS NULL
        GROUP BY table_name HAVING count(*) >= {_MANY} ORDER BY table_name""").fetchall()
    attempt = uuid4().hex[:12]
    staged: list[StagedFile] = []
    removed: list[tuple[str, str]] = []
    for table, paths, counts in found:
        if table not in TABLES:
            continue  # a later version's
        chosen = paths if thorough else _small(paths, counts, _MANY)
        if chosen:
            rows = widened([pq.read_table(committer.lake / p, page_checksum_verification=True) for p in chosen], table_schema(TABLES[table]))
            if table == SEEN_EVENTS.name:
                rows = rows.filter(pc.greater_equal(rows["batch"], _first_remembered(committer)))
                staged += [stage_events(rows["event"], rows["batch"], committer.staging(attempt), f"{attempt}.parquet")] if rows.num_rows else []
                removed += [(table, path) for path in chosen]
                continue
            if table == READING_BOUNDS.name:
                rows = _outermost(committer, rows)
            staged.append(stage(table, rows, committer.staging(attempt), f"{attempt}.parquet"))
            removed += [(table, path) for path in chosen]
    if removed:
        committer.commit(Manifest("maintain", attempt, tuple(staged), removed=tuple(removed)))
    return len(removed)


def _first_remembered(committer: Committer) -> int:
    """The first commit whose events of other programs are remembered."""
    row = committer.query(f"""
        SELECT coalesce(min(last), 0) FROM (
            SELECT max(batch) AS last FROM {ALIAS}.commits WHERE stage = 'land' GROUP BY committed_ms // {DAY_MS} ORDER BY last DESC
            LIMIT 1 OFFSET {EVENT_DAYS})""").fetchone()
    assert row is not None
    return int(row[0]) + 1


def _forget_events(committer: Committer) -> None:
    """Take out the files that hold no event that is remembered; others lose theirs when they are joined."""
    first = _first_remembered(committer)
    if first == 1:
        return
    old = committer.query(f"SELECT filename FROM {ALIAS}.{SEEN_EVENTS.name} GROUP BY filename HAVING max(batch) < {first}").fetchall()
    if old:
        gone = tuple((SEEN_EVENTS.name, str(Path(name).relative_to(committer.lake))) for (name,) in old)
        committer.commit(Manifest("maintain", uuid4().hex[:12], removed=gone))


def _outermost(committer: Committer, rows: pa.Table) -> pa.Table:
    """Of the bounds that are accounted for, those that one landing of them all would have made; and all that wait to be."""
    committer.connection.register("bounds_in", rows)
    try:
        return committer.query(f"""
            WITH waiting AS (SELECT coalesce(min(batch), {2**62}) AS first FROM {ALIAS}.dirty)
            SELECT bounds_in.* FROM bounds_in, waiting WHERE batch >= first
            UNION ALL
            SELECT * FROM (SELECT bounds_in.* FROM bounds_in, waiting WHERE batch < first)
            QUALIFY dense_rank() OVER (PARTITION BY node, device, epoch, power_mw IS NULL, hour_ms ORDER BY ts_ms) <= {EDGE_READINGS}
                 OR dense_rank() OVER (PARTITION BY node, device, epoch, power_mw IS NULL, hour_ms ORDER BY ts_ms DESC) <= {EDGE_READINGS}
            ORDER BY node, device, epoch, hour_ms, ts_ms, batch""").to_arrow_table().cast(rows.schema)
    finally:
        committer.connection.unregister("bounds_in")


def _orphans(committer: Committer) -> int:
    """Delete data files that nothing names: what a killed committer left.

    They are listed first. If none has taken over by then, no other committer had a file there when
    they were listed, however long it is until they are deleted.
    """
    listed = committer.query(f"CALL ducklake_delete_orphaned_files('{ALIAS}', cleanup_all => true, dry_run => true)").fetchall()
    committer.refuse_if_superseded()
    committer.reach("listed")
    for (path,) in listed:
        Path(path).unlink(missing_ok=True)
    return len(listed)
