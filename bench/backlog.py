"""How much memory a backlog takes: a day of a fleet's records shipped from the spool, landed and accounted for, beside a sixth of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, alone
from kafka import KafkaAdminClient

from wattlake_contracts.kinds import TOPICS
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate

#: Flat: the backlog that is six times as long takes no more than this share beyond what the short one takes.
GOAL = 1.15
_NODES = 8
#: A round of landing holds so much at most, and memory grows with a round until it is full: so large that the short backlog fills one.
_ROUND_MIB = 64
#: How often the peak is looked at; the kernel keeps it.
_LOOK_S = 0.02
_SHIP = """
import sys
from pathlib import Path
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.log_address import KafkaLog
ship(Path(sys.argv[1]), KafkaLog(tuple(sys.argv[3].split(","))), KafkaConfig(prefix=sys.argv[2]))
"""


@dataclass(frozen=True)
class _Took:
    """The most memory that a command has held at once."""

    ship_mib: float
    run_mib: float


def bench(folder: Path, quick: bool) -> list[Figure]:
    """One broker on this machine; each command is a process of its own, and its own memory is what is told."""
    short_h, long_h = (1.0, 2.0) if quick else (4.0, 24.0)
    kafka = Kafka(folder / "kafka-backlog")
    kafka.start(120)
    try:
        short, long = (_work_off(folder / f"backlog-{hours:g}", kafka, hours) for hours in (short_h, long_h))
    finally:
        kafka.stop()
        kafka.delete()
    return [
        Figure(f"memory of landing and accounting, {long_h:g} h backlog", long.run_mib, "MiB", f"{short_h:g} h of it, {short.run_mib:,.0f}",
               short.run_mib / long.run_mib, f"<= {GOAL:g} times", long.run_mib <= GOAL * short.run_mib),
        Figure(f"memory of shipping, {long_h:g} h backlog", long.ship_mib, "MiB", f"{short_h:g} h of it, {short.ship_mib:,.0f}",
               short.ship_mib / long.ship_mib, f"<= {GOAL:g} times", long.ship_mib <= GOAL * short.ship_mib),
    ]


def _work_off(folder: Path, kafka: Kafka, hours: float) -> _Took:
    prefix = f"{folder.name}."
    with closing(KafkaAdminClient(bootstrap_servers=list(kafka.servers))) as admin:
        names = [prefix + t for t in TOPICS]
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1, "configs": {"message.timestamp.type": "LogAppendTime"}} for name in names})
        admin.wait_for_topics(names)
    simulate(folder / "spool", Options(nodes=_NODES, days=hours / 24))
    shipped = _memory_mib([sys.executable, "-c", _SHIP, str(folder / "spool"), prefix, ",".join(kafka.servers)])
    run = _memory_mib([str(Path(sys.executable).with_name("wattlake")), "run", "--log", kafka.address, "--lake", str(folder / "lake")],
                      WATTLAKE_KAFKA_PREFIX=prefix, WATTLAKE_PIPELINES_ROUND_MIB=str(_ROUND_MIB))
    return _Took(shipped, run)


def _memory_mib(command: list[str], **settings: str) -> float:
    """Run a command to its end: the peak of its resident memory. (What the kernel tells its parent begins with the parent's own.)"""
    with tempfile.TemporaryFile() as told, subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=told) as process:
        peak_kib = 0
        while process.poll() is None:
            with suppress(OSError):
                peak_kib = max(peak_kib, _peak_kib(Path(f"/proc/{process.pid}/status").read_text()))
            time.sleep(_LOOK_S)
        if process.returncode:
            told.seek(0)
            raise AssertionError(f"{command[:3]} failed: {told.read().decode()[-2000:]}")
    return peak_kib / 1024


def _peak_kib(status: str) -> int:
    """The peak so far, of a process that has become its command; 0 at its very end."""
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    alone(bench)
