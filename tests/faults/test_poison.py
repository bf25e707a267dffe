"""Messages that are anything but what they should be: none ends the run, each is landed as what it says or rejected, and the good ones are all there."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kafka import KafkaProducer

from at_work import WATTLAKE, until
from lakes import rows
from logs import payload
from oracle.messages import Row, arrow_rows, json_rows, published
from oracles import accepted, check_kept, seen
from topics import Topics
from wattlake_contracts.errors import INCOMPLETE
from wattlake_contracts.kafkalog.message import to_message
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.record import ARROW, JSON, Meta, Record
from wattlake_pipelines.dev.kafka import Kafka

T0 = 1_760_000_000_000
#: Of each carrier.
MUTATED, GOOD = 10_000, 500
#: Room for the process; what it may inflate to does not grow with what it is sent.
ROOM_BYTES = 4 * 2**30


def reading(i: int) -> list[dict[str, object]]:
    return [{"node": "n1", "device": f"gpu{d}", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + 1000 * i, "energy_mj": 500 * i, "method": "counter",
             "boundary": "component", "simulated": False} for d in range(2)]


def job(i: int) -> list[dict[str, object]]:
    return [{"job": f"j{i}", "node": "n1", "device": "gpu0", "start_ms": T0 + i, "end_ms": T0 + i + 5000, "share_ppm": 500_000, "model": "m",
             "phase": "train", "tokens": 12_345}]


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The same with one to three accidents."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randrange(len(made) or 1), chance.choice([1, 2, 4, 8, 64])
        match chance.randrange(8):
            case 0 | 1 | 2 if made:
                made[at] ^= 1 << chance.randrange(8)
            case 3:
                made[at : at + size] = chance.randbytes(size)
            case 4:
                made[at : at + size] = chance.choice([b"\x00", b"\xff", b"\x7f"]) * size
            case 5:
                del made[at : at + size]
            case 6:
                made[at:at] = made[at : at + size] * chance.randint(1, 3)
            case _:
                del made[at:]
    return bytes(made) or b"\x00"


def send(topics: Topics, kind: str, messages: Sequence[tuple[bytes, bytes, list[tuple[str, bytes]]]]) -> None:
    """Produce in batches, compressed, as an agent does."""
    with closing(KafkaProducer(**connection(topics.log, topics.config), compression_type="zstd", linger_ms=50, batch_size=256 * 1024,
                               max_request_size=2**30)) as producer:
        for key, value, headers in messages:
            producer.send(topics.prefix + kind, value=value, key=key, headers=headers)
        producer.flush(60)


def records(kind: str, make: Callable[[int], list[dict[str, object]]], chance: random.Random) -> Iterator[Record]:
    """The good ones first by number, then the mutated ones."""
    for i in range(GOOD + MUTATED):
        body, content_type = payload(kind, make(i))
        yield Record(Meta(kind, "n1", f"{kind}-boot", content_type=content_type), i, T0, body if i < GOOD else mutated(body, chance))


def wattlake(command: str, topics: Topics, lake: Path) -> subprocess.CompletedProcess[str]:
    """`wattlake run` or `wattlake land` as a user calls it, in a bounded memory."""
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("WATTLAKE_")}, "WATTLAKE_KAFKA_PREFIX": topics.prefix, "HOME": str(lake.parent)}
    return subprocess.run([WATTLAKE, command, "--log", topics.log.address, "--lake", str(lake)], env=environment, cwd=lake.parent, capture_output=True,
                          text=True, timeout=300, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ROOM_BYTES, ROOM_BYTES)))


def holds_nothing(record: Record) -> bool:
    """Whether a payload is good, and of no rows."""
    if record.meta.content_type == JSON:
        return bytes(record.payload).strip() == b"[]"
    with pa.ipc.open_stream(record.payload) as stream:
        return bool(stream.read_all().num_rows == 0)


def check_told(lake: Path, sent: dict[str, list[Record]], folder: Path) -> None:
    """Every row that landed is one that its message holds, as an independent reader of it says, and what that reader finds good has landed.

    Except of Arrow streams that say of a buffer that it is of no bytes that there could be, which are rejected although Arrow itself never asks.
    """
    held: dict[str, list[Counter[Row]]] = {"jobs": [json_rows("jobs", bytes(record.payload), T0) for record in sent["jobs"]],
                                           "readings": arrow_rows("readings", [bytes(record.payload) for record in sent["readings"]], T0, folder)}
    for kind, expected in held.items():
        names = ", ".join(name for name, _, _ in published(kind))
        landed = [Counter[Row]() for _ in expected]
        for seq, *row in rows(lake, f"SELECT seq, {names} FROM lake.raw_{kind} WHERE boot = '{kind}-boot'"):
            landed[int(str(seq))][tuple(row)] += 1
        for record, has, holds in zip(sent[kind], landed, expected, strict=True):
            assert has <= holds, (kind, record.seq, has - holds, bytes(record.payload))
        swollen = {int(str(seq)) for (seq,) in rows(lake, f"""SELECT seq FROM lake.rejects WHERE boot = '{kind}-boot' AND
                   (starts_with(reason, 'its columns unpack to more than') OR contains(reason, 'a buffer of a negative length'))""")}
        missing = sum((holds - has for record, has, holds in zip(sent[kind], landed, expected, strict=True) if record.seq not in swollen), Counter[Row]())
        if kind == "readings":
            # of readings of one key one lands
            keys = {row[:2] + row[3:5] for has in landed for row in has}
            missing = Counter({row: count for row, count in missing.items() if row[:2] + row[3:5] not in keys})
        assert not missing, (kind, missing)
        assert sum(map(len, landed[GOOD:])) > MUTATED / 20, "and of the mutated ones enough land"


@pytest.mark.slow
def test_mutated_messages_are_landed_or_rejected_and_never_end_a_run(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], tmp_path: Path) -> None:
    topics, chance = Topics(kafka.address, topic_prefix), random.Random(5)
    here = world(topics)
    lake = here.lake
    sent = {kind: list(records(kind, make, chance)) for kind, make in (("readings", reading), ("jobs", job))}
    for kind, told in sent.items():
        mixed = [to_message(record) for record in told]
        chance.shuffle(mixed)
        send(topics, kind, mixed)
    # what has landed is read before anything else does
    done = wattlake("land", topics, lake)
    assert done.returncode == INCOMPLETE, (done.returncode, done.stderr[-3000:])
    assert seen(lake) == {("n1", f"{kind}-boot", i) for kind in sent for i in range(GOOD + MUTATED)}
    for kind, told in sent.items():
        landed = {int(str(seq)) for (seq,) in rows(lake, f"SELECT DISTINCT seq FROM lake.raw_{kind} WHERE boot = '{kind}-boot'")}
        rejected = {int(str(seq)) for (seq,) in rows(lake, f"SELECT DISTINCT seq FROM lake.rejects WHERE boot = '{kind}-boot'")}
        assert not rejected & set(range(GOOD)), "no good one is rejected"
        assert len(rejected) > MUTATED / 20
        neither = [record for record in told if record.seq not in landed | rejected]
        assert all(map(holds_nothing, neither)), "what is neither landed nor rejected held no row"
        assert all(reason for (reason,) in rows(lake, "SELECT reason FROM lake.rejects"))
    check_told(lake, sent, tmp_path)
    good = [tuple(row[name] for name in ("device", "ts_ms", "energy_mj", "epoch", "node")) for i in range(GOOD) for row in reading(i)]
    landed = f"SELECT device, ts_ms, energy_mj, epoch, node FROM lake.raw_readings WHERE boot = 'readings-boot' AND seq < {GOOD} ORDER BY ts_ms, device"
    assert rows(lake, landed) == good
    assert rows(lake, f"SELECT job, start_ms FROM lake.raw_jobs WHERE seq < {GOOD} ORDER BY start_ms") == [(f"j{i}", T0 + i) for i in range(GOOD)]
    count = rows(lake, "SELECT count(*) FROM lake.rejects")
    # a NUL in a name ends the statements that the catalogue is asked with, and so every accounting from then on
    assert rows(lake, "SELECT count(*) FROM lake.raw_readings WHERE contains(concat(node, device, epoch), chr(0))") == [(0,)]
    # and what comes behind them is landed and accounted for with them
    agent = here.agent("n2")
    here.follow()
    here.alive()
    here.stop()
    assert rows(lake, "SELECT count(*) FROM lake.rejects") == count, "what was rejected is not rejected again"
    topics.ship(agent.spool)
    check_kept(lake, topics, tmp_path)
    assert accepted([agent.spool]) <= seen(lake)
    assert rows(lake, "SELECT count(*) FROM lake.rejects") == count, "upkeep forgets none"
    assert rows(lake, landed) == good


@pytest.mark.slow
def test_what_inflates_without_end_is_rejected_in_bounded_memory(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    here = world(topics)
    huge = 150 * 2**20
    bombs = [(b"n1", b" " * huge, []), (b"n1", b"[" * huge, []), (b"n1", bytes(huge), [("content-type", ARROW.encode())])]
    # many small ones in one batch
    bombs += [(b"n1", bytes(900_000), []) for _ in range(200)]
    before, after = ((b"n1", payload("jobs", job(i))[0], []) for i in (1, 2))
    send(topics, "jobs", [before, *bombs, after])
    # columns that cost no bytes
    swollen = pa.table({"node": pa.nulls(20_000_000, pa.string()), "ts_ms": pa.nulls(20_000_000, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, swollen.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(swollen)
    assert sink.tell() < 2**20
    send(topics, "readings", [(b"n1", sink.getvalue().to_pybytes(), [("content-type", ARROW.encode())])])
    agent = here.agent()
    here.follower.start()
    resource.prlimit(here.follower.process.pid, resource.RLIMIT_AS, (ROOM_BYTES, ROOM_BYTES))
    until(lambda: f"{len(bombs) + 1} rejected" in here.follower.says() or not here.follower.runs(), "all has landed", 240)
    here.alive()
    here.stop()
    assert "tried again" not in here.follower.says(), here.follower.says()
    assert rows(here.lake, "SELECT job FROM lake.raw_jobs ORDER BY job") == [("j1",), ("j2",)]
    assert len(rows(here.lake, "FROM lake.rejects")) == len(bombs) + 1
    topics.ship(agent.spool)

    def at_once(lake: Path) -> None:
        done = wattlake("run", topics, lake)
        assert done.returncode == INCOMPLETE, (done.returncode, done.stderr[-3000:])

    check_kept(here.lake, topics, tmp_path, at_once)
    assert accepted([agent.spool]) <= seen(here.lake)
