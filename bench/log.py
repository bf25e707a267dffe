"""How fast records are accepted by the file log: appended, and fsynced in groups as an agent's flush is."""

from __future__ import annotations

import os
import time
from pathlib import Path

from figures import Figure, alone, spending

from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import ARROW, Meta

#: What an agent of a machine with 8 GPUs sends in a minute.
PAYLOAD_BYTES = 64 * 1024


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
    floor = _fsyncs(folder / "floor", count, payload)
    each, grouped = count / single().wall_s, 4 * count * PAYLOAD_BYTES / group().wall_s / 1e6
    return [
        Figure("records accepted, each fsynced", each, "records/s", f"write and one fsync of the same bytes, {floor:,.0f}", each / floor, "none", None),
        Figure("records accepted in groups of 64", grouped, "MB/s", f"one at a time, {each * PAYLOAD_BYTES / 1e6:.0f}",
               grouped / (each * PAYLOAD_BYTES / 1e6), "none", None),
    ]


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
