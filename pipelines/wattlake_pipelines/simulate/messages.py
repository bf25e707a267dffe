"""Readings as Arrow IPC messages, one per node and flush, columns and order as an agent sends them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa

from wattlake_pipelines.simulate.fleet import Device, Gap, Node
from wattlake_pipelines.simulate.meter import Sweep
from wattlake_pipelines.simulate.options import Options

FLUSH_MS = 60_000
#: Keeps a message below the log's limit on a record: at most about 120 bytes a row.
_ROWS = 7000
_TEXTS = ("node", "device", "device_kind", "epoch", "method", "boundary")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS[:4]] + [("ts_ms", pa.int64()), ("energy_mj", pa.int64())]
    + [(name, pa.string()) for name in _TEXTS[4:]] + [("simulated", pa.bool_())]
)


def flush_ms(options: Options, devices: int) -> int:
    """How much time a message holds: a minute, or what fits; never less than one interval."""
    return max(options.interval_ms, min(FLUSH_MS, _ROWS // devices * options.interval_ms))


def epoch(options: Options, node: Node, life: int, device: int) -> str:
    """The name of one life of a counter."""
    return options.name("epoch", node.index, life, device)[:12]


def messages(options: Options, node: Node, sweep: Sweep) -> Iterator[tuple[int, int, bytes]]:
    """(time of the flush in ms, rows, Arrow IPC stream) of each message, by time.

    Rows are grouped by device, time ascending. Readings within a gap of the node are left out; a
    message that has none left is not sent.
    """
    flush = flush_ms(options, len(node.devices))
    bins = (sweep.nominal_ms - options.start_ms) // flush
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    ends = np.append(starts[1:], len(bins))
    epochs = tuple(epoch(options, node, sweep.life.number, d) for d in range(len(node.devices)))
    kept = _kept(node, sweep)
    for i, j in zip(starts.tolist(), ends.tolist(), strict=True):
        ts, energy = sweep.ts_ms[i:j], sweep.energy_mj[:, i:j]
        sent_ms = int(ts[-1]) + 1
        if kept is None or kept[:, i:j].all():
            counts = (j - i,) * len(node.devices)
            yield sent_ms, energy.size, _encode(node.name, node.devices, epochs, counts, np.tile(ts, len(counts)), energy.ravel())
            continue
        mask = kept[:, i:j]
        if mask.any():
            counts = tuple(mask.sum(axis=1).tolist())
            yield sent_ms, int(mask.sum()), _encode(
                node.name, node.devices, epochs, counts, np.broadcast_to(ts, mask.shape)[mask], energy[mask])


def _kept(node: Node, sweep: Sweep) -> np.ndarray | None:
    """bool [devices, n]: what no gap swallows; None if there is no gap in the sweep."""
    gaps: list[Gap] = [g for g in node.gaps if g.start_ms <= sweep.ts_ms[-1] and g.end_ms > sweep.ts_ms[0]]
    if not gaps:
        return None
    kept = np.ones(sweep.energy_mj.shape, bool)
    for gap in gaps:
        i, j = np.searchsorted(sweep.ts_ms, (gap.start_ms, gap.end_ms))
        kept[slice(None) if gap.device is None else gap.device, i:j] = False
    return kept


def _encode(node: str, devices: tuple[Device, ...], epochs: tuple[str, ...], counts: tuple[int, ...],
            ts: np.ndarray, energy: np.ndarray) -> bytes:
    texts, marks = _texts(node, devices, epochs, counts)
    batch = pa.RecordBatch.from_arrays([*texts[:4], _int64(ts), _int64(energy), *texts[4:], marks], schema=SCHEMA)
    # what a stream writer would write, without growing a buffer for each message
    return b"".join((_BEGIN, batch.serialize(), _END))


#: The schema's message, and the end of a stream (Arrow columnar format, encapsulated messages).
_BEGIN = SCHEMA.serialize().to_pybytes()
_END = b"\xff\xff\xff\xff\0\0\0\0"


@lru_cache(maxsize=64)
def _texts(node: str, devices: tuple[Device, ...], epochs: tuple[str, ...],
           counts: tuple[int, ...]) -> tuple[tuple[pa.Array, ...], pa.Array]:
    """The text columns, and `simulated`: the same in every full message of one life."""
    which = _int64(np.repeat(np.arange(len(devices)), counts))
    columns = (
        [node] * len(devices), [d.name for d in devices], [d.kind for d in devices], list(epochs),
        [d.method for d in devices], [d.boundary for d in devices],
    )
    rows = len(which)
    marks = pa.Array.from_buffers(pa.bool_(), rows, [None, pa.py_buffer(np.packbits(np.ones(rows, bool), bitorder="little"))])
    return tuple(_utf8(c).take(which) for c in columns), marks


def _int64(values: np.ndarray) -> pa.Array:
    """Without pa.array, which takes a second to load pandas where that is installed."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.int64))])


def _utf8(values: list[str]) -> pa.Array:
    """The same for a few texts."""
    raw = [v.encode() for v in values]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(raw), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(raw))])
