"""A batch of a few kilobytes that unpacks to gigabytes, sent by somebody who may write: a reject among records that land."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until
from batches import CODECS, batch, message, packed, produce, zeros
from lakes import rows, run
from logs import payload
from oracles import accepted, check_kept, seen
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.kafka_source import KafkaSource

T0 = 1_760_000_000_000
#: What a topic takes unless it is set otherwise.
MESSAGE_BYTES = 1_048_588
#: A follower of good records takes half of it.
ROOM_BYTES = 1 << 30
#: So many of 15 MiB each are more than that.
MANY = 100


def job(i: int) -> bytes:
    row = {"job": f"j{i}", "node": "n1", "device": "gpu0", "start_ms": T0 + i, "end_ms": T0 + i + 5000, "share_ppm": 500_000, "model": "m", "phase": "train"}
    return payload("jobs", [row])[0]


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def rejected(said: str) -> int:
    """How many of all rounds: one holds so much, unpacked, and no more."""
    return sum(int(count.replace(",", "")) for count in re.findall(r"([\d,]+) rejected", said))


@pytest.mark.slow
def test_a_batch_that_unpacks_to_gigabytes_is_a_reject_and_the_follower_goes_on(kafka: Kafka, topic_prefix: str, world: Callable[..., Any]) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    server, topic = kafka.servers[0], topic_prefix + "jobs"
    here = world(topics)
    agent = here.agent()
    here.follow()
    for i, codec in enumerate(CODECS):
        assert produce(server, topic, batch(codec, 1, packed(codec, [message(0, job(i))]))) == i
    # of one message: of a batch of several, a round's end may tell each part by itself
    bomb = packed("zstd", zeros(0, 900 << 20))
    assert len(bomb) < MESSAGE_BYTES
    first = produce(server, topic, batch("zstd", 1, bomb))
    # one message of each batch is small enough, and all of them together are not
    many = batch("zstd", 1, packed("zstd", zeros(0, 15 << 20)))
    for _ in range(MANY):
        produce(server, topic, many)
    produce(server, topic, batch("lz4", 1, packed("lz4", [message(0, job(99))])))
    here.alive()
    until(lambda: rejected(here.follower.said.read_text()) > MANY or not here.follower.runs(), "all has landed", 240)
    assert here.follower.runs(), here.follower.said.read_text()[-3000:]
    peak = peak_bytes(here.follower.process.pid)
    here.stop()
    print(f"the follower had {peak / 2**20:.0f} MiB at most")
    assert peak < ROOM_BYTES
    # what stands behind them comes in a round of its own, which may not have been before the end
    run(here.lake, KafkaSource(topics.log, topics.config))
    assert rows(here.lake, "SELECT job FROM lake.raw_jobs ORDER BY start_ms") == [(f"j{i}",) for i in [*range(len(CODECS)), 99]]
    [(place, reason)] = rows(here.lake, "SELECT place, reason FROM lake.rejects WHERE reason LIKE '%unpacks%'")
    assert str(place).endswith(f"offset {first}")
    assert reason == f"offsets {first} to {first}: a batch of messages unpacks to more than 64 MiB"
    assert rows(here.lake, "SELECT count(*) FROM lake.rejects") == [(MANY + 1,)]
    topics.ship(agent.spool)
    check_kept(here.lake, topics, here.folder)
    assert accepted([agent.spool]) <= seen(here.lake)


@pytest.mark.slow
def test_messages_of_very_many_bad_rows_are_told_by_a_few_rejects_and_the_follower_goes_on(
    kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    server, topic = kafka.servers[0], topic_prefix + "jobs"
    # more rows than a message may have, and as many as it may, that are no rows or say nothing
    for row, count in ((b"0", 500_000), (b"0", 290_000), (b"{}", 290_000), (b"0", 290_000), (b"{}", 290_000)):
        produce(server, topic, batch("zstd", 1, packed("zstd", [message(0, b"[" + b",".join([row] * count) + b"]")])))
    produce(server, topic, batch("none", 1, packed("none", [message(0, job(7))])))
    here = world(topics)
    here.follow()
    until(lambda: "1 row of 6 records" in here.follower.says() or not here.follower.runs(), "all has landed", 240)
    assert here.follower.runs(), here.follower.said.read_text()[-3000:]
    peak = peak_bytes(here.follower.process.pid)
    agent = here.agent()
    here.alive()
    here.stop()
    print(f"the follower had {peak / 2**20:.0f} MiB at most")
    assert peak < ROOM_BYTES
    assert rows(here.lake, "SELECT job FROM lake.raw_jobs") == [("j7",)]
    assert rows(here.lake, "SELECT count(*) FROM lake.rejects") == [(1 + 4 * 101,)]
    assert rows(here.lake, "SELECT count(*) FROM lake.rejects WHERE reason LIKE '%; 289,899 later rows of this record%'") == [(4,)]
    assert rows(here.lake, "SELECT reason FROM lake.rejects WHERE seq = 0") == [("more than 300000 rows in one JSON record",)]
    topics.ship(agent.spool)
    check_kept(here.lake, topics, here.folder)
    assert accepted([agent.spool]) <= seen(here.lake)
