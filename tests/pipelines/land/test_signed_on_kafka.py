"""Signed records on a real Kafka: the nodes' own are landed once, what others say in their name is in the rejects, and shadows nothing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from lakes import rows, run
from logs import Log
from topics import Topics
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kafkalog.signature import HEADER
from wattlake_contracts.kafkalog.signing import make_key
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake import keys
from wattlake_pipelines.lake.committer import Committer

T0 = 1_760_000_000_000


@pytest.fixture
def topics(kafka: Kafka, topic_prefix: str) -> Topics:
    return Topics(kafka.address, topic_prefix, partitions=1)


class Node:
    """A node that writes readings, signed with a key of its own; boot: what it is called by the log."""

    def __init__(self, folder: Path, name: str, topics: Topics) -> None:
        self.name, self.topics, self.key = name, topics, folder / f"{name}.pem"
        self.public = make_key(self.key)
        self.log = Log(folder / f"spool-{name}")
        self._folder, self._shipped = folder, 0

    def write(self, count: int, *, signed: bool = True, as_node: str = "", energy_mj: int = 5_000) -> None:
        """Write so many records and ship them. as_node: in whose name. energy_mj: between two of its readings."""
        node = as_node or self.name
        for number in range(self._shipped, self._shipped + count):
            self.log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * number, "energy_mj": energy_mj * number}],
                         node=node, boot=f"boot-{node}", appended_ms=T0 + 1000 * number)
        self._shipped += count
        ship(self.log.root, self.topics.log, msgspec.structs.replace(self.topics.config, signing_key_file=str(self.key) if signed else ""))

    def renew(self) -> None:
        """Another key in the place of the one that it has."""
        self.public = make_key(self._folder / "next.pem")
        (self._folder / "next.pem").rename(self.key)


def add(lake: Path, *nodes: Node) -> None:
    with Committer(lake) as committer:
        for node in nodes:
            keys.add(committer, node.name, node.public, None, None)


def landed(lake: Path) -> list[tuple[object, ...]]:
    return rows(lake, "SELECT node, count(*), max(energy_mj)::BIGINT FROM lake.raw_readings GROUP BY node ORDER BY node")


def reasons(lake: Path) -> list[str]:
    return [str(reason) for (reason,) in rows(lake, "SELECT reason FROM lake.rejects ORDER BY place")]


def on_topic(topics: Topics, topic: str = "readings") -> list[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """All messages of partition 0, as they are there."""
    here = TopicPartition(topics.prefix + topic, 0)
    found = []
    with closing(KafkaConsumer(**connection(topics.log, topics.config), group_id=None)) as consumer:
        consumer.assign([here])
        consumer.seek(here, 0)
        end = consumer.end_offsets([here])[here]
        while consumer.position(here) < end:
            found += [(m.key, m.value, list(m.headers)) for m in consumer.poll(5_000).get(here, ())]
    return found


def test_two_nodes_that_sign_and_what_one_says_in_the_others_name(topics: Topics, tmp_path: Path) -> None:
    lake, one, other = tmp_path / "lake", Node(tmp_path, "n1", topics), Node(tmp_path, "n2", topics)
    one.write(3)
    other.write(2, signed=False)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 3, 10_000), ("n2", 2, 5_000)], "before they have keys in the lake anybody is believed"
    add(lake, one, other)
    one.write(2)
    # n2 writes for n1, with the numbers that n1 gives to its next records
    (tmp_path / "forger").mkdir()
    forger = Node(tmp_path / "forger", "n2", topics)
    forger.key = other.key
    forger._shipped = 5
    forger.log._next["n1", "boot-n1"] = 5
    forger.write(2, as_node="n1", energy_mj=10**6)
    other.write(2)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 5, 20_000), ("n2", 4, 15_000)]
    assert [why.partition(";")[0] for why in reasons(lake)] == ["node 'n1' has keys, and this record is signed with a key that is none of them"] * 2
    one.write(3)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 8, 35_000), ("n2", 4, 15_000)], "the records that have these numbers count, though forged ones came first"
    again = tmp_path / "again"
    Committer(again).close()
    add(again, one, other)
    run(again, topics.source())
    assert landed(again) == [("n1", 8, 35_000), ("n2", 2, 15_000)], "a lake that has the keys from the beginning takes nothing unsigned"
    assert len(reasons(again)) == 4
    assert rows(again, "SELECT node, from_seq, to_seq FROM lake.seen ORDER BY ALL") == [("n1", 0, 8), ("n2", 2, 4)]


def test_altered_and_unsigned_messages_are_rejected_and_a_true_one_that_comes_twice_counts_once(topics: Topics, tmp_path: Path) -> None:
    lake, one = tmp_path / "lake", Node(tmp_path, "n1", topics)
    run(lake, topics.source())
    add(lake, one)
    one.write(2)
    true = on_topic(topics)
    assert [name for _, _, headers in true for name, _ in headers].count(HEADER) == 2
    key, value, headers = true[1]
    altered = [(key, value.replace((5_000).to_bytes(8, "little"), (9_000).to_bytes(8, "little")), headers),
               (key, value, [(n, v.replace(b"/1", b"/2") if n == "ce_id" else v) for n, v in headers]),
               (key, value, [h for h in headers if h[0] != HEADER]),
               (key, value, [*headers[:-1], true[0][2][-1]]),
               (b"n1", b'[{"node":"n1","device":"gpu0","ts_ms":%d,"energy_mj":1}]' % T0, [])]
    assert altered[0][1] != value
    topics.send("readings", [altered[0], altered[1], true[1], true[0], *altered[2:]])
    topics.send("jobs", [(b"scheduler", b'[{"job":"a","node":"n1","start_ms":%d},{"job":"b","node":"n9","start_ms":%d}]' % (T0, T0), [])])
    for _ in range(2):
        run(lake, topics.source(), pieces=3)
        assert landed(lake) == [("n1", 2, 5_000)]
        assert rows(lake, "SELECT job, node FROM lake.raw_jobs") == [("b", "n9")]
        found = reasons(lake)
        assert [sum(words in why for why in found) for words in ("forged or was altered", "is not signed", "another program bears its name",
                                                                  "must come in a record that it has signed")] == [3, 1, 1, 1]
        assert len(found) == 6
    assert rows(lake, "SELECT DISTINCT split_part(place, '@', 1) FROM lake.rejects WHERE kind IS NULL") == [("readings/0",)]


def test_a_key_is_renewed_and_the_old_one_ended(topics: Topics, tmp_path: Path) -> None:
    lake, one = tmp_path / "lake", Node(tmp_path, "n1", topics)
    run(lake, topics.source())
    add(lake, one)
    old = one.key.with_name("old.pem")
    old.write_bytes(one.key.read_bytes())
    old.chmod(0o600)
    first = one.public
    one.write(3)
    one.renew()
    add(lake, one)
    one.write(2)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 5, 20_000)]
    with Committer(lake) as committer:
        keys.end(committer, "n1", first, T0 + 7_000)
    renewed, one.key = one.key, old
    one.write(4)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 7, 30_000)], "the old key holds for what was written down before its end"
    assert [why.partition(" is signed")[0] for why in reasons(lake)] == [f"node 'n1' has keys, and this record of {T0 + ms} ms" for ms in (7_000, 8_000)]
    one.key = renewed
    one.write(2)
    with Committer(lake) as committer:
        keys.waive(committer, "n1")
    one.write(1, signed=False)
    run(lake, topics.source())
    assert landed(lake) == [("n1", 10, 55_000)]
    assert len(reasons(lake)) == 2


def test_a_file_log_is_not_signed_and_is_taken_as_it_is(topics: Topics, tmp_path: Path) -> None:
    lake, one = tmp_path / "lake", Node(tmp_path, "n1", topics)
    run(lake, topics.source())
    add(lake, one)
    Log(tmp_path / "log").put("readings", [{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0, "energy_mj": 5}], node="n9")
    run(lake, tmp_path / "log")
    assert landed(lake) == [("n1", 1, 5)]
    assert reasons(lake) == []
