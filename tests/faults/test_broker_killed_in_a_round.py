"""A broker that dies while a follower reads from it, and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from at_work import until, until_live
from lakes import rows
from logs import Log
from oracles import check_conserved
from topics import Topics
from wattlake_contracts.amount import amount
from wattlake_contracts.layout import STAGING
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.land.pipeline import SEEN_FILE

T0 = 1_760_000_000_000
#: A follower that waits for an answer without asking whether anybody is there waits for a minute.
TOLD_S = 40


@pytest.mark.slow
def test_a_follower_tells_soon_that_the_broker_is_gone_and_goes_on_when_it_is_back(own_kafka: Callable[..., Kafka], topic_prefix: str,
                                                                                   world: Callable[..., Any]) -> None:
    kafka = own_kafka()
    [broker] = kafka.brokers
    topics = Topics(kafka.address, topic_prefix)
    here = world(topics)
    log, follower, shipped = Log(here.folder / "log"), here.follower, 0

    def ship(count: int) -> None:
        nonlocal shipped
        log.put_each("readings", [[{"node": "n1", "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + 1000 * i, "energy_mj": 5000 * i}]
                                  for i in range(shipped, shipped + count)], node="n1")
        shipped += count
        topics.ship(log.root)

    def landed() -> bool:
        return f"{amount(shipped, 'row')} of {amount(shipped, 'record')}" in follower.said.read_text()

    ship(1)
    here.follow()
    until(landed, "the first one lands")
    for _ in range(2):
        until(lambda: not any((here.lake / STAGING).glob("*")), "no round is under way")
        told = follower.said.read_text().count("no broker answers")
        # all of it is for one round
        follower.process.send_signal(signal.SIGSTOP)
        ship(2_000)
        follower.process.send_signal(signal.SIGCONT)
        until(lambda: any((here.lake / STAGING).glob(f"*/{SEEN_FILE}")), "a round is under way")
        broker.kill()
        died = time.monotonic()
        until(lambda: follower.said.read_text().count("no broker answers") > told, "it tells that nobody answers", TOLD_S)  # noqa: B023
        print(f"told after {time.monotonic() - died:.1f} s")
        broker.restart(120)
        ship(1)
        until_live(landed, "what is fresh landed")
    assert follower.stop() == 0, follower.said.read_text()[-3000:]
    assert rows(here.lake, "SELECT count(*), count(DISTINCT ts_ms) FROM lake.raw_readings") == [(shipped, shipped)]
    assert rows(here.lake, "FROM lake.rejects") == []
    check_conserved(here.lake, topics, [log.root], here.folder)
