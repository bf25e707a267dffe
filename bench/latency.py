"""How old a reading is when its energy is in the marts: simulated nodes that flush every few seconds, Kafka, `wattlake run --follow`.

One of the nodes goes the whole way of an agent, by its spool and its shipper; the others hand their messages to a producer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from figures import Figure, alone
from kafka import KafkaAdminClient

from wattlake_agents.shipping import Shipping
from wattlake_agents.spool import Spool
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.message import to_message, topic_of
from wattlake_contracts.kafkalog.producer import Producer
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import ARROW, Meta, Record
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer

GOAL_S = 15.0
FLUSH_S = 5
DEVICES = 2
#: The number of the node that has an agent's spool and shipper.
SPOOLED = 0


def bench(folder: Path, quick: bool) -> list[Figure]:
    """Readings once a second of each device of each node; their age when the commit that accounts for them is made, the first round left out.

    A commit bears the time at which it was ready to be made: its last step, some hundredths of a second, is not in the figures.
    """
    nodes, seconds = (50, 20) if quick else (1000, 120)
    kafka, lake = Kafka(folder / "kafka-latency"), folder / "followed"
    kafka.start(120)
    try:
        with _following(kafka.address, lake) as follower:
            sent = _tell(KafkaLog(tuple(kafka.servers)), nodes, seconds, folder / "spool-latency")
            time.sleep(GOAL_S)
            follower.send_signal(signal.SIGTERM)
            if follower.wait(60):
                raise AssertionError("the follower failed")
    finally:
        kafka.stop()
        kafka.delete()
    ages_s, spooled_s = _ages(lake, None if quick else sent)
    # a quick run on a busy machine may have seen but one round of what the one node sent
    told = (("age of a reading in the marts", ages_s), ("age of a reading that came by an agent's spool", spooled_s))
    return [_figure(f"{what}, {nodes} nodes, p99", found) for what, found in told if len(found)]


def _figure(name: str, ages_s: np.ndarray) -> Figure:
    p99, half = (float(np.percentile(ages_s, q)) for q in (99, 50))
    return Figure(name, p99, "s", f"the limit of {GOAL_S:g} (half of them: {half:.1f})", GOAL_S / p99, f"<= {GOAL_S:g} s with flushes of {FLUSH_S} s",
                  p99 <= GOAL_S)


@contextmanager
def _following(address: str, lake: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).with_name("wattlake")), "run", "--follow", "--every", "1", "--log", address, "--lake", str(lake)]
    log = KafkaLog(tuple(address.removeprefix("kafka:").split(",")))
    config = KafkaConfig()
    with closing(KafkaAdminClient(bootstrap_servers=list(log.servers))) as admin:
        names = [config.prefix + t for t in TOPICS]
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1, "configs": {"message.timestamp.type": "LogAppendTime"}} for name in names})
        admin.wait_for_topics(names)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ) as process:
        try:
            yield process
        finally:
            process.kill()


def _tell(log: KafkaLog, nodes: int, seconds: int, spooled: Path) -> int:
    """Send, tenth of a second by tenth, the messages of the nodes whose turn it is; give how many readings that were."""
    config = KafkaConfig()
    producer = Producer(log, config)
    topic = topic_of("readings", config.prefix)
    errors: list[BaseException] = []
    spool, shipping = Spool(spooled, _name(SPOOLED), f"agent.{_name(SPOOLED)}"), Shipping(spooled, log, config)
    spool.open()
    shipping.start()
    begun = time.time()
    turn = 0
    try:
        while (now := time.time()) < begun + seconds:
            due = int((now - begun) / FLUSH_S * nodes)
            while turn < due:
                node, number = turn % nodes, turn // nodes
                turn += 1
                if node == SPOOLED:
                    spool.add("readings", _message(node, now), FLUSH_S * DEVICES, arrow=True)
                    if not spool.sync():
                        raise AssertionError(spool.error)
                    shipping.wake()
                    continue
                record = Record(Meta("readings", _name(node), "life", content_type=ARROW), number, int(now * 1000), _message(node, now))
                key, value, headers = to_message(record)
                producer.send(topic, key, value, headers, lambda error: errors.append(error) if error else None)
            time.sleep(0.05)
        time.sleep(1.0)
    finally:
        producer.close()
        spool.close()
        shipping.stop()
    if errors:
        raise AssertionError(f"{len(errors)} messages were not taken: {errors[0]}")
    return turn * FLUSH_S * DEVICES


def _name(node: int) -> str:
    return f"n{node:04}"


def _message(node: int, now: float) -> bytes:
    """The readings of the last seconds, the newest a moment ago."""
    ts = (int(now) - np.arange(FLUSH_S)[::-1]) * 1000
    rows = len(ts) * DEVICES
    table = pa.table({
        "node": [_name(node)] * rows, "device": [f"gpu{d}" for d in range(DEVICES) for _ in ts], "device_kind": ["gpu"] * rows, "epoch": ["e"] * rows,
        "ts_ms": np.tile(ts, DEVICES), "energy_mj": np.tile((ts - 1_700_000_000_000) // 5, DEVICES), "simulated": [True] * rows})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _ages(lake: Path, sent: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Seconds from each reading to the commit that accounts for it, the first one of its kind after the reading's own landing: (of all, of the spooled)."""
    with Committer(lake) as committer:
        # a follower that falls behind must not look the faster for what it has left; where little is tried it may, beside other work
        landed, waiting = committer.query("SELECT (SELECT count(*) FROM lake.raw_readings), (SELECT count(*) FROM lake.dirty)").fetchall()[0]
        if sent is not None and (landed != sent or waiting):
            raise AssertionError(f"{landed:,} of {sent:,} readings have landed, and {waiting:,} marks wait to be accounted for")
        # upkeep makes of many spans one that bears the number of their last landing: each is taken from a snapshot in which it stood by itself
        snapshots = committer.query(f"""
            SELECT snapshot_id FROM ducklake_snapshots('{ALIAS}') WHERE map_contains(changes, 'tables_inserted_into') ORDER BY ALL""").fetchall()
        spans = pa.concat_tables([committer.query(f"""
            SELECT node, device, batch, max(ts_ms) AS last_ms FROM {ALIAS}.reading_bounds AT (VERSION => {number}) GROUP BY ALL""").to_arrow_table()
            for (number,) in snapshots])
        spans = spans.group_by(["node", "device", "last_ms"]).aggregate([("batch", "min")])
        accounted = committer.query(f"SELECT batch, committed_ms FROM {ALIAS}.commits WHERE stage = 'account'").to_arrow_table()
    with duckdb.connect() as connection:
        connection.register("spans", spans)
        connection.register("accounted", accounted)
        found = connection.execute("""
            WITH follows AS (SELECT node, device, batch_min, last_ms, lag(last_ms) OVER (PARTITION BY node, device ORDER BY last_ms) AS before_ms FROM spans),
            made AS (SELECT f.*, min(committed_ms) AS at_ms FROM follows f JOIN accounted a ON a.batch > batch_min GROUP BY ALL)
            SELECT (at_ms - ts_ms) / 1000 AS age_s, node = ? AS spooled
            FROM (SELECT node, at_ms, unnest(range(before_ms + 1000, last_ms + 1, 1000)) AS ts_ms
                  FROM made WHERE before_ms IS NOT NULL)
            """, [_name(SPOOLED)]).fetchnumpy()
    ages_s = np.asarray(found["age_s"], dtype=float)
    return ages_s, ages_s[np.asarray(found["spooled"], dtype=bool)]


if __name__ == "__main__":
    alone(bench)
