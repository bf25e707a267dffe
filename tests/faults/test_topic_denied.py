"""Topics that may not be read, or are not there, hold up no other; and are landed once they can be."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import (
    ACLOperation,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from at_work import WATTLAKE, Follower, until, until_live
from guarded import Guarded
from lakes import rows
from logs import Log
from oracles import check_conserved
from rights import grant, take_back
from topics import Topics
from wattlake_contracts.errors import INCOMPLETE
from wattlake_contracts.kinds import TOPICS
from wattlake_warehouse.lake import open_lake

T0 = 1_760_000_000_000
READ, DESCRIBE = ACLOperation.READ, ACLOperation.DESCRIBE


class Reader:
    """A user of a guarded Kafka that reads topics. environment: by which it comes in."""

    def __init__(self, guarded: Guarded, topics: Topics) -> None:
        self.name, self._topics = topics.prefix + "pipelines", topics
        with topics.admin() as admin:
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(self.name, ScramMechanism.SCRAM_SHA_512, b"word")])
        self.environment = {**guarded.user(self.name, "word"), "WATTLAKE_KAFKA_PREFIX": topics.prefix}

    def let(self, operation: ACLOperation, *topics: str) -> None:
        """Grant it on these."""
        grant(self._topics, self.name, [operation], topics)

    def forbid(self, operation: ACLOperation, *topics: str) -> None:
        """Take it back."""
        take_back(self._topics, self.name, [operation], topics)


def told(log: Log, i: int) -> None:
    """A reading and a job."""
    log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")
    log.put("jobs", [{"job": f"j{i}", "node": "n1", "start_ms": T0, "end_ms": T0 + 1000, "event_ms": T0}], node="n1")


def land(reader: Reader, topics: Topics, lake: Path) -> subprocess.CompletedProcess[str]:
    """`wattlake land` as that user."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WATTLAKE_")}
    return subprocess.run([WATTLAKE, "land", "--log", topics.log.address, "--lake", str(lake)], cwd=lake.parent, capture_output=True, text=True, timeout=300,
                          env={**clean, "HOME": str(lake.parent), **reader.environment})


def landed(lake: Path) -> tuple[int, int]:
    """(readings, jobs) of the lake; read beside the committer."""
    with open_lake(lake) as connection:
        [(readings, jobs)] = connection.execute("SELECT (SELECT count(*) FROM raw_readings), (SELECT count(*) FROM raw_jobs)").fetchall()
    return int(readings), int(jobs)


def wait_until_said(follower: Follower, text: str) -> None:
    """Until a follower that runs says it."""
    until(lambda: not follower.runs() or text in follower.said.read_text(), f"it says {text!r}", 120)
    assert follower.runs(), follower.said.read_text()


def back(follower: Follower) -> set[str]:
    """The topics that it says it lands from again."""
    said = re.findall(r"^wattlake: (.*): (?:is|are) landed from again$", follower.said.read_text(), re.MULTILINE)
    return {name for names in said for name in names.split(", ")}


@pytest.mark.slow
def test_what_may_not_be_read_is_left_out_and_named_and_the_rest_is_landed(guarded: Guarded, topic_prefix: str, world: Callable[..., Any],
                                                                           tmp_path: Path) -> None:
    topics, log = guarded.topics(topic_prefix), Log(tmp_path / "log")
    told(log, 0)
    topics.ship(log.root)
    topics.delete("transfers")
    reader = Reader(guarded, topics)
    here = world(topics, reader.environment)
    lake, follower = here.lake, here.follower
    reader.let(READ, *(set(TOPICS) - {"jobs", "serving"}))
    reader.let(DESCRIBE, "serving")
    # rights are a moment on their way
    until(lambda: "serving: may not be read: READ is not granted" in land(reader, topics, lake).stderr, "what may be read is landed", 180)
    done = land(reader, topics, lake)
    assert done.returncode == INCOMPLETE, done.stderr
    assert f"{topic_prefix}jobs: may not be read: neither DESCRIBE nor READ is granted" in done.stderr
    assert f"{topic_prefix}serving: may not be read: READ is not granted" in done.stderr
    assert f"{topic_prefix}transfers: there is no such topic" in done.stderr
    assert f"wattlake log grant {reader.name} --may read" in done.stderr
    assert "wattlake log init" in done.stderr
    assert done.stderr.count("the rest is landed without it") == 3
    assert landed(lake) == (1, 0)

    # one that follows goes on with the rest, and needs nobody when it may read all
    follower.start()
    wait_until_said(follower, f"{topic_prefix}jobs: may not be read")
    told(log, 1)
    topics.ship(log.root)
    until_live(lambda: landed(lake) == (2, 0), "what may be read landed")
    reader.let(READ, "jobs", "serving")
    topics.create("transfers")
    until_live(lambda: landed(lake) == (2, 2), "what had waited landed")
    until(lambda: back(follower) == {topic_prefix + name for name in ("jobs", "serving", "transfers")}, "it says so", 120)
    here.stop()
    assert land(reader, topics, lake).returncode == 0

    reader.forbid(READ, *TOPICS)
    reader.forbid(DESCRIBE, "serving")
    until(lambda: land(reader, topics, lake).returncode == 1, "who may read nothing has an error", 180)
    assert "may not be read: neither DESCRIBE nor READ is granted" in land(reader, topics, lake).stderr
    check_conserved(lake, topics, [log.root], tmp_path)


@pytest.mark.slow
def test_a_follower_goes_on_with_the_rest_and_lands_a_topic_once_it_is_granted_again(guarded: Guarded, topic_prefix: str, world: Callable[..., Any],
                                                                                     tmp_path: Path) -> None:
    topics, log = guarded.topics(topic_prefix), Log(tmp_path / "log")
    told(log, 0)
    topics.ship(log.root)
    reader = Reader(guarded, topics)
    reader.let(READ, *TOPICS)
    here = world(topics, reader.environment)
    here.agent("n2", environment=guarded.user())
    follower = here.follower

    here.follow()
    until(lambda: landed(here.lake)[1] == 1, "the first job lands")
    reader.forbid(READ, "jobs")
    wait_until_said(follower, f"{topic_prefix}jobs: may not be read")
    for i in (1, 2):
        told(log, i)
        topics.ship(log.root)
        here.alive()
    assert landed(here.lake)[1] == 1
    assert follower.said.read_text().count(f"{topic_prefix}jobs: may not be read") == 1, "told once"
    reader.let(READ, "jobs")
    until_live(lambda: landed(here.lake)[1] == 3, "what had waited landed")
    here.alive()
    wait_until_said(follower, f"{topic_prefix}jobs: is landed from again")
    here.settle(log.root)
    assert rows(here.lake, "SELECT count(*) FROM lake.raw_readings WHERE node = 'n1'") == [(3,)]
