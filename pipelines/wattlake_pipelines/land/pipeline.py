"""Landing as a Beam pipeline: elements are ranges, file names and bytes of columns, never rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import apache_beam as beam
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from wattlake_pipelines.beam_pipeline import beam_pipeline
from wattlake_pipelines.lake.manifest import StagedFile
from wattlake_pipelines.land.piece import ReadingPiece
from wattlake_pipelines.land.proof import RangeRead, span, with_proof, without_proof
from wattlake_pipelines.land.read_range import BOOK, read_range
from wattlake_pipelines.land.source import Range
from wattlake_pipelines.land.weight import Weight
from wattlake_pipelines.land.write_book import write_book
from wattlake_pipelines.land.write_readings import write_readings

#: Files in the staging folder by which driver and workers speak.
SEEN_FILE = "seen.parquet"
EVENT_FILES = "seen-events.json"
PART = "part-{}.json"
PIECE = "piece-{}.arrow"


@dataclass(frozen=True)
class Part:
    """What one worker made: for the driver, as JSON in the staging folder.

    pieces: those that are in its files. read: of the book's worker, the ranges that it has heard of.
    """

    files: list[StagedFile]
    dirty: list[tuple[str, str, int, int]]
    rows: int
    rejects: int
    watermark_ms: int
    unknown: list[tuple[str, str, int]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    read: list[RangeRead] = field(default_factory=list)


class ReadRange(beam.DoFn):
    """A range → (shard, name of a file of readings), and (BOOK, bytes) of all the rest.

    Readings wait in the staging folder, not in the runner: that would copy them eight times over.
    A range that is read again writes files of other names; what nothing names goes with the folder.
    What goes to the book comes last, and bears the proof that all the rest was read and how it is called; or that it was too much.
    """

    def __init__(self, shards: int, staging: str) -> None:
        self._shards, self._staging = shards, staging

    def process(self, element: Range) -> Iterator[tuple[int, bytes]]:
        """Read one range."""
        pieces: list[str] = []
        weight = Weight(element.start, element.bound_bytes)
        for shard, raw in read_range(element, self._shards, weight):
            if shard == BOOK:
                yield shard, with_proof(raw, RangeRead(span(element), pieces, weight.reached, weight.bytes))
                continue
            pieces.append(PIECE.format(uuid4().hex))
            (Path(self._staging) / pieces[-1]).write_bytes(raw)
            yield shard, pieces[-1].encode()


class WriteShard(beam.DoFn):
    """All pieces of one shard (or the book) → staged files, and a part file that lists them."""

    def __init__(self, staging: str, attempt: str, batch: int) -> None:
        self._staging, self._attempt, self._batch = staging, attempt, batch

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[str]:
        """Write one shard."""
        shard, parts = element
        folder = Path(self._staging)
        seen = pq.read_table(folder / SEEN_FILE)
        events = msgspec.json.decode((folder / EVENT_FILES).read_bytes(), type=list[str])
        if shard == BOOK:
            bodies, read = zip(*map(without_proof, parts), strict=True)
            booked = write_book(bodies, seen, folder, self._attempt, self._batch, events)
            rows = sum(f.rows for f in booked.files if f.table.startswith(("raw_", "ref_")))
            made = Part(booked.files, booked.dirty, rows, booked.rejects, booked.watermark_ms, booked.unknown, read=list(read))
        else:
            pieces = [p.decode() for p in parts]
            made = _write_shard([_piece(folder / p) for p in pieces], seen, folder, self._attempt, shard, self._batch, events)
            made = replace(made, pieces=pieces)
        name = PART.format(shard)
        (folder / name).write_bytes(msgspec.json.encode(asdict(made)))
        yield name


def _piece(path: Path) -> ReadingPiece:
    with pa.memory_map(str(path)) as file:
        return ReadingPiece.from_bytes(file.read_buffer())


def _write_shard(pieces: Sequence[ReadingPiece], seen: pa.Table, folder: Path, attempt: str, shard: int, batch: int,
                 events: Sequence[str]) -> Part:
    files = write_readings(pieces, seen, folder, attempt, shard, batch, events)
    raw = [f for f in files if f.day_ms >= 0]
    hours = [h for f in raw for h in f.hours_ms]
    dirty = [("readings", str(shard), min(hours), max(hours) + 3_600_000)] if hours else []
    latest = max((int(p.runs.ts_ms.max()) for p in pieces), default=-1) if hours else -1
    return Part(files, dirty, sum(f.rows for f in raw), 0, latest, [])


def land_pipeline(ranges: Sequence[Range], shards: int, staging: Path, attempt: str, batch: int, options: Sequence[str]) -> list[Part]:
    """Run the pipeline over the ranges and give what its workers made.

    options: and errors, as of beam_pipeline.
    """
    with beam_pipeline(options) as pipeline:
        _ = (
            pipeline
            | "Ranges" >> beam.Create(list(ranges), reshuffle=len(ranges) > 1)
            | "Read" >> beam.ParDo(ReadRange(shards, str(staging))).with_output_types(tuple[int, bytes])
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(WriteShard(str(staging), attempt, batch)).with_output_types(str)
        )
    return [msgspec.json.decode(path.read_bytes(), type=Part) for path in sorted(staging.glob(PART.format("*")))]
