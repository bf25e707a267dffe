"""A spool without room: a full disk, and a bound that is reached while the broker is away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from at_work import until
from lakes import rows, run
from oracles import seen
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a small tmpfs, with mount(8)")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_while_the_spool_is_shipped_is_waited_out(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], small_disk: Path) -> None:
    here = world(Topics(kafka.address, topic_prefix))
    agent = here.agent(spool=small_disk / "spool")
    here.follow()
    room = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 8192))
    until(lambda: agent.status()[0]["records_waiting"], "records wait in memory")
    until(lambda: "the last write failed" in agent.status()[1], "and that is told")
    assert agent.status()[0]["rows_lost"] == 0
    ballast.unlink()
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "and is healthy again")
    shown, _ = agent.status()
    assert (shown["rows_lost"], shown["records_lost"]) == (0, 0)
    here.settle()


#: A writer of a spool of 4 MiB that is shipped meanwhile: so many records a turn, of 20 kB that do not compress, and at the end what was lost.
_WRITE = """
import os, sys, time
from pathlib import Path
from wattlake_agents.shipping import Shipping
from wattlake_agents.spool import Spool
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.log_address import KafkaLog

root, log, prefix = Path(sys.argv[1]), KafkaLog((sys.argv[2],)), sys.argv[3]
spool = Spool(root, "n1", "agent.n1", max_bytes=4 * 2**20)
spool.open()
shipping = Shipping(root, log, KafkaConfig(prefix=prefix, in_flight_mib=1, stuck_s=5))
shipping.start()
for line in sys.stdin:
    for i in range(int(line)):
        spool.add_json("nodes", [{"node": "n1", "event": "heartbeat", "event_ms": 1_760_000_000_000 + i, "detail": os.urandom(10_000).hex()}])
        assert spool.sync()
        shipping.wake()
    print(spool.written, shipping.lost, shipping.state().backlog_records, flush=True)
spool.close()
shipping.stop()
"""


@pytest.mark.slow
def test_what_a_bounded_spool_gives_up_is_counted_to_the_record(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    topics = Topics(kafka.address, topic_prefix)
    with subprocess.Popen([sys.executable, "-c", _WRITE, str(tmp_path / "spool"), topics.log.servers[0], topic_prefix],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin
        assert writer.stdout

        def write(count: int) -> tuple[int, int, int]:
            """(written, lost, waiting) after so many more records."""
            assert writer.stdin
            assert writer.stdout
            writer.stdin.write(f"{count}\n")
            writer.stdin.flush()
            written, lost, waiting = map(int, writer.stdout.readline().split())
            return written, lost, waiting

        write(50)
        until(lambda: write(1)[2] <= 1, "all is shipped")
        assert write(0)[1] == 0
        broker.kill()
        write(600)
        until(lambda: write(0)[1] > 300, "what is over the bound is given up, and counted")
        broker.restart(120)
        # the oldest go while the shipper sends them
        write(300)
        until(lambda: write(0)[2] == 0, "the rest is shipped")
        written, lost, _ = write(0)
        writer.stdin.close()
        assert writer.wait(30) == 0
    lake = tmp_path / "lake"
    run(lake, topics.source())
    assert len(seen(lake)) == written - lost
    assert rows(lake, "SELECT count(*) FROM lake.raw_nodes") == [(written - lost,)]
    assert lost > 300
