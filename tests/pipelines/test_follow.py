"""`wattlake run --follow` on a real log: what comes is soon in the lake, and what fails passes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakes import rows
from logs import Log
from topics import Topics
from wattlake_contracts.errors import WattlakeError
from wattlake_pipelines import follow
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import CommitRefusedError, Committer, SupersededError
from wattlake_pipelines.land.kafka_source import GapError, KafkaSource
from wattlake_pipelines.land.land import land
from wattlake_pipelines.land.source import FileSource
from wattlake_pipelines.worker_error import cause

T0 = 1_760_000_000_000
ENERGY = "SELECT node, sum(energy_mj)::BIGINT FROM lake.fact_energy GROUP BY node ORDER BY node"
WATTLAKE = str(Path(sys.executable).with_name("wattlake"))


def reading(log: Log, i: int) -> None:
    log.put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}], node="n1")


@contextmanager
def following(address: str, prefix: str, lake: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    command = [WATTLAKE, "run", "--follow", "--every", "0.5", "--log", address, "--lake", str(lake)]
    environment = {**os.environ, "WATTLAKE_KAFKA_PREFIX": prefix, **variables}
    with (lake.parent / "said").open("w") as said, subprocess.Popen(command, stderr=said, stdout=said, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def until(said: Path, text: str, seconds: float = 90) -> str:
    """What the follower said, once it has said this."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = said.read_text() if said.exists() else ""
        if text in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"it never said {text!r}: {found}")


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def test_what_comes_to_a_file_log_is_accounted_for_until_it_is_stopped(tmp_path: Path) -> None:
    log, lake, said = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said"
    reading(log, 0)
    with following(f"file:{log.root}", "unused.", lake) as process:
        until(said, "1 row of 1 record")
        reading(log, 1)
        until(said, "2 rows of 2 records")
        assert stop(process) == 0
    assert "stopped: 2 rows of 2 records" in said.read_text()
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(5000,)]


def test_a_follower_that_is_stopped_ends_well_whatever_it_rejected(tmp_path: Path) -> None:
    Log(tmp_path / "log").put("sites", [{"site": "a", "zone": "DE", "pue": 0.5}])
    with following(f"file:{tmp_path / 'log'}", "unused.", tmp_path / "lake") as process:
        until(tmp_path / "said", "1 rejected")
        assert stop(process) == 0


@pytest.mark.slow
def test_brokers_that_do_not_answer_are_told_by_who_waits_for_them_with_what_finds_out_why(tmp_path: Path) -> None:
    with following("kafka:127.0.0.1:1", "unused.", tmp_path / "lake") as process:
        assert "no broker answers" in (said := until(tmp_path / "said", "it is tried again"))
        assert "next: `wattlake doctor --role pipelines` tells which it is" in said
        assert stop(process) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_log_that_is_not_there_yet_is_waited_for_until_it_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    with following(f"file:{tmp_path / 'log'}", "unused.", tmp_path / "lake") as process:
        until(tmp_path / "said", "it is tried again")
        process.send_signal(number)
        assert process.wait(60) == 0
    assert "stopped: nothing was landed" in (tmp_path / "said").read_text()


@pytest.mark.slow
def test_brokers_that_are_killed_and_come_back_are_followed_on(own_kafka: Callable[..., Kafka], topic_prefix: str, tmp_path: Path) -> None:
    kafka = own_kafka()
    topics = Topics(kafka.address, topic_prefix)
    log, lake, said = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said"
    reading(log, 0)
    topics.ship(log.root)
    with following(kafka.address, topic_prefix, lake) as process:
        until(said, "1 row of 1 record")
        kafka.brokers[0].kill()
        until(said, "it is tried again")
        kafka.brokers[0].restart(120)
        reading(log, 1)
        topics.ship(log.root)
        back = time.monotonic()
        until(said, "2 rows of 2 records")
        assert time.monotonic() - back < 30, "fresh data lands within half a minute, untouched by hand"
        assert stop(process) == 0
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(5000,)]


def test_a_gap_ends_it_with_what_is_gone(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    log, lake, said = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said"
    reading(log, 0)
    topics.ship(log.root)
    with following(kafka.address, topic_prefix, lake) as process:
        until(said, "1 row of 1 record")
        process.send_signal(signal.SIGSTOP)
        for i in range(1, 6):
            reading(log, i)
        topics.ship(log.root)
        topics.drop_before("readings", 0, 4)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 1
    assert "offsets 1 to 4 (3 records) are gone" in said.read_text()
    assert rows(lake, "SELECT count(*) FROM lake.raw_readings") == [(1,)]


def test_what_landed_is_accounted_for_though_nothing_more_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first accounting fails, and by an error that is none of ours: the next one finds what it left."""
    log, lake, ends, told = Log(tmp_path / "log"), tmp_path / "lake", threading.Event(), []
    reading(log, 0)
    reading(log, 1)
    really = follow.account

    def fails_once(committer: Committer, **options: Any) -> Any:
        if not told:
            raise OSError(errno.EIO, "Input/output error")
        return really(committer, **options)

    def heard(done: follow.Followed) -> None:
        told.append((done.rows, done.failures))
        ends.set()

    monkeypatch.setattr(follow, "account", fails_once)
    with Committer(lake) as committer:
        follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=ends, heard=heard, failed=told.append)
    assert "Input/output error" in str(told[0])
    assert told[1:] == [(2, 1)]
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(5000,)]


@pytest.mark.slow
def test_what_has_landed_is_accounted_for_by_a_follower_that_starts_while_the_brokers_are_away(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                                              tmp_path: Path) -> None:
    kafka = own_kafka()
    topics = Topics(kafka.address, topic_prefix)
    log, lake, said = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said"
    for i in range(3):
        reading(log, i)
    topics.ship(log.root)
    subprocess.run([WATTLAKE, "land", "--log", kafka.address, "--lake", str(lake)], env={**os.environ, "WATTLAKE_KAFKA_PREFIX": topic_prefix},
                   check=True, timeout=120)
    assert rows(lake, ENERGY) == []
    kafka.brokers[0].kill()
    with following(kafka.address, topic_prefix, lake) as process:
        until(said, "of facts made anew")
        # it holds the lake no longer while it waits on
        found = rows(lake, ENERGY)
        assert stop(process) == 0
    assert found == [("n1", 10_000)]
    assert said.read_text().count("no broker answers") == 1, "told once, and accounted for once"
    assert said.read_text().count("of facts made anew") == 1
    assert "following:" not in said.read_text()
    assert said.read_text().endswith("stopped: nothing was landed\n")


@pytest.mark.slow
def test_while_a_log_is_waited_for_a_lake_that_another_holds_is_accounted_for_once_it_is_free(tmp_path: Path) -> None:
    log, lake, said = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said"
    reading(log, 0)
    reading(log, 1)
    with ExitStack() as held:
        committer = held.enter_context(Committer(lake))
        land(committer, log.root, round_bytes=2**20)
        gone = log.root.rename(tmp_path / "gone")
        with following(f"file:{log.root}", "unused.", lake) as process:
            until(said, "another committer is at work")
            held.close()
            until(said, "of facts made anew")
            assert rows(lake, ENERGY) == [("n1", 5000)]
            gone.rename(log.root)
            reading(log, 2)
            until(said, "1 row of 1 record")
            assert stop(process) == 0
    assert said.read_text().count("another committer is at work") == 1
    assert rows(lake, ENERGY) == [("n1", 10_000)]


@pytest.mark.slow
def test_what_has_landed_is_accounted_for_when_the_brokers_go_before_the_next_round(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                                   tmp_path: Path) -> None:
    kafka, ends, told = own_kafka(), threading.Event(), []
    topics = Topics(kafka.address, topic_prefix)
    log, lake, source = Log(tmp_path / "log"), tmp_path / "lake", topics.source()
    reading(log, 0)
    reading(log, 1)
    topics.ship(log.root)

    def failed(error: WattlakeError) -> None:
        told.append(str(error))
        ends.set()

    with Committer(lake) as committer:
        land(committer, source, round_bytes=2**20)
        kafka.brokers[0].kill()
        done = follow.follow(committer, source, every_s=0.1, round_bytes=2**20, stop=ends, failed=failed)
    assert len(told) == 1
    assert "no broker answers" in told[0]
    assert (done.rounds, done.failures, done.rows) == (0, 1, 0)
    assert rows(lake, ENERGY) == [("n1", 5000)]


def landed_with_a_gap_behind(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> tuple[Committer, KafkaSource]:
    """A lake in which two readings have landed and nothing is accounted for, and its log, which has dropped the next two of three."""
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    log = Log(tmp_path / "log")
    reading(log, 0)
    reading(log, 1)
    topics.ship(log.root)
    committer = Committer(tmp_path / "lake")
    land(committer, topics.source(), round_bytes=2**20)
    for i in range(2, 5):
        reading(log, i)
    topics.ship(log.root)
    topics.drop_before("readings", 0, 4)
    return committer, topics.source()


def test_what_has_landed_is_accounted_for_before_a_gap_ends_it(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    committer, source = landed_with_a_gap_behind(kafka, topic_prefix, tmp_path)
    with committer, pytest.raises(GapError, match=r"offsets 2 to 4 \(2 records\) are gone: the topic dropped them before they were landed\n"):
        follow.follow(committer, source, every_s=0.1, round_bytes=2**20, stop=threading.Event())
    assert rows(tmp_path / "lake", ENERGY) == [("n1", 5000)]
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.raw_readings") == [(2,)]


def test_a_gap_and_what_kept_its_round_from_being_accounted_for_are_told_together(kafka: Kafka, topic_prefix: str, tmp_path: Path,
                                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(committer: Committer, **options: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(follow, "account", fails)
    committer, source = landed_with_a_gap_behind(kafka, topic_prefix, tmp_path)
    with committer, pytest.raises(GapError, match=r"offsets 2 to 4 .*; and in the same round this failed: .*lake: a round failed: Input/output error") as told:
        follow.follow(committer, source, every_s=0.1, round_bytes=2**20, stop=threading.Event())
    assert "--accept-gap" in told.value.next_step
    assert "see to the disk" in told.value.next_step


def test_where_nothing_lands_and_accounting_fails_too_both_are_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake, ends, told, accounted = Log(tmp_path / "log"), tmp_path / "lake", threading.Event(), [], []
    reading(log, 0)
    reading(log, 1)
    really = follow.account

    def fails_once(committer: Committer, **options: Any) -> Any:
        accounted.append(len(told))
        if len(accounted) == 1:
            raise WattlakeError("is damaged", subject="a file", next_step="see why")
        return really(committer, **options)

    def failed(error: WattlakeError) -> None:
        told.append(str(error).partition("\n")[0])
        if len(told) == 3:
            ends.set()

    monkeypatch.setattr(follow, "account", fails_once)
    with Committer(lake) as committer:
        land(committer, log.root, round_bytes=2**20)
        gone = log.root.rename(tmp_path / "gone")
        with pytest.raises(WattlakeError) as away:
            FileSource(log.root).plan({}, 2**20)
        done = follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=ends, failed=failed)
    assert gone.is_dir()
    nothing_there = str(away.value).partition("\n")[0]
    assert told == ["a file: is damaged", nothing_there, nothing_there]
    assert (accounted, done.failures) == ([0, 2], 2)
    assert rows(lake, ENERGY) == [("n1", 5000)]


@pytest.mark.parametrize(("error", "ends"), [
    (OSError(errno.EIO, "Input/output error"), False), (CommitRefusedError("the catalogue refused the commit: database or disk is full"), False),
    (SupersededError("another committer has taken over"), True)])
def test_nothing_is_accounted_for_where_the_lake_is_not_to_be_trusted_or_has_no_room_or_is_anothers(error: Exception, ends: bool, tmp_path: Path,
                                                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    log, stopped, steps = Log(tmp_path / "log"), threading.Event(), []
    reading(log, 0)

    def fails(*given: Any, **options: Any) -> None:
        steps.append("land")
        raise error

    def failed(error: WattlakeError) -> None:
        steps.append("told")
        stopped.set()

    monkeypatch.setattr(follow, "land", fails)
    monkeypatch.setattr(follow, "account", lambda *given, **options: steps.append("account"))
    with Committer(tmp_path / "lake") as committer, pytest.raises(SupersededError) if ends else nullcontext():
        follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=stopped, failed=failed)
    assert steps == (["land"] if ends else ["land", "told"])


def test_what_fails_in_a_worker_is_told_with_its_cause_and_tried_again(failing_calls: Path, tmp_path: Path) -> None:
    log, lake, said, armed = Log(tmp_path / "log"), tmp_path / "lake", tmp_path / "said", tmp_path / "armed"
    reading(log, 0)
    reading(log, 1)
    armed.write_text("write .arrow\n")
    with following(f"file:{log.root}", "unused.", lake, LD_PRELOAD=str(failing_calls), FAILING_CALLS=str(armed)) as process:
        until(said, "it is tried again")
        time.sleep(3)
        assert process.poll() is None
        armed.unlink()
        until(said, "2 rows of 2 records")
        assert stop(process) == 0
    failures = [line for line in said.read_text().splitlines() if "a round failed" in line]
    assert failures
    # told each time, and not more often than it is waited in between
    assert len(failures) <= 4
    assert set(failures) == {f"wattlake: {lake}: a round failed: Input/output error"}
    assert "Traceback" not in said.read_text()
    assert rows(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy") == [(5000,)]


@pytest.mark.parametrize(("error", "says"), [
    (MemoryError(), "memory has run out"), (pa.ArrowInvalid("Not enough data"), "Not enough data"), (AssertionError(), "AssertionError")])
def test_whatever_class_of_error_a_round_fails_with_it_is_tried_again(error: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, ends, told = Log(tmp_path / "log"), threading.Event(), []
    reading(log, 0)
    really = follow.land

    def fails_once(*given: Any, **options: Any) -> Any:
        if not told:
            raise error
        return really(*given, **options)

    def heard(done: follow.Followed) -> None:
        told.append((done.rows, done.failures))
        ends.set()

    monkeypatch.setattr(follow, "land", fails_once)
    with Committer(tmp_path / "lake") as committer:
        follow.follow(committer, FileSource(log.root), every_s=0.1, round_bytes=2**20, stop=ends, heard=heard, failed=told.append)
    assert f"a round failed: {says}" in str(told[0])
    assert told[1:] == [(1, 1)]


def test_of_a_workers_traceback_its_last_error_is_told() -> None:
    text = """Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
FileNotFoundError: [Errno 2] No such file or directory: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in h
OSError: [Errno 5] Input/output error [while running 'Read']
"""
    assert cause(RuntimeError(text)) == "Input/output error"
    assert cause(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert cause(RuntimeError("OSError: [Errno 5] Input/output error [while running 'Read']")) == "Input/output error"
    assert cause(RuntimeError("no name: here [while running 'Read']")) == "no name: here"
    assert cause(MemoryError()) == "memory has run out"
    assert cause(ValueError("two\n  lines")) == "two lines"
