"""The file log on a disk whose calls fail: what was told as accepted is there once, what was told as failed can be appended again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Stored

#: Appends records, with other calls failing at each turn, until it is killed; each record is tried until it is told as accepted, as
#: the spool does, alone or with those after it. It prints the number below which all is accepted, and as it ends what it holds open.
_WRITE = """
import os, random, signal, sys
from pathlib import Path
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Meta

root, armed, boot, seed = Path(sys.argv[1]), Path(os.environ["FAILING_CALLS"]), sys.argv[2], int(sys.argv[3])
chance, accepted, failed, lost, writer = random.Random(seed), 0, 0, 0, None
faults = ["fdatasync .wlog", "pwrite .wlog", "ftruncate .wlog", "open .wlog", "pwrite durable", "fsync /p", "unlink .wlog"]
for turn in range(60):
    armed.write_text("\\n".join(chance.sample(faults, chance.choice([0, 1, 1, 2, 3]))))
    try:
        if writer is None:
            writer = LogWriter(root, "p", segment_bytes=1000, max_bytes=5_000 if len(sys.argv) > 4 else None)
        for seq in range(accepted, accepted + chance.randint(1, 4)):
            writer.append(Meta("jobs", "n1", boot), seq, b"%d." % seq * (seq % 90 + 1), appended_ms=1000 + turn)
        writer.sync()
        accepted = seq + 1
        print(accepted, flush=True)
        if chance.random() < 0.1:
            writer.close()
            lost, writer = lost + writer.lost_records, None
    except OSError:
        failed += 1
print("failed", failed, "open", len(os.listdir("/proc/self/fd")), "lost", lost + (writer.lost_records if writer else 0), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def write(root: Path, shim: Path, seed: int, *more: str) -> tuple[int, int, int, int]:
    """(records accepted, tries that failed, descriptors open, records given up) of one life of the writer."""
    done = subprocess.run([sys.executable, "-c", _WRITE, str(root), f"b{seed}", str(seed), *more], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "LD_PRELOAD": str(shim), "FAILING_CALLS": str(root.parent / "armed")}, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    *accepted, last = done.stdout.splitlines()
    _, failed, _, descriptors, _, lost = last.split()
    return int(accepted[-1]), int(failed), int(descriptors), int(lost)


@pytest.mark.parametrize("seed", range(3))
def test_calls_that_fail_at_any_point_lose_and_double_no_record(tmp_path: Path, failing_calls: Path, seed: int) -> None:
    root = tmp_path / "log"
    accepted: dict[str, int] = {}
    for life in range(2):
        number = 10 * seed + life
        accepted[f"b{number}"], failed, descriptors, _ = write(root, failing_calls, number)
        assert failed > 5
        assert descriptors < 20
    found: dict[str, list[int]] = {boot: [] for boot in accepted}
    offsets = []
    for item in read(root, "p", *bounds(root, "p")):
        assert isinstance(item, Stored), item
        record = item.record
        assert bytes(record.payload) == b"%d." % record.seq * (record.seq % 90 + 1)
        found[record.meta.boot].append(record.seq)
        offsets.append(item.offset)
    assert offsets == list(range(len(offsets)))
    # the last may be there though it was told as failed: its writer was killed before it could try again
    for boot, seqs in found.items():
        assert seqs[: accepted[boot]] == list(range(accepted[boot]))
        assert len(seqs) == len(set(seqs))
    assert len(segments(root / "p")) > 5


def test_a_bounded_log_counts_what_it_gives_up_where_calls_fail(tmp_path: Path, failing_calls: Path) -> None:
    root = tmp_path / "log"
    accepted, failed, _, lost = write(root, failing_calls, 7, "bounded")
    first, end = bounds(root, "p")
    assert failed > 5
    assert end >= accepted
    assert lost == first > 0
