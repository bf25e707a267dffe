"""How fast the log on Kafka is: shipped from the spool, and landed, beside a consumer of one JSON message per reading."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from figures import Figure, alone, middle, spending
from fleet import land_from, options
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from wattlake_agents.shipping import Shipping
from wattlake_agents.spool import Spool
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Record, Stored
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.kafka_source import KafkaSource
from wattlake_pipelines.simulate.write import simulate

#: Readings per second of CPU time, and times faster than the consumer.
GOAL, TIMES = 2.5e6, 10.0
_JSON_TOPIC = "json-readings"


def bench(folder: Path, quick: bool) -> list[Figure]:
    """One broker on this machine; the readers' own time is counted, not the broker's."""
    kafka = Kafka(folder / "kafka")
    kafka.start(120)
    try:
        return _bench(folder, KafkaLog(tuple(kafka.servers)), quick)
    finally:
        kafka.stop()
        kafka.delete()


def _bench(folder: Path, log: KafkaLog, quick: bool) -> list[Figure]:
    config = KafkaConfig()
    with closing(KafkaAdminClient(bootstrap_servers=list(log.servers))) as admin:
        names = [config.prefix + t for t in TOPICS] + [_JSON_TOPIC]
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1, "configs": {"message.timestamp.type": "LogAppendTime"}} for name in names})
        admin.wait_for_topics(names)
    to_ship = folder / "to-ship"
    readings = simulate(to_ship, options(quick)).readings
    # shipping empties it
    sent = _flushes(to_ship, 6 if quick else 120)
    with spending() as shipped:
        ship(to_ship, log, config)
    runs = []
    rows = 0
    for number in range(2 if quick else 4):
        lake = folder / f"from-kafka-{number}"
        with Committer(lake) as committer, spending() as spent:
            rows = land_from(KafkaSource(log, config), committer).rows
        if number:
            runs.append(spent())
        if number < (1 if quick else 3):
            shutil.rmtree(lake)
    took = middle(runs)
    ours = rows / took.cpu_s
    theirs = _row_by_row(folder, lake, log, 5_000 if quick else 200_000)
    per_reading_us = shipped().cpu_s / readings * 1e6
    flushes = _flush_by_flush(folder, sent, log, config)
    return [
        Figure("landing from Kafka, per core", ours, "readings/CPU-s", f"the goal of {GOAL:,.0f}", ours / GOAL, ">= 2.5 M readings/s per core", ours >= GOAL),
        Figure("landing from Kafka and a JSON message per reading", ours, "readings/CPU-s",
               f"kafka-python, json and Parquet, {theirs:,.0f}", ours / theirs, f">= {TIMES:g} times", ours / theirs >= TIMES),
        Figure("shipping to Kafka", per_reading_us, "CPU-us/reading", f"landing one, {1e6 / ours:.2f}", 1e6 / ours / per_reading_us, "none", None),
        Figure("spooling and shipping, a flush at a time", flushes.per_reading_us, "CPU-us/reading",
               f"all at once, {per_reading_us:.2f}; {flushes.readings:.0f} readings, {flushes.bytes / 1000:.1f} kB a flush",
               per_reading_us / flushes.per_reading_us, "none", None),
        Figure("a shipper that waits", flushes.waiting_ms, "CPU-ms/s", "the agent's limit of 1.0 beyond the driver",
               1.0 / max(flushes.waiting_ms, 0.001), "none", None),
    ]


@dataclass(frozen=True)
class _Flushes:
    """waiting_ms: CPU time in each second in which there is nothing to ship. per_reading_us: what a flush takes beyond that, spool and fsync
    included. readings, bytes: of a flush."""

    waiting_ms: float
    per_reading_us: float
    readings: float
    bytes: float


def _flushes(root: Path, count: int) -> list[Record]:
    """So many records of readings of a log, each of a node and a minute."""
    found = (item.record for name in partitions(root) for item in read(root, name, 0, bounds(root, name)[1]) if isinstance(item, Stored))
    return list(islice((record for record in found if record.meta.kind == "readings"), count))


def _flush_by_flush(folder: Path, sent: list[Record], log: KafkaLog, config: KafkaConfig) -> _Flushes:
    """What an agent's spool and shipper take that are handed one flush after the other, with time to come to rest between them."""
    rows = [_rows(record.payload) for record in sent]
    spool = Spool(folder / "flushes", "n1", "agent.n1")
    spool.open()
    shipping = Shipping(folder / "flushes", log, config)
    shipping.start()
    try:
        _flush(spool, shipping, sent[0], 1)
        _wait(lambda: shipping.state().acked_records == 1)
        with spending() as waited:
            time.sleep(len(sent) / 2)
        waiting = waited().cpu_s / waited().wall_s
        with spending() as flushed:
            for record, count in zip(sent, rows, strict=True):
                _flush(spool, shipping, record, count)
                time.sleep(0.5)
            _wait(lambda: shipping.state().acked_records == 1 + len(sent))
    finally:
        spool.close()
        shipping.stop()
    beyond_s = max(flushed().cpu_s - waiting * flushed().wall_s, 1e-6)
    return _Flushes(waiting * 1000, beyond_s / sum(rows) * 1e6, sum(rows) / len(rows), sum(len(record.payload) for record in sent) / len(sent))


def _flush(spool: Spool, shipping: Shipping, record: Record, rows: int) -> None:
    """Write a record down as an agent does, and have it shipped."""
    spool.add("readings", bytes(record.payload), rows, arrow=True)
    if not spool.sync():
        raise AssertionError(spool.error)
    shipping.wake()


def _rows(payload: bytes | memoryview) -> int:
    with pa.ipc.open_stream(payload) as stream:
        return int(stream.read_all().num_rows)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("nothing is acknowledged")
        time.sleep(0.2)


def _row_by_row(folder: Path, lake: Path, log: KafkaLog, count: int) -> float:
    """Readings per second of CPU time of what one would write without Wattlake: no checks, no deduplication, no commit."""
    file = sorted((lake / "data").rglob("raw_readings/*.parquet"))[0]
    rows = pq.read_table(file, columns=["node", "device", "device_kind", "epoch", "ts_ms", "energy_mj"]).slice(0, count).to_pylist()
    with closing(KafkaProducer(bootstrap_servers=list(log.servers), compression_type="zstd", linger_ms=20, batch_size=256 * 1024)) as producer:
        for row in rows:
            producer.send(_JSON_TOPIC, value=json.dumps(row).encode())
        producer.flush()
    here = TopicPartition(_JSON_TOPIC, 0)
    with spending() as spent, closing(KafkaConsumer(bootstrap_servers=list(log.servers), group_id=None, max_poll_records=5_000)) as consumer:
        consumer.assign([here])
        consumer.seek(here, 0)
        found = []
        while len(found) < len(rows):
            for message in consumer.poll(5_000, max_records=5_000).get(here, ()):
                found.append(json.loads(message.value))
        pq.write_table(pa.Table.from_pylist(found).sort_by([("device", "ascending"), ("ts_ms", "ascending")]), folder / "rows.parquet", compression="zstd")
    return len(rows) / spent().cpu_s


if __name__ == "__main__":
    alone(bench)
