"""Which topics are silent while the brokers are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattlake_contracts.config import KafkaConfig
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kafkalog import link as link_module
from wattlake_contracts.kafkalog.lane import Lane
from wattlake_contracts.kafkalog.link import LONG_S, Link
from wattlake_contracts.kafkalog.producer import Outcome
from wattlake_contracts.log_address import KafkaLog
from wattlake_contracts.record import Meta


class Waiting:
    """Hands messages over to nobody: what becomes of them is said by hand."""

    def __init__(self, log: KafkaLog, config: KafkaConfig) -> None:
        self.outcomes: dict[str, list[Outcome]] = {}

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], outcome: Outcome) -> None:
        self.outcomes.setdefault(topic, []).append(outcome)


class Talk:
    """A link, a topic's records on their way by it, and a clock that is moved by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(link_module.time, "monotonic", lambda: self.now)
        with LogWriter(folder, "p") as spool:
            for number in range(8):
                spool.append(Meta("jobs", "n1", "b"), number, b"{}")
            spool.sync()
        self._lane = Lane(folder, "p", 0, None)
        self._made: list[Waiting] = []
        self.link = Link(KafkaLog(("x:1",)), KafkaConfig(), self._make, lambda: None)
        assert self.link.connect(self.now) == ""

    def _make(self, log: KafkaLog, config: KafkaConfig) -> Any:
        self._made.append(Waiting(log, config))
        return self._made[-1]

    def send(self, topic: str) -> None:
        stored = self._lane.take()
        assert stored is not None
        assert self.link.send(topic, self._lane, stored, self.now)

    def acknowledge(self, topic: str) -> None:
        """All that it has."""
        found = self._made[0].outcomes[topic]
        sent = len(found)
        while found:
            found.pop()(None)
        assert len(list(self.link.hear())) == sent > 0


def test_after_a_freeze_of_the_brokers_no_topic_is_blamed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(tmp_path, monkeypatch)
    for topic in ("jobs", "nodes"):
        talk.send(topic)
    talk.now += LONG_S + 40
    talk.acknowledge("nodes")
    assert talk.link.silent_s(talk.now) == 0.0
    assert talk.link.silent_topics(talk.now, 20.0) == []
    talk.now += 21
    talk.send("nodes")
    talk.acknowledge("nodes")
    assert talk.link.silent_topics(talk.now, 20.0) == ["jobs"], "but for what it does after it"


def test_a_topic_that_acknowledges_nothing_while_others_do_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(tmp_path, monkeypatch)
    talk.send("jobs")
    for _ in range(3):
        talk.send("nodes")
        talk.now += 1
        talk.acknowledge("nodes")
        talk.now += 9
    assert talk.link.silent_topics(talk.now, 20.0) == ["jobs"]
