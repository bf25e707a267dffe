"""`wattlake land`: round by round, until the log holds nothing that has not landed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import SEEN, SEEN_EVENTS
from wattlake_pipelines.arrow_schema import table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest, stage
from wattlake_pipelines.land.node_keys import node_keys
from wattlake_pipelines.land.pipeline import EVENT_FILES, SEEN_FILE, Part, land_pipeline
from wattlake_pipelines.land.proof import proven, span
from wattlake_pipelines.land.seen import SCHEMA as SEEN_SCHEMA
from wattlake_pipelines.land.seen import are_events, cut_back, stage_events
from wattlake_pipelines.land.source import FileSource, Measured, Range, Source, Withheld
from wattlake_pipelines.land.take_up import take_up


@dataclass(frozen=True)
class Landed:
    """What landing did. rows: accepted rows of all kinds. rejects: rows and records that could not be used.

    withheld: what could not be landed from. unknown: (kind, column) that this version does not know, and in how many rows it was left out.
    """

    rounds: int
    records: int
    rows: int
    rejects: int
    withheld: tuple[Withheld, ...] = ()
    unknown: Mapping[tuple[str, str], int] = field(default_factory=dict)


def land(committer: Committer, log: Source | Path, *, round_bytes: int, pieces: int = 1, options: Sequence[str] = (),
         progress: Callable[[int, int], None] | None = None, max_rounds: int | None = None) -> Landed:
    """Land what the log (a folder is a file log) holds beyond what has landed already.

    round_bytes: how much of the log one round (one commit) takes. pieces: into how many ranges each
    segment is cut at least. progress: hears (records, rows) after each round. Without max_rounds it
    ends with what the log held at the beginning: beside agents that send, it would else have no end.
    """
    rounds = records = rows = rejects = 0
    unknown: Counter[tuple[str, str]] = Counter()
    while (taken := take_up(committer, options, round_bytes)) is not None:
        rounds, records, rows, rejects = rounds + 1, records + taken[0], rows + taken[1].rows, rejects + taken[1].rejects
        if progress is not None:
            progress(records, rows)
        if max_rounds is not None:
            # what waits on is for the next call
            max_rounds += 1
            break
    source = FileSource(log) if isinstance(log, Path) else log
    upto = source.ends() if max_rounds is None else None
    # what is let in again meanwhile is still left out up to the end
    withheld = {} if upto is None else {each.subject: each for each in source.withheld}
    while max_rounds is None or rounds < max_rounds:
        found = committer.query(f"SELECT partition, next_offset FROM {ALIAS}.log_positions WHERE log = ?", [source.identity]).fetchall()
        ranges = source.plan(dict(found), round_bytes, pieces, upto)
        withheld |= {each.subject: each for each in source.withheld}
        if not ranges:
            break
        if (done := land_round(committer, source, ranges, options)) is None:
            continue
        made, left_out = done
        rounds, records = rounds + 1, records + sum(r.end - r.start for r in ranges)
        rows, rejects = rows + made.rows, rejects + made.rejects
        unknown.update(left_out)
        if progress is not None:
            progress(records, rows)
    return Landed(rounds, records, rows, rejects, tuple(withheld.values()), unknown)


def land_round(committer: Committer, source: Source, ranges: Sequence[Range], options: Sequence[str]) -> tuple[Manifest, dict[tuple[str, str], int]] | None:
    """Land these ranges in one commit; give its manifest, and what Landed says of unknown columns.

    None, and nothing is committed, where any of them was too much for a round: the source has heard of it, and plans less.
    """
    with committer.attempt() as (attempt, staging):
        seen, parts = _read(committer, ranges, staging, attempt, options)
        read = [r for p in parts for r in p.read]
        by_span = {span(where): where for where in ranges}
        source.learn([Measured(by_span[r.span], r.reached, r.weight_bytes) for r in read if r.span in by_span])
        if any(not r.is_whole for r in read):
            return None
        manifest, unknown = _manifest(ranges, seen, parts, staging, attempt)
        source.confirm(ranges)
        committer.commit(manifest)
    return manifest, unknown


def _read(committer: Committer, ranges: Sequence[Range], staging: Path, attempt: str, options: Sequence[str]) -> tuple[pa.Table, list[Part]]:
    """(the book of what was seen before, what the workers have made of the ranges)."""
    seen = _seen(committer)
    for where in _ends_lost(ranges):
        seen = cut_back(seen, where.place, where.start)
    pq.write_table(seen, staging / SEEN_FILE)
    events = committer.query(f"SELECT path FROM {ALIAS}.files WHERE table_name = ?", [SEEN_EVENTS.name]).fetchall()
    (staging / EVENT_FILES).write_bytes(msgspec.json.encode([str(committer.lake / path) for (path,) in events]))
    keys = node_keys(committer)
    return seen, land_pipeline([part.with_keys(keys) for part in ranges] if keys else ranges, committer.shards, staging, attempt, committer.next_batch(),
                               options)


def _ends_lost(ranges: Sequence[Range]) -> list[Range]:
    return [where for where in ranges if where.gone < 0]


def _manifest(ranges: Sequence[Range], seen: pa.Table, parts: Sequence[Part], staging: Path, attempt: str) -> tuple[Manifest, dict[tuple[str, str], int]]:
    ends_lost = _ends_lost(ranges)
    files = tuple(f for p in parts for f in p.files)
    if ends_lost and seen.num_rows and not any(f.table == SEEN.name for f in files):
        files += (stage(SEEN.name, seen.cast(table_schema(SEEN)), staging, f"{attempt}-cut.parquet", day_ms=0, shard=0),)
    return Manifest(
        "land", attempt, files,
        replaced=((SEEN.name, 0, 0),) if ends_lost or any(f.table == SEEN.name for f in files) else (),
        positions=proven(ranges, [r for p in parts for r in p.read], [name for p in parts for name in p.pieces]),
        dirty=tuple(d for p in parts for d in p.dirty),
        watermark_ms=max((p.watermark_ms for p in parts), default=-1),
        rows=sum(p.rows for p in parts), rejects=sum(p.rejects for p in parts)), {(kind, name): rows for p in parts for kind, name, rows in p.unknown}


def _seen(committer: Committer) -> pa.Table:
    """The book of what was seen. One that an earlier Wattlake kept, with each event of another program in it, is parted in two first."""
    seen = committer.query(f"SELECT node, boot, from_seq, to_seq FROM {ALIAS}.{SEEN.name}").to_arrow_table().cast(SEEN_SCHEMA)
    is_event = are_events(seen["boot"])
    if not is_event.any():
        return seen
    with committer.attempt() as (attempt, staging):
        name = f"{attempt}.parquet"
        files = [stage_events(pc.unique(seen["boot"].filter(pa.array(is_event))), committer.next_batch(), staging, name)]
        seen = seen.filter(pa.array(~is_event))
        if seen.num_rows:
            files.append(stage(SEEN.name, seen.cast(table_schema(SEEN)), staging, name, day_ms=0, shard=0))
        committer.commit(Manifest("maintain", attempt, tuple(files), replaced=((SEEN.name, 0, 0),)))
    return seen
