"""Agents that sign, and somebody with the right to write who speaks in a node's name all the while: nothing of it counts, and nothing true is lost."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from at_work import WATTLAKE, until
from lakes import dump, rows, run
from oracles import accepted, check_kept, seen
from topics import Topics
from wattlake_contracts.kafkalog.message import Place, from_message, to_message
from wattlake_contracts.kafkalog.outbox import ship
from wattlake_contracts.kafkalog.security import connection
from wattlake_contracts.kafkalog.signature import signature_of
from wattlake_contracts.kafkalog.signing import Signer, public_key
from wattlake_contracts.record import Record
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.lake.committer import Committer


class Forger(threading.Thread):
    """Whoever may write to the topic of readings: for each record that a node sends it sends three false ones, and a true one again.

    forged: how many false ones are on the topic. signers: the public keys that the node has signed with.
    """

    def __init__(self, topics: Topics, node: str) -> None:
        super().__init__(daemon=True)
        self.topics, self.node = topics, node
        self.stop, self.forged, self.signers = threading.Event(), 0, list[bytes]()
        self._key, self._done = Signer(Ed25519PrivateKey.generate()), set[int]()

    def run(self) -> None:
        """Go on until `stop`."""
        here = TopicPartition(self.topics.prefix + "readings", 0)
        keywords = connection(self.topics.log, self.topics.config)
        with closing(KafkaConsumer(**keywords, group_id=None)) as consumer, closing(KafkaProducer(**keywords)) as producer:
            consumer.assign([here])
            consumer.seek(here, 0)
            while not self.stop.is_set():
                for message in consumer.poll(500).get(here, ()):
                    record = from_message(Place("readings", "g", 0, message.offset, 0), message.key, message.value, message.headers)
                    found = signature_of(message.headers)
                    if record.meta.node != self.node or found is None or found[0] == self._key.public or record.seq in self._done or message.value[-1:] == b"!":
                        continue
                    self._done.add(record.seq)
                    if found[0] not in self.signers:
                        self.signers.append(found[0])
                    # of the numbers that the node gives to its next records: unsigned, signed by another, and altered
                    ahead = Record(record.meta, record.seq + 1, record.appended_ms, message.value)
                    later = Record(record.meta, record.seq + 2, record.appended_ms, message.value)
                    for key, value, headers in (to_message(ahead), (*to_message(later)[:2], [*to_message(later)[2], self._key.header(later)]),
                                                (message.key, message.value + b"!", message.headers)):
                        producer.send(here.topic, key=key, value=value, headers=headers, partition=0)
                        self.forged += 1
                    producer.send(here.topic, key=message.key, value=message.value, headers=message.headers, partition=0)
                producer.flush(30)

    def end(self) -> None:
        """Stop, with all that it has sent on the topic."""
        self.stop.set()
        self.join(60)
        assert not self.is_alive()


@pytest.mark.slow
def test_two_agents_that_sign_beside_a_forger_and_a_key_that_is_renewed(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], tmp_path: Path) -> None:
    topics = Topics(kafka.address, topic_prefix, partitions=1)
    here = world(topics)

    def wattlake(*arguments: str) -> str:
        done = subprocess.run([WATTLAKE, *arguments], env=here.follower.environment, cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def key(*arguments: str, lake: Path = here.lake) -> None:
        wattlake("lake", "key", *arguments, "--lake", str(lake))

    public = {node: wattlake("log", "key", f"{node}.pem") for node in ("n1", "n2", "next")}
    run(here.lake, topics.source(), shipped=True)
    for node in ("n1", "n2"):
        key("add", node, public[node])
        here.agent(node, environment={"WATTLAKE_KAFKA_SIGNING_KEY_FILE": str(tmp_path / f"{node}.pem")})
    forger = Forger(topics, "n1")
    forger.start()
    here.follow()
    here.alive()
    until(lambda: forger.forged >= 9, "it has forged some", 120)

    # beside the follower, which takes it from the next round on
    key("add", "n1", public["next"])
    (tmp_path / "next.pem").rename(tmp_path / "n1.pem")
    until(lambda: forger.signers == [public_key(public["n1"]), public_key(public["next"])], "the agent signs with the other key", 120)
    here.alive()

    here.stop()
    forger.end()
    key("end", "n1", public["n1"])
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    spools = [agent.spool for agent in here.agents]
    for agent in here.agents:
        ship(agent.spool, topics.log, msgspec.structs.replace(topics.config, signing_key_file=str(tmp_path / f"{agent.node}.pem")))
        run(tmp_path / "calm", agent.spool, shipped=True)
    run(here.lake, topics.source(), shipped=True)
    assert seen(here.lake) == accepted(spools) == seen(tmp_path / "calm")
    assert dump(here.lake) == dump(tmp_path / "calm")
    told = rows(here.lake, "SELECT reason LIKE 'node ''n1'' has keys, and this record %', count(*) FROM lake.rejects GROUP BY ALL")
    assert told == [(True, forger.forged)], rows(here.lake, "SELECT DISTINCT reason FROM lake.rejects")

    def anew(lake: Path) -> None:
        """A lake that is told the keys before it lands anything, the one that was renewed with its end."""
        Committer(lake).close()
        for owner, name in (("n1", "n1"), ("n1", "next"), ("n2", "n2")):
            key("add", owner, public[name], lake=lake)
        key("end", "n1", public["n1"], lake=lake)

    check_kept(here.lake, topics, tmp_path, anew)
