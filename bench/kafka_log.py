"""How fast the log on Kafka is: shipped from the spool, and landed, beside a consumer of one JSON message per reading."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from figures import Figure, alone, middle, spending
from fleet import land_from, options
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
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
    return [
        Figure("landing from Kafka, per core", ours, "readings/CPU-s", f"the goal of {GOAL:,.0f}", ours / GOAL, ">= 2.5 M readings/s per core", ours >= GOAL),
        Figure("landing from Kafka and a JSON message per reading", ours, "readings/CPU-s",
               f"kafka-python, json and Parquet, {theirs:,.0f}", ours / theirs, f">= {TIMES:g} times", ours / theirs >= TIMES),
        Figure("shipping to Kafka", per_reading_us, "CPU-us/reading", f"landing one, {1e6 / ours:.2f}", 1e6 / ours / per_reading_us, "none", None),
    ]


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
