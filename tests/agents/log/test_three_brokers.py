"""`wattlake log init` and `status` on three brokers, of which one is lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_three_copies_two_to_acknowledge_and_one_lost(call: Call, own_kafka: Callable[..., Any], topic_prefix: str) -> None:
    own = own_kafka(brokers=3)
    log = ("--log", own.address)
    made = call("log", "init", *log, "--partitions", "3", "--format", "json")
    assert made.returncode == 0, made.stderr
    assert {(row["replication"], row["min_insync"]) for row in json.loads(made.stdout)} == {(3, 2)}

    # a topic of one copy is told of, and is not made to want two brokers that have it: nothing could be written to it then
    assert call("log", "init", *log, "--replication", "1", WATTLAKE_KAFKA_PREFIX=f"{topic_prefix}one.").returncode == 0
    single = call("log", "init", *log, "--alter", "--format", "json", WATTLAKE_KAFKA_PREFIX=f"{topic_prefix}one.")
    assert single.returncode == 4
    assert {(row["replication"], row["min_insync"]) for row in json.loads(single.stdout)} == {(1, 1)}
    assert "replication is 1, wanted 3 (move its partitions with Kafka's own tools)" in single.stderr

    own.brokers[2].kill()
    until = time.monotonic() + 60
    while (done := call("log", "status", *log, "--format", "json")).returncode != 4:
        assert time.monotonic() < until, done.stdout
        time.sleep(1)
    rows = json.loads(done.stdout)
    assert {row["state"] for row in rows} == {"under-replicated"}
    assert {row["under_replicated"] for row in rows} == {3}
    assert f"{topic_prefix}readings: 3 of 3 partitions are on fewer brokers than should be" in done.stderr
    again = call("log", "init", *log, "--partitions", "3")
    assert again.returncode == 0, "it is as wanted, and a broker is away"
    meanwhile = call("log", "init", *log, "--format", "json", WATTLAKE_KAFKA_PREFIX=f"{topic_prefix}new.")
    assert meanwhile.returncode == 0, meanwhile.stderr
    assert {row["replication"] for row in json.loads(meanwhile.stdout)} == {3}, "not fewer copies for ever, for a broker that is away now"
    sick = call("doctor", *log, "--role", "pipelines", "--format", "json")
    assert sick.returncode == 1
    assert [row["subject"] for row in json.loads(sick.stdout) if row["state"] == "failed"] == [own.servers[2]]
