"""How fast records are accepted by the file log: appended, and fsynced in groups as an agent's flush is."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from figures import Figure, alone, spending

from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import ARROW, Meta

#: What an agent of a machine with 8 GPUs sends in a minute.
PAYLOAD_BYTES = 64 * 1024
#: And of a smaller one, or an event.
RECORD_BYTES = 4 * 1024


def bench(folder: Path, quick: bool) -> list[Figure]:
    """Single records, each fsynced: the most often that an agent or a job command can have something accepted; then groups of 64."""
    payload = os.urandom(PAYLOAD_BYTES)
    meta = Meta("readings", "node", "boot", content_type=ARROW)
    count = 40 if quick else 300
    with LogWriter(folder / "appended", "single") as writer, spending() as single:
        for seq in range(count):
            writer.append(meta, seq, payload)
            writer.sync()
    with LogWriter(folder / "appended", "group") as writer, spending() as group:
        for seq in range(4 * count):
            writer.append(meta, seq, payload)
            if seq % 64 == 63:
                writer.sync()
    small = payload[:RECORD_BYTES]
    spool_once, once = _beside(folder / "once", count // 4, small, 1, turns=3 if quick else 15)
    spool_many, many = _beside(folder / "many", 15 * count, small, 60, turns=1 if quick else 3)
    # by then SQLite writes over a log that it has written before, which no longer grows
    spool_long, long = _beside(folder / "long", 10 * count, small, 1, turns=1 if quick else 3)
    floor = _fsyncs(folder / "floor", count, payload)
    each, grouped = count / single().wall_s, 4 * count * PAYLOAD_BYTES / group().wall_s / 1e6
    return [
        Figure("spooled records, one a sync", spool_once, "records/s", f"SQLite, WAL and synchronous FULL, {once:,.0f}", spool_once / once,
               ">= 1.8 times", spool_once >= 1.8 * once),
        Figure("spooled records, 60 a sync", spool_many, "records/s", f"SQLite, a transaction each, {once:,.0f}", spool_many / once,
               ">= 10 times", spool_many >= 10 * once),
        Figure("spooled records and queued ones, 60 a sync", spool_many, "records/s", f"SQLite, 60 a transaction, {many:,.0f}", spool_many / many,
               "none", None),
        Figure(f"{10 * count:,} spooled records, one a sync", spool_long, "records/s", f"SQLite, WAL and synchronous FULL, {long:,.0f}",
               spool_long / long, "none", None),
        Figure("records accepted, each fsynced", each, "records/s", f"write and one fsync of the same bytes, {floor:,.0f}", each / floor, "none", None),
        Figure("records accepted in groups of 64", grouped, "MB/s", f"one at a time, {each * PAYLOAD_BYTES / 1e6:.0f}",
               grouped / (each * PAYLOAD_BYTES / 1e6), "none", None),
    ]


def _beside(folder: Path, count: int, payload: bytes, group: int, turns: int) -> tuple[float, float]:
    """Records per second into (the spool, a queue in SQLite), the medians of so many new ones of each, in turn: a disk has its moods."""
    folder.mkdir()
    runs = [(_spool(folder / f"spool-{turn}", count, payload, group), _sqlite(folder / f"peer-{turn}.sqlite", count, payload, group)) for turn in range(turns)]
    ours, theirs = zip(*runs, strict=True)
    return median(ours), median(theirs)


def _spool(folder: Path, count: int, payload: bytes, group: int) -> float:
    """Records per second into the spool, so many to a sync."""
    meta = Meta("readings", "node", "boot", content_type=ARROW)
    with LogWriter(folder, "p") as writer, spending() as spent:
        for seq in range(count):
            writer.append(meta, seq, payload)
            if seq % group == group - 1:
                writer.sync()
    return count / spent().wall_s


def _sqlite(path: Path, count: int, payload: bytes, group: int) -> float:
    """The same into a queue in SQLite, so many to a transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE queue (seq INTEGER PRIMARY KEY, kind TEXT, node TEXT, boot TEXT, appended_ms INTEGER, payload BLOB)")
        with spending() as spent:
            for first in range(0, count, group):
                database.execute("BEGIN")
                for seq in range(first, min(first + group, count)):
                    database.execute("INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?)", (seq, "readings", "node", "boot", 1_750_000_000_000, payload))
                database.execute("COMMIT")
    return count / spent().wall_s


def _fsyncs(path: Path, count: int, payload: bytes) -> float:
    """Plain writes per second to one file, each fsynced: what the disk can do."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        began = time.perf_counter()
        for _ in range(count):
            os.write(descriptor, payload)
            os.fdatasync(descriptor)
        return count / (time.perf_counter() - began)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    alone(bench)
