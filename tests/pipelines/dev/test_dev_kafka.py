"""`wattlake dev kafka` as its user meets it, and what the broker keeps when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError

from wattlake_pipelines.dev import jars
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.locking import ASKED

WATTLAKE = Path(sys.executable).with_name("wattlake")


def dev(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(WATTLAKE), "dev", "kafka", *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, **environment})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a Kafka; whatever runs there at the end is killed."""
    yield tmp_path / "kafka"
    if (tmp_path / "kafka" / "kafka.json").is_file():
        for broker in Kafka(tmp_path / "kafka").brokers:
            broker.kill()


def make_topic(servers: list[str], name: str, **settings: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": -1, **settings}})
    admin.close()


def produce(servers: list[str], topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=servers)
    for value in values:
        producer.send(topic, value=value, partition=0).get(timeout=60)
    producer.close()


def consume(servers: list[str], topic: str, count: int) -> list[bytes]:
    """The first so many values of a topic, or all that come within a minute."""
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=60_000)
    consumer.assign([TopicPartition(topic, 0)])
    found = []
    for record in consumer:
        found.append(record.value)
        if len(found) == count:
            break
    consumer.close()
    return found


def test_the_shared_broker_keeps_what_is_sent_and_makes_no_topic_by_itself(kafka: Kafka, topic_prefix: str) -> None:
    assert kafka.address == f"kafka:{kafka.servers[0]}"
    make_topic(kafka.servers, f"{topic_prefix}readings")
    produce(kafka.servers, f"{topic_prefix}readings", b"one", b"two")
    assert consume(kafka.servers, f"{topic_prefix}readings", 2) == [b"one", b"two"]
    admin = KafkaAdminClient(bootstrap_servers=kafka.servers)
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.list_partition_offsets({TopicPartition(f"{topic_prefix}misspelt", 0): -1})
    admin.close()


@pytest.mark.slow
def test_it_starts_says_where_it_is_and_stops(folder: Path) -> None:
    none = dev("status", "--dir", folder)
    assert none.returncode == 1
    assert "wattlake dev kafka start --dir" in none.stderr

    started = dev("start", "--dir", folder)
    assert started.returncode == 0, started.stderr
    address = started.stdout.strip()
    assert started.stdout == f"{address}\n", "nothing else on stdout"
    servers = [address.removeprefix("kafka:")]
    make_topic(servers, "readings")
    produce(servers, "readings", b"kept")

    shown = dev("status", "--dir", folder, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    (row,) = json.loads(shown.stdout)
    assert (row["server"], row["state"]) == (servers[0], "runs")

    again = dev("start", "--dir", folder)
    assert (again.returncode, again.stdout) == (0, started.stdout)
    assert "it runs already" in again.stderr
    other = dev("start", "--dir", folder, "--port", int(servers[0].rpartition(":")[2]) + 1)
    assert (other.returncode, other.stdout) == (2, "")
    assert address in other.stderr

    os.kill(row["pid"], signal.SIGSTOP)
    frozen = dev("status", "--dir", folder)
    assert (frozen.returncode, "is silent" in frozen.stdout) == (1, True)

    stopped = dev("stop", "--dir", folder)
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert Kafka(folder).brokers[0].state() == "is down"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(servers[0].rpartition(":")[2])))
    assert dev("stop", "--dir", folder).returncode == 0, "there is nothing to stop, as was asked for"
    assert dev("status", "--dir", folder).returncode == 1

    assert dev("start", "--dir", folder).stdout == started.stdout, "the same port as before"
    assert consume(servers, "readings", 1) == [b"kept"]
    assert dev("stop", "--dir", folder, "--delete").returncode == 0
    assert not folder.exists()


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_kill_and_clients_wait_through_a_freeze(own_kafka: Callable[..., Kafka]) -> None:
    made = own_kafka()
    (broker,) = made.brokers
    make_topic(made.servers, "readings")
    produce(made.servers, "readings", b"one")
    broker.kill()
    assert broker.state() == "is down"
    broker.restart(120)
    assert consume(made.servers, "readings", 1) == [b"one"]

    broker.freeze()
    assert broker.state() == "is silent"
    broker.thaw()
    produce(made.servers, "readings", b"two")
    assert consume(made.servers, "readings", 2) == [b"one", b"two"]


@pytest.mark.slow
def test_three_brokers_do_without_one(own_kafka: Callable[..., Kafka]) -> None:
    made = own_kafka(brokers=3)
    assert made.address.count(",") == 2
    make_topic(made.servers, "readings", replication_factor=3)
    produce(made.servers, "readings", b"one")
    made.brokers[0].kill()
    produce(made.servers, "readings", b"two")
    assert consume(made.servers, "readings", 2) == [b"one", b"two"]
    assert not made.is_running()
    made.start(120)
    assert made.is_running()


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = dev("start", "--dir", folder, "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert "next: give another --port" in done.stderr
    assert not folder.exists(), "nothing is left of what was not made"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    for words in (("start",), ("stop", "--delete")):
        done = dev(*words, "--dir", tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "holds no kafka of `wattlake dev`" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_brokers_are_refused(folder: Path) -> None:
    done = dev("start", "--dir", folder, "--brokers", 2)
    assert done.returncode == 2
    assert "no majority" in done.stderr


@pytest.mark.slow
def test_a_broker_that_cannot_start_tells_what_it_said(tmp_path: Path) -> None:
    made = Kafka(tmp_path / "kafka", properties={"num.io.threads": "none"})
    with pytest.raises(Exception, match=r"cannot be made: .*num\.io\.threads"):
        made.start(60)
    # its identity is made with settings that will do, and then they are spoilt
    good = Kafka(tmp_path / "other")
    good.start(120)
    good.stop()
    spoilt = Kafka(tmp_path / "other", properties={"advertised.listeners": "CLIENT://0.0.0.0:1"})
    with pytest.raises(Exception, match="the broker ended while it was waited for; it said last:") as told:
        spoilt.start(60)
    assert "advertised.listeners" in str(told.value)
    assert str(spoilt.brokers[0].process.log) in str(told.value)
    assert spoilt.brokers[0].process.pid() is None


def test_a_jar_that_was_tampered_with_is_refused(folder: Path, tmp_path: Path) -> None:
    wanted = jars.locked("kafka")
    there = jars.class_path("kafka")
    cache = tmp_path / "cache" / "wattlake" / there[0].parent.name
    cache.mkdir(parents=True)
    for path in there:
        (cache / path.name).symlink_to(path)
    victim = cache / wanted[5].file
    victim.unlink()
    shutil.copy(there[5], victim)
    with victim.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    done = dev("start", "--dir", folder, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (1, "")
    first, second = [line for line in done.stderr.splitlines() if line.startswith(("wattlake:", "  next:"))]
    assert wanted[5].coordinate in first
    assert wanted[5].sha256 in first
    assert f"delete {cache} and start again" in second


@pytest.mark.parametrize("server", sorted(ASKED))
def test_a_lock_holds_what_is_asked_for_first_and_a_sha256_for_each_jar(server: str) -> None:
    found = jars.locked(server)
    assert tuple(jar.coordinate for jar in found[: len(ASKED[server])]) == ASKED[server]
    assert len({jar.file for jar in found}) == len(found) > 40
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in found)
