"""`wattlake log init` against a real broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kinds import TOPICS
from wattlake_contracts.log_address import KafkaLog

Call = Callable[..., subprocess.CompletedProcess[str]]


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """By topic, without prefix."""
    return {row["topic"].rpartition(".")[2]: row for row in json.loads(done.stdout)}


def settings_of(kafka: Any, name: str, *keys: str) -> dict[str, str]:
    from wattlake_agents.log.brokers import brokers

    with brokers(KafkaLog(tuple(kafka.servers)), KafkaConfig()) as cluster:
        return cluster.settings([name], keys)[name]


def test_the_topics_are_made_once_and_then_are_as_wanted(call: Call, kafka: Any, topic_prefix: str) -> None:
    dry = call("log", "init", "--log", kafka.address, "--dry-run", "--format", "json")
    assert dry.returncode == 4, dry.stderr
    assert {row["state"] for row in rows(dry).values()} == {"missing"}
    made = call("log", "init", "--log", kafka.address, "--partitions", "2", "--retention", "3", "--format", "json")
    assert made.returncode == 0, made.stderr
    assert rows(made).keys() == set(TOPICS)
    assert {row["state"] for row in rows(made).values()} == {"made"}
    assert {(r["partitions"], r["replication"], r["min_insync"], r["max_message_bytes"], r["timestamp_type"]) for r in rows(made).values()} == {
        (2, 1, 1, 1_065_536, "LogAppendTime")}
    assert {name: row["retention_days"] for name, row in rows(made).items()} == {t: -1 if t in ("nodes", "reference") else 3 for t in TOPICS}
    again = call("log", "init", "--log", kafka.address, "--partitions", "2", "--retention", "3")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("as wanted") == len(TOPICS)
    there = settings_of(kafka, f"{topic_prefix}readings", "retention.ms", "max.message.bytes", "cleanup.policy", "compression.type", "message.timestamp.type")
    assert there == {"retention.ms": "259200000", "max.message.bytes": "1065536", "cleanup.policy": "delete", "compression.type": "producer",
                     "message.timestamp.type": "LogAppendTime"}


def test_what_differs_is_told_and_changed_only_when_asked(call: Call, kafka: Any, topic_prefix: str) -> None:
    log = ("--log", kafka.address)
    assert call("log", "init", *log, "--partitions", "4").returncode == 0
    differs = call("log", "init", *log, "--partitions", "6", "--retention", "1")
    assert differs.returncode == 4
    assert f"{topic_prefix}readings: partitions is 4, wanted 6" in differs.stderr
    assert f"{topic_prefix}readings: retention.ms is 604800000 (7 d), wanted 86400000 (1 d)" in differs.stderr
    assert "nothing that is there was changed" in differs.stderr
    assert settings_of(kafka, f"{topic_prefix}readings", "retention.ms") == {"retention.ms": "604800000"}
    dry = call("log", "init", *log, "--partitions", "6", "--retention", "1", "--alter", "--dry-run")
    assert (dry.returncode, settings_of(kafka, f"{topic_prefix}readings", "retention.ms")) == (4, {"retention.ms": "604800000"})
    altered = call("log", "init", *log, "--partitions", "6", "--retention", "1", "--alter", "--format", "json")
    assert altered.returncode == 0, altered.stderr
    assert {row["state"] for row in rows(altered).values()} == {"altered"}
    assert settings_of(kafka, f"{topic_prefix}readings", "retention.ms") == {"retention.ms": "86400000"}
    assert settings_of(kafka, f"{topic_prefix}nodes", "retention.ms") == {"retention.ms": "-1"}


def test_a_topic_never_gets_fewer_partitions(call: Call, kafka: Any, topic_prefix: str) -> None:
    assert call("log", "init", "--log", kafka.address, "--partitions", "3").returncode == 0
    done = call("log", "init", "--log", kafka.address, "--partitions", "2", "--alter", "--format", "json")
    assert done.returncode == 4
    assert f"{topic_prefix}readings: partitions is 3, wanted 2 (a topic never gets fewer)" in done.stderr
    assert rows(done)["readings"]["differs"] == [{"name": "partitions", "there": "3", "wanted": "2", "fixed": "a topic never gets fewer"}]
    assert rows(done)["readings"]["partitions"] == 3


def test_a_topic_that_is_missing_from_a_set_is_made(call: Call, kafka: Any, topic_prefix: str) -> None:
    from kafka import KafkaAdminClient

    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers)
    try:
        admin.delete_topics([f"{topic_prefix}jobs"])
    finally:
        admin.close()
    done = call("log", "init", "--log", kafka.address, "--partitions", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {name: row["state"] for name, row in rows(done).items() if row["state"] != "as wanted"} == {"jobs": "made"}


def test_more_copies_than_brokers_are_refused(call: Call, kafka: Any) -> None:
    done = call("log", "init", "--log", kafka.address, "--replication", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "3 copies need as many brokers, and there are 1" in done.stderr


def test_a_log_in_a_folder_needs_no_topics(call: Call) -> None:
    done = call("log", "init", "--log", "file:log")
    assert done.returncode == 2
    assert "needs no topics" in done.stderr


def test_brokers_that_do_not_answer_are_told_in_two_lines(call: Call) -> None:
    done = call("log", "init", "--log", "kafka:127.0.0.1:1")
    assert done.returncode == 1
    assert "no broker answers" in done.stderr
    assert "wattlake doctor" in done.stderr
    assert len(done.stderr.splitlines()) == 2
