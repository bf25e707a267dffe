"""Readings as Arrow IPC messages: columns in, bytes out, each small enough for one record."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from wattlake_agents.sensors.sensor import Device
from wattlake_contracts.filelog.format import HEADER_BYTES, MAX_RECORD_BYTES, encode_meta
from wattlake_contracts.record import ARROW, Meta

_TEXT_COLUMNS = ("node", "device", "device_kind", "epoch", "method", "boundary")
_NUMBER_COLUMNS = ("ts_ms", "energy_mj")
#: One row: two int64 and six int32 offsets, besides the texts.
_ROW_BYTES = 8 * len(_NUMBER_COLUMNS) + 4 * len(_TEXT_COLUMNS)
#: What a buffer may be padded to.
_ALIGNED_BYTES = 64


@dataclass(slots=True)
class Run:
    """Readings of one device within one epoch, by ascending time: ts_ms and energy_mj (int64)."""

    device: Device
    epoch: str
    ts_ms: array[int] = field(default_factory=lambda: array("q"))
    energy_mj: array[int] = field(default_factory=lambda: array("q"))

    def texts(self, node: str) -> tuple[bytes, ...]:
        """The values of _TEXT_COLUMNS, the same in every row."""
        d = self.device
        return tuple(value.encode() for value in (node, d.name, d.kind, self.epoch, d.method, d.boundary))


def messages(node: str, runs: list[Run], limit_bytes: int = MAX_RECORD_BYTES) -> Iterator[tuple[bytes, int]]:
    """(Arrow IPC stream, rows) of all runs, in their order, split where a record would pass the limit.

    limit_bytes: of the record, as the log counts it. A row that is larger by itself is given alone: the spool
    gives it up, and counts it.
    """
    if not runs:
        return
    # a boot is 16 hexadecimal digits
    head_bytes = HEADER_BYTES + len(encode_meta(Meta("readings", node, "0" * 16, content_type=ARROW)))
    room = left = limit_bytes - head_bytes - _frame_bytes()
    batch: list[Run] = []
    for run in runs:
        row_bytes = _ROW_BYTES + sum(map(len, run.texts(node)))
        at, rows = 0, len(run.ts_ms)
        while at < rows:
            take = min(rows - at, left // row_bytes)
            if take <= 0 and batch:
                yield _encode(node, batch)
                batch, left = [], room
                continue
            take = max(take, 1)
            batch.append(Run(run.device, run.epoch, run.ts_ms[at : at + take], run.energy_mj[at : at + take]))
            at, left = at + take, left - take * row_bytes
    if batch:
        yield _encode(node, batch)


@cache
def _frame_bytes() -> int:
    """What a stream holds beside its rows, at most: its schema and framing, the offset before the first row, and the padding of the buffers."""
    return len(_encode("", [])[0]) + _ALIGNED_BYTES * (2 * len(_TEXT_COLUMNS) + len(_NUMBER_COLUMNS)) + 4 * len(_TEXT_COLUMNS)


def _encode(node: str, runs: list[Run]) -> tuple[bytes, int]:
    import nanoarrow as na
    from nanoarrow.ipc import StreamWriter

    lengths = [len(run.ts_ms) for run in runs]
    rows = sum(lengths)
    texts = [run.texts(node) for run in runs]
    columns: dict[str, Any] = {}
    for i, name in enumerate(_TEXT_COLUMNS):
        columns[name] = na.c_array_from_buffers(na.string(), rows, [None, *_repeat([t[i] for t in texts], lengths)])
    for name in _NUMBER_COLUMNS:
        joined = array("q")
        for run in runs:
            joined.extend(getattr(run, name))
        columns[name] = na.c_array_from_buffers(na.int64(), rows, [None, joined])
    schema = na.struct({name: na.string() if name in _TEXT_COLUMNS else na.int64() for name in columns})
    batch = na.c_array_from_buffers(schema, rows, [None], children=list(columns.values()))
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_array(batch)
    return out.getvalue(), rows


def _repeat(values: list[bytes], times: list[int]) -> tuple[array[int], bytes]:
    """(int32 offsets, bytes) of a utf8 column that holds each value so many times."""
    offsets, end = array("i", (0,)), 0
    for value, n in zip(values, times, strict=True):
        size = len(value)
        offsets.extend(range(end + size, end + size * n + 1, size) if size else [end] * n)
        end += size * n
    return offsets, b"".join(value * n for value, n in zip(values, times, strict=True))
