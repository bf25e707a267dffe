"""A spool whose files are damaged while nobody looks: what is lost is told with its place and counted, all else arrives once and as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import Agent, until
from lakes import rows
from oracles import Identity, check_conserved, holes
from topics import Topics
from wattlake_contracts.amount import amount
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.format import HEADER_BYTES
from wattlake_contracts.filelog.partition import segments
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Stored
from wattlake_pipelines.dev.kafka import Kafka
from wattlake_pipelines.dev.ports import free_ports
from wattlake_warehouse.lake import open_lake

PARTITION = "agent.n1"


def stored(spool: Path) -> list[tuple[Identity, int, int]]:
    """(identity, begin, end) of each record of the one segment, in bytes."""
    found, begin = [], 0
    for item in read(spool, PARTITION, *bounds(spool, PARTITION)):
        assert isinstance(item, Stored), item
        found.append(((item.record.meta.node, item.record.meta.boot, item.record.seq), begin, item.end))
        begin = item.end
    return found


def damage(segment: Path, records: list[tuple[Identity, int, int]]) -> list[tuple[int, set[Identity]]]:
    """Damage some of these records in ways that disks do; (first byte, the records that are lost with it) of each place."""
    raw = bytearray(segment.read_bytes())
    body, header, torn, last = (records[i] for i in (1, 4, 7, -1))
    raw[body[1] + HEADER_BYTES + 50] ^= 1 << 3
    raw[header[1] + 9] ^= 1
    # a sector of zeros that begins within a record and ends within the next
    follower = records[8]
    raw[torn[2] - 20 : follower[1] + 20] = bytes(40)
    # blocks that never reached the disk: the end of the file is zeros
    raw[last[1] + 10 :] = bytes(len(raw) - last[1] - 10)
    segment.write_bytes(raw)
    return [(body[1], {body[0]}), (header[1], {header[0]}), (torn[1], {torn[0], follower[0]}), (last[1], {last[0]})]


@pytest.mark.slow
def test_a_spool_that_was_damaged_while_its_agent_was_dead_loses_what_is_told_and_nothing_else(kafka: Kafka, topic_prefix: str, world: Callable[..., Any],
                                                                                             tmp_path: Path) -> None:
    here = world(Topics(kafka.address, topic_prefix))
    agent = here.agent()
    here.follow()
    agent.kill()
    # nobody takes what it reads now
    cut_off = Agent(tmp_path, "n1", f"kafka:127.0.0.1:{free_ports(1)[0]}", here.environment, spool=agent.spool)
    here.agents.append(cut_off)
    shipped = bounds(agent.spool, PARTITION)[1]
    cut_off.start()
    until(lambda: bounds(agent.spool, PARTITION)[1] >= shipped + 12, "records wait in the spool")
    cut_off.kill()
    here.agents.remove(cut_off)
    written = stored(agent.spool)
    [(_, segment)] = segments(agent.spool / PARTITION)
    lost = damage(segment, written[shipped:])
    # the shipper's own book is no good either: it begins anew, and what was shipped counts once
    book = agent.spool / PARTITION / cursor.CURSOR
    book.write_bytes(book.read_bytes().replace(b"[", b"\0"))

    agent.start()
    here.alive()
    gone = set().union(*(identities for _, identities in lost))
    until(lambda: agent.status()[0]["records_damaged"] == len(gone), "what is lost is counted")
    until(lambda: agent.status()[0]["backlog_records"] <= 2, "all else is sent")
    expected = [f"{PARTITION}/{segment.name} from byte {at} ({len(identities)})" for at, identities in lost]

    def told() -> str:
        with open_lake(here.lake) as connection:
            found = connection.execute("SELECT string_agg(detail, ' ') FROM raw_nodes WHERE event = 'records_lost'").fetchone()
        return str(found[0]) if found else ""

    until(lambda: all(place in told() for place in expected), f"each place is told: {expected}")
    assert f"{amount(len(gone), 'record')} of the spool could not be read" in told()
    assert agent.stop() == 0
    assert here.follower.stop() == 0, here.follower.said.read_text()[-3000:]
    check_conserved(here.lake, here.topics, [agent.spool], tmp_path, damaged=len(gone))
    landed = rows(here.lake, "SELECT node, boot, from_seq, to_seq FROM lake.seen")
    found = {(node, boot, seq) for node, boot, low, high in landed for seq in range(int(str(low)), int(str(high)))}
    assert {identity for identity, _, _ in written} - found == gone
    assert holes(found) <= gone, "nor does what was written after the damage lack anything"
