"""A spool without room: a full disk, and a bound that is reached while the broker is away."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from at_work import until, until_live
from lakes import rows
from oracles import Identity, check_kept, seen
from topics import Topics
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.record import Meta
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_warehouse.lake import open_lake


@pytest.mark.slow
def test_a_disk_that_is_full_while_the_spool_is_shipped_is_waited_out(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], small_disk: Path) -> None:
    here = world(Topics(kafka.address, topic_prefix))
    ballast = small_disk / "ballast"

    def leave(room_bytes: int) -> None:
        room = os.statvfs(small_disk)
        with ballast.open("ab") as file:
            file.write(bytes(room.f_bavail * room.f_frsize - room_bytes))

    # too little for zeros to be written ahead, which records would take the place of for a minute
    leave(100_000)
    agent = here.agent(spool=small_disk / "spool")
    here.follow()
    leave(8192)
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
def test_what_a_bounded_spool_gives_up_is_counted_to_the_record(own_kafka: Callable[..., Kafka], topic_prefix: str, world: Callable[..., Any],
                                                                tmp_path: Path) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    topics = Topics(kafka.address, topic_prefix)
    here = world(topics)
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
        here.follow()
        written, lost, _ = write(1)
        until_live(lambda: landed(here.lake) == written - lost, "what is fresh landed")
        writer.stdin.close()
        assert writer.wait(30) == 0
    here.stop()
    assert lost > 300
    check_kept(here.lake, topics, tmp_path)
    assert len(seen(here.lake)) == landed(here.lake) == written - lost


def landed(lake: Path) -> int:
    """How many heartbeats are in the lake; read beside the follower that is at work."""
    with open_lake(lake) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM raw_nodes").fetchall()
    return int(found)


def fill(disk: Path) -> int:
    """Take all the room that is left; how much that was, in bytes."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        began = ballast.tell()
        for size in (4096, 1):
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - that it is full is what ends it
        return ballast.tell() - began


def spooled(root: Path, count: int) -> set[Identity]:
    """Records of jobs in segments of two or three each."""
    with LogWriter(root, "p", segment_bytes=20_000) as log:
        for seq in range(count):
            row = {"job": f"j{seq}", "node": "n1", "start_ms": 1_760_000_000_000, "end_ms": 1_760_000_060_000, "event_ms": 1_760_000_000_000}
            log.append(Meta("jobs", "n1", "b"), seq, msgspec.json.encode([{**row, "model": os.urandom(5000).hex()}]))
    return {("n1", "b", seq) for seq in range(count)}


#: Ships a spool until nothing waits, and prints how many records that were, what is left, the shipper's error and those of its cursor.
_DRAIN = """
import errno, sys, threading, time
from pathlib import Path
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog import cursor
from wattlake_contracts.kafkalog.shipping import Shipper
from wattlake_contracts.log_address import KafkaLog

root, failed = Path(sys.argv[1]), []
real = cursor.store

def store(folder, spans):
    try:
        real(folder, spans)
    except OSError as error:
        failed.append(errno.errorcode[error.errno])
        raise

cursor.store = store
shipper = Shipper(root, KafkaLog((sys.argv[2],)), KafkaConfig(prefix=sys.argv[3]))
print("up", flush=True)
tidied, tidy = [], shipper._lanes.tidy
shipper._lanes.tidy = lambda: (tidy(), tidied.append(shipper.backlog()))
until = time.monotonic() + 60
shipper.step()
# once nothing waits, a cursor is written, what it leaves is deleted, and where it could not be written it is tried again
while (shipper.backlog() or tidied[-3:] != [0, 0, 0]) and time.monotonic() < until:
    shipper.step()
    time.sleep(0.01)
print(shipper.acked, shipper.backlog(), shipper.error or "-", *sorted(set(failed)), flush=True)
"""


def fresh(root: Path) -> None:
    """The record that comes after those of spooled(…, 40), small enough for a disk that has little room."""
    with LogWriter(root, "p") as log:
        log.append(Meta("jobs", "n1", "b"), 40, b'[{"job":"j40","node":"n1","start_ms":1760000000000,"end_ms":1760000060000,"event_ms":1760000000000}]')


def drain(root: Path, topics: Topics, environment: dict[str, str] | None = None) -> list[str]:
    """What that prints."""
    done = subprocess.run([sys.executable, "-c", _DRAIN, str(root), topics.log.servers[0], topics.prefix], capture_output=True, text=True, timeout=200,
                          env={**os.environ, **(environment or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def landed_once(topics: Topics, folder: Path, expected: set[Identity]) -> None:
    """All of these land in a lake in this folder, and nothing twice; and nothing of it changes afterwards."""
    lake = folder / "lake"
    check_kept(lake, topics, folder)
    assert seen(lake) == expected
    assert rows(lake, "SELECT count(*), count(DISTINCT job) FROM lake.raw_jobs") == [(len(expected), len(expected))]


@pytest.mark.slow
def test_a_full_disk_that_takes_no_cursor_is_drained_and_what_is_deleted_makes_room(kafka: Kafka, topic_prefix: str, small_disk: Path, tmp_path: Path) -> None:
    topics, root = Topics(kafka.address, topic_prefix), small_disk / "spool"
    expected = spooled(root, 40)
    # what the shipper needs of its own, as it is there once an agent has run
    (root / ".ship.lock").touch()
    fill(small_disk)
    acked, backlog, error, *failed = drain(root, topics)
    assert (acked, backlog, error) == ("40", "0", "-")
    assert failed == ["ENOSPC"], "the cursor could not be written, really"
    assert len(segments(root / "p")) == 1, "and all that was shipped has made room"
    assert cursor.load(root / "p") == [(40, None)], "so that it could be at last"
    expected |= {("n1", "b", 40)}
    fresh(root)
    assert drain(root, topics)[:2] == ["1", "0"], "and the next one sends only what is new"
    landed_once(topics, tmp_path, expected)


@pytest.mark.slow
def test_a_disk_that_can_neither_write_nor_delete_is_drained_and_counts_once(kafka: Kafka, topic_prefix: str, tmp_path: Path, failing_calls: Path,
                                                                             small_disk: Path) -> None:
    topics, root, armed = Topics(kafka.address, topic_prefix), small_disk / "spool", tmp_path / "armed"
    expected = spooled(root, 40)
    (root / ".ship.lock").touch()
    fill(small_disk)
    before = segments(root / "p")
    armed.write_text("unlink .wlog\n")
    broken = {"LD_PRELOAD": str(failing_calls), "FAILING_CALLS": str(armed)}
    assert drain(root, topics, broken) == ["40", "0", "-", "ENOSPC"]
    assert segments(root / "p") == before, "nothing could be deleted"
    assert cursor.load(root / "p") == [(0, None)], "or written down"
    # all of it goes a second time, and room is made once it can be
    armed.write_text("")
    assert drain(root, topics)[:3] == ["40", "0", "-"]
    assert len(segments(root / "p")) == 1
    fresh(root)
    assert drain(root, topics)[:2] == ["1", "0"], "and what is new is taken and sent"
    landed_once(topics, tmp_path, expected | {("n1", "b", 40)})


@pytest.mark.slow
def test_a_full_disk_below_a_topic_that_takes_nothing_holds_up_no_other_and_loses_nothing(kafka: Kafka, topic_prefix: str, small_disk: Path,
                                                                                          tmp_path: Path) -> None:
    topics, root = Topics(kafka.address, topic_prefix), small_disk / "spool"
    topics.delete("jobs")
    expected = spooled(root, 20)
    with LogWriter(root, "p") as log:
        for seq in range(20, 40):
            log.append(Meta("nodes", "n1", "b"), seq, b'[{"node":"n1","event":"heartbeat","event_ms":1760000000000}]')
    fill(small_disk)
    shipper = Shipper(root, topics.log, topics.config)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        until(lambda: shipper.acked == 20, "the other topic flows")
        until(lambda: "cannot be set apart: No space left on device" in shipper.state.error, "and that is told")
        assert shipper.backlog() == 20
        (small_disk / "ballast").unlink()
        until(lambda: [one.records for one in shipper.state.held] == [20], "they wait apart once there is room")
        topics.create("jobs")
        until(lambda: shipper.acked == 40, "and go by themselves", 30)
    finally:
        shipper.stop.set()
        shipper.wake.set()
        thread.join(30)
    lake = tmp_path / "lake"
    check_kept(lake, topics, tmp_path)
    assert seen(lake) == expected | {("n1", "b", seq) for seq in range(20, 40)}
