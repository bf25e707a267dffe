"""Import of one file: read, convert, check, write."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kind import AHEAD_MS, Kind
from wattlake_contracts.kinds import REJECTS
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.imports.blocks import Blocks, block_bytes, in_order
from wattlake_pipelines.imports.contradictions import contradictions
from wattlake_pipelines.imports.convert import Converted, Matched, convert, split
from wattlake_pipelines.imports.header import match
from wattlake_pipelines.imports.lacking import lacking
from wattlake_pipelines.imports.plausible import implausible
from wattlake_pipelines.imports.source import Chunk, Source, check_unchanged, chunks, open_source

#: Raised whenever the same file of a kind would become other rows or blocks: a record's identity holds it.
PARSER_VERSIONS = {"jobs": "2"}
_FIRST_VERSION = "1"
#: Rows of counters that are converted and sorted together; other kinds are taken whole.
CHUNK_ROWS = 1_000_000
#: Bytes of a rejected row that are kept.
_BODY_BYTES = 64 * 1024
_FIRST_REASONS = 5


@dataclass
class Outcome:
    """What became of a file. ahead: rows later than a day from now, which landing will reject. known: the log held them already.

    lacking: what stays unknown although the rows are good. contradictions: where they say different things of one key.
    """

    file: str
    kind: str
    boot: str
    dry_run: bool
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    records: int = 0
    ahead: int = 0
    known: bool = False
    reasons: list[dict[str, str]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Opened:
    """A file whose header fits its kind."""

    source: Source
    kind: Kind
    matched: Matched


def open_file(path: Path, kind: Kind) -> Opened:
    """Look at a file and its header, without reading its rows; WattlakeError says what is wrong."""
    source = open_source(path)
    return Opened(source, kind, match(kind, source.names, str(path)))


def boot_of(sha256: str, kind: Kind, again_ms: int | None = None, most_bytes: int = MAX_RECORD_BYTES) -> str:
    """The boot of a file's records: of its content, kind, parser version and the size of its blocks. No option changes the rows.

    again_ms: when it was told once more, for records that are new although their content is not.
    """
    again = "" if again_ms is None else f"\nagain {again_ms}"
    blocks = "" if most_bytes == MAX_RECORD_BYTES else f"\nblocks {most_bytes}"
    return hashlib.sha256(f"{sha256}\n{kind.name}\n{PARSER_VERSIONS.get(kind.name, _FIRST_VERSION)}{again}{blocks}".encode()).hexdigest()[:32]


def import_file(opened: Opened, writer: LogWriter | None, *, accept_implausible: bool = False,
                again_ms: int | None = None, known: Collection[str] = (), limit_bytes: int = MAX_RECORD_BYTES,
                progress: Callable[[int], None] = lambda rows: None) -> Outcome:
    """Write a file's good rows and its rejects to the log (None: only check); what became of them.

    again_ms: as of `boot_of`. known: boots that the log holds already. limit_bytes: the largest record that it takes.
    WattlakeError if the file cannot be read to its end, has no rows, a row is larger than that, or its figures
    cannot be in the unit that they claim.
    """
    source, kind, matched = opened.source, opened.kind, opened.matched
    most_bytes = block_bytes(limit_bytes)
    boot = boot_of(source.sha256, kind, again_ms, most_bytes)
    outcome = Outcome(str(source.path), kind.name, boot, dry_run=writer is None, known=boot in known)
    good = Blocks(writer, kind, boot, str(source.path), most_bytes, limit_bytes)
    # the rejects are records of their own: their numbers must not depend on where they fall among the good ones
    bad = Blocks(writer, REJECTS, hashlib.sha256(f"{boot}\nrejects".encode()).hexdigest()[:32], str(source.path), most_bytes, limit_bytes)
    for chunk in chunks(source, CHUNK_ROWS if kind.carrier == "arrow" else None):
        converted = convert(chunk.text, matched, kind)
        if kind.carrier == "json":
            if not accept_implausible:
                _refuse_implausible(converted, opened, chunk.lines[converted.at])
            check_unchanged(source)
        rows = split(chunk.text, matched, kind, converted)
        good.write(in_order(rows.table, kind))
        rejects = _rejects(chunk, rows, source, kind)
        bad.write(rejects)
        outcome.rows += len(chunk.lines) + len(chunk.bad)
        outcome.accepted += rows.table.num_rows
        outcome.rejected += rejects.num_rows
        outcome.ahead += _ahead(rows.table, kind)
        # the kinds that anything is said of are taken whole
        outcome.lacking += lacking(rows.table, kind)
        outcome.contradictions += contradictions(rows.table, kind, chunk.lines[rows.at], source.line_word)
        outcome.reasons += rejects.slice(0, _FIRST_REASONS - len(outcome.reasons)).select(["place", "reason"]).to_pylist()
        progress(outcome.rows)
    if not outcome.rows:
        raise WattlakeError("has a header and no rows", subject=str(source.path), next_step="check what should have written it")
    check_unchanged(source)
    good.sync()
    bad.sync()
    outcome.records = good.seq + bad.seq
    return outcome


def _refuse_implausible(converted: Converted, opened: Opened, lines: np.ndarray) -> None:
    if why := implausible(converted.table, opened.matched, lines):
        more = f"; and {len(why) - _FIRST_REASONS} more" if len(why) > _FIRST_REASONS else ""
        raise WattlakeError("; ".join(why[:_FIRST_REASONS]) + more, subject=str(opened.source.path),
                            next_step="correct the figures or the column's name, or add --accept-implausible")


def _rejects(chunk: Chunk, rows: Converted, source: Source, kind: Kind) -> pa.Table:
    """The rows of the chunk that cannot be used, as rows of kind rejects, by line."""
    found = [(bad.line, bad.reason, bad.body) for bad in chunk.bad]
    if len(rows.faulty):
        cells = chunk.text.take(pa.array(rows.faulty)).to_pylist()
        found += zip(chunk.lines[rows.faulty].tolist(), rows.faults.to_pylist(), map(_csv_line, cells), strict=True)
    found.sort()
    table = pa.table({
        "kind": pa.array([kind.name] * len(found), pa.string()),
        "place": pa.array([f"{source.path.name}:{line}" for line, _, _ in found], pa.string()),
        "reason": pa.array([reason for _, reason, _ in found], pa.string()),
        "body": pa.array([_cut(body) for _, _, body in found], pa.string()),
    })
    return table.select(kind_schema(REJECTS).names)


def _csv_line(cells: dict[str, str | None]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(["" if v is None else v for v in cells.values()])
    return out.getvalue()


def _cut(body: str) -> str:
    raw = body.encode()
    return body if len(raw) <= _BODY_BYTES else f"{raw[:_BODY_BYTES].decode('utf-8', 'ignore')}… ({len(raw)} bytes)"


def _ahead(table: pa.Table, kind: Kind) -> int:
    """Rows later than a day from now. They are kept: whether they count is judged by the record's time, when it lands."""
    late = np.zeros(table.num_rows, bool)
    for name in kind.happened:
        late |= pc.fill_null(pc.greater(table.column(name), time.time_ns() // 1_000_000 + AHEAD_MS), False).to_numpy()
    return int(late.sum())
