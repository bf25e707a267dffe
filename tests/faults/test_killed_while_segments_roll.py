"""An agent killed with -9 again and again whose spool begins a new segment about every second, and deletes the old ones once they are shipped."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until
from lakes import run
from oracles import check_whole, seen
from topics import Topics
from wattlake_contracts.filelog.partition import segments
from wattlake_pipelines.dev.kafka import Kafka

KILLS = 8
#: Segments are an eighth of the spool: 1 MiB.
_SPOOL_MIB = 8
#: Devices whose names are that long: a name stands in each of ten readings a second.
_DEVICES, _NAME_BYTES = 12, 10_000


def processors(sys_root: Path) -> None:
    """Powercap zones of these devices."""
    for number in range(_DEVICES):
        zone = sys_root / "class" / "powercap" / f"intel-rapl:{number}"
        zone.mkdir(parents=True)
        (zone / "name").write_text(f"package-{number:0{_NAME_BYTES}}\n")
        (zone / "energy_uj").write_text("5000000\n")


@pytest.mark.slow
def test_an_agent_killed_while_its_spool_rolls_and_deletes_segments_loses_and_doubles_nothing(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                             tmp_path: Path) -> None:
    topics, sys_root = Topics(kafka.address, topic_prefix), tmp_path / "sys"
    processors(sys_root)
    here = world(topics)
    agent = here.agent(flush_s=0.25, environment={
        "WATTLAKE_AGENT_READERS": "rapl", "WATTLAKE_AGENT_SYS_ROOT": str(sys_root), "WATTLAKE_AGENT_SPOOL_MAX_MIB": str(_SPOOL_MIB)})
    chance, begun = random.Random(5), set()
    folder = agent.spool / "agent.n1"

    def bases() -> set[int]:
        return {base for base, _ in segments(folder)} if folder.exists() else set()

    def rolls() -> bool:
        fresh = bases() - begun
        begun.update(fresh)
        return bool(fresh - {0})

    for kill in range(KILLS):
        until(rolls, "a new segment", every_s=0.001)
        # every other time at once: the new segment is there, and nothing tells of it yet
        if kill % 2:
            until(lambda: agent.beat()["pid"] == agent.process.pid and agent.beat()["shipping"]["acked_records"], "it ships")
            time.sleep(chance.uniform(0, 1))
        agent.kill()
        begun |= bases()
        agent.start()
    until(lambda: agent.beat()["pid"] == agent.process.pid and agent.beat()["shipping"]["acked_records"], "it ships")
    until(lambda: agent.beat()["shipping"]["backlog_records"] <= 4, "nothing waits for long")
    assert agent.stop() == 0, agent.said.read_text()[-3000:]
    assert len(begun) > KILLS, "segments rolled in each life"
    assert min(bases()) > 0, "what was shipped is deleted"
    topics.ship(agent.spool)
    run(here.lake, topics.source(), shipped=True)
    check_whole(seen(here.lake), [agent])
    assert len(agent.lives) > KILLS // 2, "lives have said how much they had written"
