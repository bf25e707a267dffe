"""What a range yields for one shard, and its way to the next worker as bytes.

Beam's default coder would pickle an Arrow slice with the whole buffer it is cut from; these bytes
are Arrow IPC and hold the rows they say and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from wattlake_pipelines.land.runs import Runs

#: One row per record: its identity, and what decides between two of the same identity.
RECORDS = pa.schema([("kind", pa.string()), ("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()),
                     ("appended_ms", pa.int64()), ("crc", pa.int64())])
#: The same for the book's worker: of another program's event also its first bytes, in case another one of its name says otherwise.
BOOK_RECORDS = pa.schema([*RECORDS, ("body", pa.string())])
#: Records of a later version, whole.
LATER = pa.schema([(name, pa.string()) for name in ("kind", "version", "content_type", "body", "writer", "boot")]
                  + [(name, pa.int64()) for name in ("seq", "appended_ms", "crc")])
#: Columns that this version does not know, and in how many rows each stood; under this name among the book's tables, which no kind has.
UNKNOWN_COLUMNS, LEFT_OUT = pa.schema([("kind", pa.string()), ("column", pa.string()), ("rows", pa.int64())]), "(left out)"


@dataclass(frozen=True)
class ReadingPiece:
    """Readings of one shard from one range. record_of: for each run, its row in `records`."""

    runs: Runs
    records: pa.Table
    record_of: np.ndarray

    def to_bytes(self) -> bytes:
        """The piece as Arrow IPC: four streams one after the other."""
        r = self.runs
        rows = pa.table({"ts_ms": pa.array(r.ts_ms), "value": pa.array(r.value)})
        runs = pa.table({"start": pa.array(r.starts), "length": pa.array(r.lengths), "text": pa.array(r.text), "record": pa.array(self.record_of)})
        return pack((rows, runs, r.texts, self.records))

    @staticmethod
    def from_bytes(raw: bytes | pa.Buffer) -> ReadingPiece:
        """The inverse of to_bytes."""
        rows, runs, texts, records = unpack(raw)
        starts, lengths, text, record_of = (runs[name].to_numpy() for name in ("start", "length", "text", "record"))
        return ReadingPiece(Runs(rows["ts_ms"].to_numpy(), rows["value"].to_numpy(), starts, lengths, text, texts), records, record_of)


def pack(tables: tuple[pa.Table, ...]) -> bytes:
    """Several tables as one run of bytes."""
    sink = pa.BufferOutputStream()
    for table in tables:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow has no types


def unpack(raw: bytes | pa.Buffer) -> list[pa.Table]:
    """The inverse of pack; the tables share the bytes."""
    source = pa.BufferReader(raw)
    tables = []
    while source.tell() < source.size():
        tables.append(pa.ipc.open_stream(source).read_all())
    return tables
