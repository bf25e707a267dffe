"""Records that an earlier version set aside, landed by one that knows their kind.

They were marked as seen when they were set aside, each once. So none is looked up again; that some
are landed and no longer wait is one commit, and the next one goes on with the others.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import crc32c
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.filelog.format import encode_meta
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.record import Meta, Record, Stored
from wattlake_contracts.table import Table
from wattlake_contracts.tables import REJECTED, SEEN, SEEN_EVENTS, SET_ASIDE
from wattlake_pipelines.arrow_schema import table_schema, widened
from wattlake_pipelines.decode import KEPT, readable
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.connection import quoted
from wattlake_pipelines.lake.manifest import Manifest, StagedFile, stage
from wattlake_pipelines.land.node_keys import NO_KEYS, NodeKeys, node_keys
from wattlake_pipelines.land.pipeline import EVENT_FILES, SEEN_FILE, Part, land_pipeline
from wattlake_pipelines.land.proof import proven
from wattlake_pipelines.land.seen import SCHEMA as SEEN_SCHEMA
from wattlake_pipelines.land.weight import BOOK_COPIES

_IDENTITY = ("writer", "boot", "seq")
#: So many records at once are made of a file's rows.
_BATCH_ROWS = 256


@dataclass(frozen=True)
class KeptRange:
    """Files of `set_aside` as a range of a log: of each row the record, where this version can read it."""

    files: tuple[str, ...]
    log: str = SET_ASIDE.name
    partition: str = SET_ASIDE.name
    start: int = 0
    end: int = 0
    gone: int = 0
    place: str = ""
    #: they were checked when they came; rows in them that name such a node are not
    keys: NodeKeys = NO_KEYS
    bound_bytes: int = 0

    def with_keys(self, keys: NodeKeys) -> KeptRange:
        """See Range."""
        return replace(self, keys=keys)

    def read(self) -> Iterator[Stored]:
        """See Range."""
        for path in self.files:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield from (_record(row) for row in batch.to_pylist() if readable(row["kind"], row["version"]))


def _record(row: Mapping[str, Any]) -> Stored:
    meta = Meta(row["kind"], row["writer"], row["boot"], row["version"], row["content_type"])
    record = Record(meta, row["seq"], row["appended_ms"], base64.b64decode(row["body"]))
    return Stored(0, record, 0, crc32c.crc32c(record.payload, crc32c.crc32c(encode_meta(meta))))


def take_up(committer: Committer, options: Sequence[str], round_bytes: int) -> tuple[int, Manifest] | None:
    """Land what waited for this version, in one commit: (records, its manifest); None if nothing did.

    round_bytes: what one commit takes of it (see Weight), but at least a file; what is left is taken up by the next call.
    """
    if not committer.query(f"SELECT 1 FROM {ALIAS}.files WHERE table_name = '{SET_ASIDE.name}' LIMIT 1").fetchone():
        return None
    listed = committer.query(f"SELECT kind, version, filename, count(*) FROM {ALIAS}.{SET_ASIDE.name} GROUP BY ALL ORDER BY ALL").fetchall()
    waiting: Counter[str] = Counter()
    for kind, version, path, rows in listed:
        if readable(kind, version):
            waiting[path] += rows
    if not waiting:
        return None
    files = _of_a_round(sorted(waiting), round_bytes)
    with committer.attempt() as (attempt, staging):
        pq.write_table(SEEN_SCHEMA.empty_table(), staging / SEEN_FILE)
        (staging / EVENT_FILES).write_bytes(msgspec.json.encode([]))
        kept = KeptRange(files).with_keys(node_keys(committer))
        parts = land_pipeline([kept], committer.shards, staging, attempt, committer.next_batch(), options)
        # what waits goes with this commit: were any of it not read, nobody would come upon it again
        proven([kept], [r for p in parts for r in p.read], [name for p in parts for name in p.pieces])
        manifest = _manifest(committer, files, parts, attempt, staging)
        committer.commit(manifest)
    return sum(waiting[path] for path in files), manifest


def _of_a_round(paths: Sequence[str], round_bytes: int) -> tuple[str, ...]:
    """The first files, as many as one commit takes."""
    taken, weight_bytes = [paths[0]], _weight_bytes(paths[0])
    for path in paths[1:]:
        weight_bytes += _weight_bytes(path)
        if weight_bytes > round_bytes:
            break
        taken.append(path)
    return tuple(taken)


def _weight_bytes(path: str) -> int:
    """What a file weighs, unpacked, as its end says."""
    found = pq.read_metadata(path)
    unpacked_bytes = sum(int(found.row_group(number).total_byte_size) for number in range(found.num_row_groups))
    return BOOK_COPIES * unpacked_bytes


def _manifest(committer: Committer, files: Sequence[str], parts: Sequence[Part], attempt: str, staging: Path) -> Manifest:
    waited = pa.concat_tables([pq.read_table(path, columns=["kind", "version", *_IDENTITY]) for path in files])
    listed = ", ".join(map(quoted, files))
    names = committer.query(f"""
        SELECT DISTINCT r.filename FROM {ALIAS}.{REJECTED.name} r
        SEMI JOIN (SELECT {", ".join(_IDENTITY)} FROM {ALIAS}.{SET_ASIDE.name} WHERE filename IN ({listed})) s USING ({", ".join(_IDENTITY)})
        WHERE contains(r.reason, {quoted(KEPT)}) ORDER BY ALL""").fetchall()
    taken = waited.filter(_are_readable(waited))
    left = [*_left(SET_ASIDE, files, lambda rows: pc.invert(_are_readable(rows)), attempt, staging),
            *_left(REJECTED, [name for (name,) in names], lambda rows: pc.invert(pc.and_(_among(rows, taken), pc.match_substring(rows["reason"], KEPT))),
                   attempt, staging)]
    made = [f for p in parts for f in p.files if f.table not in (SEEN.name, SEEN_EVENTS.name)]
    gone = [(SET_ASIDE.name, path) for path in files] + [(REJECTED.name, name) for (name,) in names]
    return Manifest(
        "land", attempt, (*made, *left), removed=tuple((table, str(Path(path).relative_to(committer.lake))) for table, path in gone),
        dirty=tuple(d for p in parts for d in p.dirty), watermark_ms=max((p.watermark_ms for p in parts), default=-1),
        rows=sum(p.rows for p in parts), rejects=sum(p.rejects for p in parts))


def _left(table: Table, files: Sequence[str], stays: Callable[[pa.Table], pa.Array], attempt: str, staging: Path) -> list[StagedFile]:
    """The rows of files that stay, as one file; none if no row does."""
    rows = widened([pq.read_table(path, page_checksum_verification=True) for path in files], table_schema(table))
    rows = rows.filter(stays(rows)) if rows.num_rows else rows
    return [stage(table.name, rows, staging, f"{attempt}-left.parquet")] if rows.num_rows else []


def _are_readable(rows: pa.Table) -> pa.Array:
    return pa.array([readable(kind, version) for kind, version in zip(rows["kind"].to_pylist(), rows["version"].to_pylist(), strict=True)], pa.bool_())


def _among(rows: pa.Table, records: pa.Table) -> pa.Array:
    """Whether each row is of one of the records."""
    wanted = set(zip(*(records[name].to_pylist() for name in _IDENTITY), strict=True))
    return pa.array([identity in wanted for identity in zip(*(rows[name].to_pylist() for name in _IDENTITY), strict=True)], pa.bool_())
