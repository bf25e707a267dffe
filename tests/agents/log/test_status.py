"""`wattlake log status`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from logs import Log
from wattlake_agents.log import standing
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.kafkalog.setting_apart import HELD
from wattlake_contracts.kafkalog.unknown import UNKNOWN
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Meta

Call = Callable[..., subprocess.CompletedProcess[str]]
TRANSFER = {"ts_ms": 1_760_000_000_000, "bytes": 1, "medium": "lan", "from_site": "a", "to_site": "b"}


def fill(root: Path, records: int) -> None:
    log = Log(root)
    for i in range(records):
        log.put("transfers", [{"id": f"t{i}", **TRANSFER}], partition="record.n1")


def test_a_log_in_a_folder_is_told_by_its_partitions(call: Call, tmp_path: Path) -> None:
    fill(tmp_path / "log", 4)
    [row] = json.loads(call("log", "status", "--log", "file:log", "--format", "json").stdout)
    size = sum(path.stat().st_size for path in (tmp_path / "log" / "record.n1").glob("*.wlog"))
    assert row == {"partition": "record.n1", "first_offset": 0, "end_offset": 4, "records": 4, "bytes": size, "not_shipped": None}
    # where an agent ships, its cursor holds what is left
    cursor.store(tmp_path / "log" / "record.n1", [(1, 2), (3, None)])
    assert json.loads(call("log", "status", "--log", "file:log", "--format", "json").stdout)[0]["not_shipped"] == 2


def test_what_waits_apart_in_a_spool_is_told_too(tmp_path: Path) -> None:
    for place, count in (("", 1), (f"{HELD}/jobs", 2), (f"{UNKNOWN}/shifts", 3)):
        with LogWriter(tmp_path / place, "agent.n1") as spool:
            for number in range(count):
                spool.append(Meta("jobs", "n1", "b"), number, b"{}")
            spool.sync()
    cursor.store(tmp_path / "agent.n1", [(1, None)])
    assert standing.spool_backlog(tmp_path)[0] == 5
    assert [(row[0], row[-1]) for row in standing.file_rows(tmp_path)] == [
        ("agent.n1", 0), (f"{HELD}/jobs/agent.n1", 2), (f"{UNKNOWN}/shifts/agent.n1", 3)]


def test_there_is_no_log_yet(call: Call) -> None:
    done = call("log", "status", "--log", "file:log")
    assert done.returncode == 1
    assert "nothing has written there yet" in done.stderr


def test_topics_are_told_with_what_they_hold(call: Call, kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    log = ("--log", kafka.address)
    none = call("log", "status", *log)
    assert none.returncode == 1
    assert "make them with `wattlake log init`" in none.stderr
    assert call("log", "init", *log, "--partitions", "2", "--retention", "2").returncode == 0
    fill(tmp_path / "log", 5)
    ship(tmp_path / "log", KafkaLog(tuple(kafka.servers)), KafkaConfig(prefix=topic_prefix))
    done = call("log", "status", *log, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = {row["topic"].removeprefix(topic_prefix): row for row in json.loads(done.stdout)}
    assert rows.keys() == set(TOPICS)
    assert {name: row["records"] for name, row in rows.items()} == {t: 5 if t == "transfers" else 0 for t in TOPICS}
    assert {name: row["retention_days"] for name, row in rows.items()} == {t: -1 if t in ("nodes", "reference") else 2 for t in TOPICS}
    columns = ("state", "partitions", "replication", "under_replicated", "without_leader")
    assert {tuple(row[c] for c in columns) for row in rows.values()} == {("ok", 2, 1, 0, 0)}
    places = json.loads(call("log", "status", *log, "--by-partition", "--format", "json").stdout)
    assert len(places) == 2 * len(TOPICS)
    held = [p for p in places if p["topic"] == f"{topic_prefix}transfers"]
    assert sum(p["records"] for p in held) == 5
    assert {(p["leader"], p["replicas"], p["in_sync"], p["first_offset"]) for p in held} == {(1, 1, 1, 0)}
    assert [p["end_offset"] for p in held] == [p["records"] for p in held]


def test_a_topic_that_is_missing_and_what_waits_in_the_spool_are_told(call: Call, kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    from kafka import KafkaAdminClient

    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers)
    try:
        admin.delete_topics([f"{topic_prefix}usage"])
    finally:
        admin.close()
    fill(tmp_path / "spool", 3)
    done = call("log", "status", "--log", kafka.address, "--format", "csv", WATTLAKE_KAFKA_SPOOL_DIR=str(tmp_path / "spool"))
    assert done.returncode == 4
    assert f"{topic_prefix}usage,missing,,,,,," in done.stdout
    assert f"{topic_prefix}usage: there is no such topic" in done.stderr
    assert "holds 3 records not on Kafka yet" in done.stderr
