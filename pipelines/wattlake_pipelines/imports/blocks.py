"""Rows of a file as records of the log: blocks of a fixed size, so that the same file has the same identities."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wattlake_contracts.config import LEAST_RECORD_BYTES
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES, record_bytes
from wattlake_contracts.filelog.partition import LogError
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kind import Kind
from wattlake_contracts.record import ARROW, JSON, Meta

#: Rows of one record, by carrier.
BLOCK_ROWS = {"arrow": 5000, "json": 500}
#: The writer's node of all imported records.
NODE = "import"
_SYNC_BYTES = 8 * 2**20


def block_bytes(limit_bytes: int) -> int:
    """The size beyond which a block is halved: one of two, so that another limit of the log gives no other blocks to a file that is told again."""
    return MAX_RECORD_BYTES if limit_bytes >= MAX_RECORD_BYTES else LEAST_RECORD_BYTES


class Blocks:
    """Writes the rows of one file and kind to the log, numbering its records from 0.

    A block of more than most_bytes is halved until it is not; as that depends on nothing but the rows,
    the numbers are the same every time. All bear one append time: what a file does not date itself
    was known at one moment, so that no block of it overrules another. limit_bytes: the largest record
    that the log takes. file: the file's name, for errors.
    """

    def __init__(self, writer: LogWriter | None, kind: Kind, boot: str, file: str, most_bytes: int = MAX_RECORD_BYTES,
                 limit_bytes: int = MAX_RECORD_BYTES) -> None:
        self.writer, self.kind, self.seq, self._unsynced = writer, kind, 0, 0
        self._file, self._most_bytes, self._limit_bytes = file, most_bytes, limit_bytes
        self._appended_ms = time.time_ns() // 1_000_000
        self.meta = Meta(kind.name, NODE, boot, content_type=ARROW if kind.carrier == "arrow" else JSON)

    def write(self, table: pa.Table) -> None:
        """Append the rows, in blocks; without a writer they are counted only. WattlakeError if the log cannot take them, with a writer or without."""
        size = BLOCK_ROWS[self.kind.carrier]
        for start in range(0, table.num_rows, size):
            self._block(table.slice(start, size))

    def _block(self, rows: pa.Table) -> None:
        payload = encode(rows, self.kind)
        size_bytes = record_bytes(self.meta, payload)
        if size_bytes > self._most_bytes and rows.num_rows > 1:
            half = rows.num_rows // 2
            self._block(rows.slice(0, half))
            self._block(rows.slice(half))
            return
        if size_bytes > self._limit_bytes:
            raise WattlakeError(f"a row of {self.kind.name} takes {len(payload)} bytes, and the log no record of more than {self._limit_bytes}",
                                subject=self._file, next_step="shorten its texts, or raise kafka.max_record_bytes")
        if self.writer is None:
            self.seq += 1
            return
        self.writer.append(self.meta, self.seq, payload, self._appended_ms)
        self.seq += 1
        self._unsynced += len(payload)
        if self._unsynced >= _SYNC_BYTES:
            self.sync()

    def sync(self) -> None:
        """Make what was written durable."""
        self._unsynced = 0
        if self.writer is None:
            return
        try:
            self.writer.sync()
        except (OSError, LogError) as error:
            raise WattlakeError(f"the log cannot take more: {error}", subject=str(self.writer.folder),
                                next_step="make room and import the file again: what is already there counts once") from error


def encode(rows: pa.Table, kind: Kind) -> bytes:
    """The payload of a record: an Arrow IPC stream, or a JSON array of objects; columns with no value are left out."""
    if kind.carrier == "arrow":
        given = rows.select([n for n in rows.column_names if rows.column(n).null_count < rows.num_rows])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, given.schema) as stream:
            stream.write_table(given)
        return bytes(sink.getvalue())
    return encode_rows([{k: v for k, v in row.items() if v is not None} for row in rows.to_pylist()])


def encode_rows(rows: list[dict[str, Any]]) -> bytes:
    """A JSON array of objects."""
    return msgspec.json.encode(rows)


def in_order(table: pa.Table, kind: Kind) -> pa.Table:
    """Counters sorted by what they count and by time, so that a block holds few of them; other kinds as they are."""
    if kind.carrier != "arrow" or not table.num_rows:
        return table
    group = np.zeros(table.num_rows, dtype=np.int64)
    for name in kind.key:
        if name != "ts_ms":
            column = table.column(name).combine_chunks().dictionary_encode()
            codes = pc.fill_null(column.indices, len(column.dictionary)).to_numpy().astype(np.int64)
            # numbered anew after each column, so that the product stays small
            _, group = np.unique(group * (len(column.dictionary) + 1) + codes, return_inverse=True)
    order = np.lexsort((table.column("ts_ms").to_numpy(), group))
    return table if np.array_equal(order, np.arange(len(order))) else table.take(pa.array(order))
