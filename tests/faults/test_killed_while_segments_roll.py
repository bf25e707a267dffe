"""An agent killed with -9 again and again whose spool begins a new segment about every second, and deletes the old ones once they are shipped.

Some of its lives are cut off from all brokers: what such a one has accepted is in the spool and nowhere else when it is killed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import Agent, until
from oracles import Identity, check_kept, check_whole, held, seen
from topics import Topics
from wattlake_contracts.filelog.format import encode_meta, encode_record
from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Meta
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import free_ports

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


def tear(spool: Path, partition: str) -> None:
    """Leave the first half of one more record at the spool's end, as a kill in the middle of a write does."""
    next_record = encode_record(encode_meta(Meta("nodes", "n1", "torn")), bytes(1000), bounds(spool, partition)[1], 0, 1_760_000_000_000)
    with segments(spool / partition)[-1][1].open("ab") as last:
        last.write(next_record[: len(next_record) // 2])


@pytest.mark.slow
def test_an_agent_killed_while_its_spool_rolls_and_deletes_segments_loses_and_doubles_nothing(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                             tmp_path: Path) -> None:
    topics, sys_root = Topics(kafka.address, topic_prefix), tmp_path / "sys"
    processors(sys_root)
    here = world(topics)
    agent = here.agent(flush_s=0.25, environment={
        "WATTLAKE_AGENT_READERS": "rapl", "WATTLAKE_AGENT_SYS_ROOT": str(sys_root), "WATTLAKE_AGENT_SPOOL_MAX_MIB": str(_SPOOL_MIB)})
    cut_off = Agent(tmp_path, "n1", f"kafka:127.0.0.1:{free_ports(1)[0]}", agent.environment, spool=agent.spool, flush_s=0.25)
    chance, begun, partition = random.Random(5), set(), "agent.n1"
    folder, durable, at_risk = agent.spool / partition, set[Identity](), list[int]()

    def bases() -> set[int]:
        return {base for base, _ in segments(folder)} if folder.exists() else set()

    def rolls() -> bool:
        fresh = bases() - begun
        begun.update(fresh)
        return bool(fresh - {0})

    def in_the_last_segment() -> int:
        return sum(1 for _ in read(agent.spool, partition, max(bases()), bounds(agent.spool, partition)[1]))

    def kill(one: Agent) -> None:
        one.kill()
        begun.update(bases())

    def live_cut_off() -> None:
        """A life that no broker answers, killed once it has accepted records in a new segment."""
        cut_off.start()
        try:
            until(rolls, "a new segment", every_s=0.001)
            until(lambda: in_the_last_segment() > 1, "records in it", every_s=0.01)
            kill(cut_off)
        finally:
            cut_off.end()
        at_risk.append(in_the_last_segment())
        durable.update(held(agent.spool))

    for number in range(KILLS):
        until(rolls, "a new segment", every_s=0.001)
        # every other time at once: the new segment is there, and nothing tells of it yet
        if number % 2 == 0:
            kill(agent)
        else:
            until(lambda: agent.beat()["pid"] == agent.process.pid and agent.beat()["shipping"]["acked_records"], "it ships")
            until(lambda: agent.beat()["shipping"]["backlog_records"] <= 4, "there is room in the spool")
            time.sleep(chance.uniform(0, 1))
            kill(agent)
            live_cut_off()
            if number % 4 == 1:
                tear(agent.spool, partition)
        agent.start()
    assert sum(count > 1 for count in at_risk) > 1, f"records that only the last segment had: {at_risk}"
    until(lambda: agent.beat()["pid"] == agent.process.pid and agent.beat()["shipping"]["acked_records"], "it ships")
    here.follow()
    here.alive()
    until(lambda: agent.beat()["shipping"]["backlog_records"] <= 4, "nothing waits for long")
    here.stop()
    assert len(begun) > KILLS, "segments rolled in each life"
    assert min(bases()) > 0, "what was shipped is deleted"
    topics.ship(agent.spool)
    check_kept(here.lake, topics, tmp_path)
    landed = seen(here.lake)
    assert durable <= landed, "what was accepted while no broker answered"
    check_whole(landed, [agent, cut_off])
    assert len(agent.lives) > KILLS // 2, "lives have said how much they had written"
