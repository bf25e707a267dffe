"""What workers hand to the committer: the files they wrote, and what those stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class StagedFile:
    """One Parquet file in the staging folder.

    name: its final name, with the attempt id in it, so that no path is ever used twice. day_ms and
    shard say what it holds where its table is laid out by them, else -1. hours_ms: the hour of each
    row group, in order, for raw readings.
    """

    table: str
    name: str
    staged: str
    rows: int
    size_bytes: int
    sha256: str
    day_ms: int = -1
    shard: int = -1
    hours_ms: tuple[int, ...] = ()


def file_sha256(path: Path) -> str:
    """The hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


#: The columns of raw readings with statistics, in every file of them, landed or merged: readers choose row groups by time. Those of
#: texts cost half of the writing, and say nothing where every row group holds all nodes. Were they in some files only, DuckLake would
#: take what it knows of these for all, and find no row of a node that is in the others.
READING_STATISTICS = ("ts_ms", "energy_mj", "power_mw", "seq")
#: zstd level 3 costs little here, because delta-packed integers leave few bytes to compress.
_ZSTD_LEVEL = 3


def parquet_options(schema: pa.Schema, statistics: Sequence[str] | None = None) -> dict[str, Any]:
    """How every file of the lake is written: integers delta-packed, strings by dictionary, pages checksummed.

    statistics: the columns that have them, the same in every file of a table; all unless given.
    """
    integers = [f.name for f in schema if pa.types.is_integer(f.type)]
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_dictionary(f.type)]
    return {
        "compression": "zstd", "compression_level": _ZSTD_LEVEL, "version": "2.6", "write_page_checksum": True,
        "write_statistics": True if statistics is None else list(statistics),
        "use_dictionary": strings,
        "column_encoding": dict.fromkeys(integers, "DELTA_BINARY_PACKED"), "store_schema": False,
    }


def stage(table: str, rows: pa.Table, folder: Path, name: str, *, day_ms: int = -1, shard: int = -1, group_rows: int | None = None) -> StagedFile:
    """Write rows as one staged file of a lake table. group_rows: the most in one row group, where readers choose among them."""
    target = folder / table
    target.mkdir(parents=True, exist_ok=True)
    path = target / name
    pq.write_table(rows, path, row_group_size=group_rows, **parquet_options(rows.schema))
    return StagedFile(table, name, str(path), rows.num_rows, path.stat().st_size, file_sha256(path), day_ms, shard)


#: (log, partition, from offset, to offset): all of it was read.
Span = tuple[str, str, int, int]


@dataclass(frozen=True)
class Folded:
    """Rows of the book of commits for which `gone` (SQL) holds give way to others."""

    gone: str
    rows: tuple[Mapping[str, object], ...]


@dataclass(frozen=True)
class Manifest:
    """One commit's worth of work.

    files: to add. replaced: (table, day_ms, shard) whose committed files give way. removed: (table,
    path) of single files that do. positions: what was
    read of the log; the spans of a partition follow each other. consumed: greatest batch of `dirty` accounted
    for, or -1. watermark_ms: latest instant that the data speaks of, or -1. folded: what becomes of old commits in the book.
    """

    stage: str
    attempt: str
    files: tuple[StagedFile, ...] = ()
    replaced: tuple[tuple[str, int, int], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    positions: tuple[Span, ...] = ()
    dirty: tuple[tuple[str, str, int, int], ...] = ()
    consumed: int = -1
    watermark_ms: int = -1
    rows: int = 0
    rejects: int = 0
    folded: Folded | None = None
