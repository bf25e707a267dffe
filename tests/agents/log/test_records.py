"""`wattlake log tail` and `dump`, on a log in a folder and on Kafka."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logs import Log
from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.log_address import KafkaLog

Call = Callable[..., subprocess.CompletedProcess[str]]
START_MS = 1_760_000_000_000


def fill(root: Path) -> None:
    """Two partitions: four records of readings and one of jobs of n1, two of transfers of n2, a minute apart."""
    log = Log(root)
    for i in range(4):
        log.put("readings", [{"node": "n1", "device": f"gpu{d}", "ts_ms": START_MS + i, "energy_mj": i * 10 + d} for d in range(3)],
                node="n1", boot="b1", partition="agent.n1", appended_ms=START_MS + i * 60_000)
    log.put("jobs", [{"job": "j1", "node": "n1", "start_ms": START_MS}], node="n1", boot="b1", partition="agent.n1", appended_ms=START_MS + 240_000)
    for i in range(2):
        log.put("transfers", [{"id": f"t{i}", "ts_ms": START_MS, "bytes": i, "medium": "lan", "from_site": "a", "to_site": "b"}],
                node="n2", boot="b2", partition="record.n2", appended_ms=START_MS + 90_000 + i * 60_000)


@pytest.fixture(params=["folder", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path, topic_prefix: str, call: Call) -> str:
    """The address of a log that was filled."""
    fill(tmp_path / "log")
    if request.param == "folder":
        return f"file:{tmp_path / 'log'}"
    kafka = request.getfixturevalue("kafka")
    made = call("log", "init", "--log", kafka.address, "--partitions", "3")
    assert made.returncode == 0, made.stderr
    ship(tmp_path / "log", KafkaLog(tuple(kafka.servers)), KafkaConfig(prefix=topic_prefix))
    return str(kafka.address)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_everything_is_dumped_once(call: Call, log: str) -> None:
    found = lines(call("log", "dump", "--log", log, "--format", "json"))
    assert sorted(r["id"] for r in found) == ["n1/b1/0", "n1/b1/1", "n1/b1/2", "n1/b1/3", "n1/b1/4", "n2/b2/0", "n2/b2/1"]
    assert {(r["kind"], r["version"], r["rows"], r["reason"]) for r in found} == {
        ("readings", "1.0", 3, None), ("jobs", "1.0", 1, None), ("transfers", "1.0", 1, None)}
    first = next(r for r in found if r["id"] == "n1/b1/0")
    assert first["time"] == "2025-10-09T08:53:20.000Z"
    assert [{k: v for k, v in row.items() if v is not None} for row in first["first"]] == [
        {"node": "n1", "device": f"gpu{d}", "ts_ms": START_MS, "energy_mj": d} for d in range(2)]
    assert found == sorted(found, key=lambda r: (r["partition"], r["offset"])), "partition by partition, in order"


def test_a_topic_and_an_offset_are_picked(call: Call, log: str) -> None:
    readings = lines(call("log", "dump", "--log", log, "--topic", "readings", "--format", "json", "--rows", "9"))
    assert [r["id"] for r in readings] == [f"n1/b1/{i}" for i in range(4)]
    assert [len(r["first"]) for r in readings] == [3] * 4
    place = readings[0]["partition"].rpartition("/")[2]
    later = lines(call("log", "dump", "--log", log, "--topic", "readings", "--partition", place, "--from", "2", "--format", "json"))
    assert [r["id"] for r in later] == ["n1/b1/2", "n1/b1/3"]
    assert len(lines(call("log", "dump", "--log", log, "--topic", "readings", "-n", "3", "--format", "json"))) == 3


def test_who_asks_for_what_lies_after_the_end_is_told_where_that_is(call: Call, log: str) -> None:
    places = {r["partition"]: r["offset"] + 1 for r in lines(call("log", "dump", "--log", log, "--format", "json"))}
    done = call("log", "dump", "--log", log, "--from", "99999")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is there from offset 99999 on: " in done.stderr
    if log.startswith("file:"):
        assert all(f"{place} ends at {end}" in done.stderr for place, end in places.items())
    else:
        place = next(place for place in places if place.startswith("jobs/"))
        done = call("log", "dump", "--log", log, "--topic", "jobs", "--from", "99999")
        assert f"{place} ends at {places[place]}" in done.stderr


def test_the_last_are_shown_across_partitions(call: Call, log: str) -> None:
    done = call("log", "tail", "--log", log, "--format", "json", "-n", "7")
    assert len(lines(done)) == 7
    of_jobs = lines(call("log", "tail", "--log", log, "--topic", "jobs", "-n", "3", "--format", "json"))
    assert [r["id"] for r in of_jobs] == ["n1/b1/4"]
    of_readings = lines(call("log", "tail", "--log", log, "--topic", "readings", "-n", "1", "--format", "json"))
    assert [r["id"] for r in of_readings] == ["n1/b1/3"]


def test_people_read_it(call: Call, log: str) -> None:
    done = call("log", "tail", "--log", log, "--topic", "readings", "-n", "1")
    first, *rows, more = done.stdout.splitlines()
    assert first.startswith("2025-10-09T08:56:20.000Z  ")
    assert "readings 1.0  n1/b1/3  3 rows" in first
    assert rows == [f"    node=n1  device=gpu{d}  ts_ms={START_MS + 3}  energy_mj={30 + d}" for d in range(2)]
    assert more == "    … 1 more"


def test_a_reader_that_goes_away_ends_it_quietly(wattlake: Path, home: dict[str, str], log: str, topic_prefix: str) -> None:
    env = {**home, "WATTLAKE_KAFKA_PREFIX": topic_prefix}
    dump = subprocess.Popen([wattlake, "log", "dump", "--log", log, "--rows", "1000"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert dump.stdout is not None
    assert dump.stderr is not None
    dump.stdout.close()
    assert dump.wait(60) == 141
    assert dump.stderr.read() == ""
    dump.stderr.close()


def test_what_comes_is_followed(wattlake: Path, home: dict[str, str], log: str, topic_prefix: str, tmp_path: Path) -> None:
    following = subprocess.Popen([wattlake, "log", "tail", "--log", log, "-n", "1", "--topic", "jobs", "--follow", "--format", "json"],
                                 env={**home, "WATTLAKE_KAFKA_PREFIX": topic_prefix}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        assert json.loads(following.stdout.readline())["id"] == "n1/b1/4"
        # a partition that is new in a folder; of another topic first
        root = tmp_path / ("log" if log.startswith("file:") else "more")
        more = Log(root)
        more.put("transfers", [{"id": "t", "ts_ms": START_MS, "bytes": 1, "medium": "lan", "from_site": "a", "to_site": "b"}], node="n3", partition="job.0")
        more.put("jobs", [{"job": "j9", "node": "n3", "start_ms": START_MS}], node="n3", partition="job.0")
        if log.startswith("kafka:"):
            ship(root, KafkaLog(tuple(log.removeprefix("kafka:").split(","))), KafkaConfig(prefix=topic_prefix))
        got = json.loads(following.stdout.readline())
        assert (got["kind"], got["first"][0]["job"]) == ("jobs", "j9")
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
    finally:
        following.kill()
        assert following.communicate()[1] == ""


def test_what_is_no_record_is_shown_with_the_reason(call: Call, kafka: Any, topic_prefix: str) -> None:
    from kafka import KafkaProducer

    assert call("log", "init", "--log", kafka.address, "--partitions", "1").returncode == 0
    producer = KafkaProducer(bootstrap_servers=kafka.servers)
    for topic, value, headers in (("jobs", b'{"job":"theirs","node":"n","start_ms":1}', []), ("reference", b"{}", []), ("jobs", b"{", []),
                                  ("jobs", b"{}", [("ce_dataschema", b"urn:wattlake:jobs:7.0")]), ("jobs", None, [])):
        producer.send(f"{topic_prefix}{topic}", key=b"n", value=value, headers=headers)
    producer.flush(30)
    producer.close()
    jobs = lines(call("log", "dump", "--log", kafka.address, "--topic", f"{topic_prefix}jobs", "--format", "json"))
    assert [(r["offset"], r["rows"]) for r in jobs] == [(0, 1), (1, None), (2, None), (3, None)]
    assert jobs[0]["first"][0]["job"] == "theirs"
    assert [r["reason"] is None for r in jobs] == [True, False, False, False]
    assert "another major" in jobs[2]["reason"]
    assert "without a value" in jobs[3]["reason"]
    text = call("log", "tail", "--log", kafka.address)
    assert text.returncode == 0
    assert "cannot be read: of which kind? This topic holds sites, grid" in text.stdout


def test_damage_in_a_folder_is_shown_with_its_place(call: Call, tmp_path: Path) -> None:
    fill(tmp_path / "log")
    [segment] = (tmp_path / "log" / "agent.n1").glob("*.wlog")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    segment.write_bytes(raw)
    found = lines(call("log", "dump", "--log", f"file:{tmp_path / 'log'}", "--partition", "agent.n1", "--format", "json"))
    assert [r["offset"] for r in found] == [0, 1, 2, 3, 4]
    [bad] = [r for r in found if r["reason"]]
    assert f"damaged or missing bytes (in {segment.name} at byte " in bad["reason"]


@pytest.mark.parametrize(("arguments", "says"), [
    (("dump", "--topic", "weather"), "'weather' is no topic"),
    (("dump", "--partition", "nobody"), "there is no partition 'nobody'"),
    (("tail", "--format", "csv"), "'csv' is not one of table, json"),
    (("tail", "-n", "-1"), "-1 is not in the range"),
])
def test_a_wrong_option_is_named(call: Call, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    fill(tmp_path / "log")
    done = call("log", *arguments, "--log", f"file:{tmp_path / 'log'}")
    assert done.returncode == 2
    assert says in done.stderr


def test_topics_that_are_not_there_are_told(call: Call, kafka: Any) -> None:
    done = call("log", "tail", "--log", kafka.address)
    assert done.returncode == 1
    assert "make them with `wattlake log init`" in done.stderr
