"""A simulation written to a file log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.boots import boots
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES
from wattlake_contracts.filelog.partition import LogError, partitions
from wattlake_contracts.filelog.writer import LogWriter, RecordTooLarge
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.records import NodeTally, Simulation, boots_of

#: Records are fsynced together when so much is waiting.
_SYNC_BYTES = 32 * 2**20
PARTITION = "simulate"


@dataclass(frozen=True)
class Summary:
    """What was written: all records, those of each node, and the sizes."""

    records: int
    readings: int
    payload_bytes: int
    nodes: list[NodeTally]


def holds_another(root: Path, options: Options) -> bool:
    """Whether a log holds what a simulation with other options wrote. WattlakeError if it cannot be read."""
    try:
        there = [name for name in (partitions(root) if root.is_dir() else []) if name.startswith(f"{PARTITION}.")]
        known = boots_of(options) if there else set()
        return any(boots(root, name) - known for name in there)
    except (LogError, OSError) as error:
        raise WattlakeError(f"the log cannot be read: {error}", subject=str(root), next_step="mend that, or give another --log") from error


def simulate(root: Path, options: Options, *, writers: int = 4, progress: Callable[[int], None] | None = None,
             limit_bytes: int = MAX_RECORD_BYTES) -> Summary:
    """Write the simulation to the log at `root`, in partitions simulate.0 … of at most `writers`.

    The same options give the same records; writing them twice gives duplicates by identity, which
    landing counts once. progress: called with the records written since. limit_bytes: the largest record
    that the log takes. WattlakeError if the log cannot be written, or takes no record of that size.
    """
    simulation = Simulation(options)
    count = min(writers, options.nodes)
    total = bytes_total = 0
    try:
        with ExitStack() as stack:
            logs = [stack.enter_context(LogWriter(root, f"{PARTITION}.{i}", segment_bytes=64 * 2**20, max_record_bytes=limit_bytes)) for i in range(count)]
            waiting = [0] * count
            for batch in simulation.records():
                for w in batch:
                    which = max(w.writer, 0) % count
                    logs[which].append(w.meta, w.seq, w.payload, w.appended_ms)
                    waiting[which] += len(w.payload)
                    bytes_total += len(w.payload)
                    if waiting[which] > _SYNC_BYTES:
                        logs[which].sync()
                        waiting[which] = 0
                total += len(batch)
                if progress is not None:
                    progress(len(batch))
    except RecordTooLarge as error:
        what = str(error).partition(";")[0]
        raise WattlakeError(what, subject=str(root), next_step="raise kafka.max_record_bytes, or give another --log") from error
    except LogError as error:
        raise WattlakeError(str(error), subject=str(root), next_step="mend that, or give another --log") from error
    except OSError as error:
        what = f"cannot write the log: {error.strerror}"
        raise WattlakeError(what, subject=str(root), next_step="make room, or give another --log") from error
    return Summary(total, sum(t.readings for t in simulation.tallies), bytes_total, simulation.tallies)
