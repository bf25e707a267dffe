"""What must hold whatever died: all that was accepted is in the lake exactly once, and what comes after the faults lands by itself."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from at_work import Agent, until_live
from lakes import dump_of, run
from topics import Topics
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.kafkalog.claim import LOCK
from wattlake_contracts.record import Stored
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify
from wattlake_pipelines.land.land import land
from wattlake_warehouse.lake import open_lake

Identity = tuple[str, str, int]

def accepted(spools: Sequence[Path], damaged: int = 0) -> set[Identity]:
    """Every record that the spools have accepted; they must be large enough still to hold all, but for so many records that cannot be read."""
    found: list[Identity] = []
    lost = 0
    for root in spools:
        assert all(bounds(root, name)[0] == 0 for name in partitions(root)), "the spool still holds all that was accepted"
        stored, unreadable = _stored(root)
        found += stored
        lost += unreadable
    assert lost == damaged
    assert len(found) == len(set(found)), "a spool gives no number twice"
    return set(found)


def held(root: Path) -> set[Identity]:
    """Every accepted record that a spool holds now, which may have deleted what was shipped; none of them may be damaged."""
    found, lost = _stored(root)
    assert lost == 0
    return set(found)


def _stored(root: Path) -> tuple[list[Identity], int]:
    """(what is accepted, how many records cannot be read)."""
    found: list[Identity] = []
    lost = 0
    for name in partitions(root):
        for item in read(root, name, *bounds(root, name)):
            if isinstance(item, Stored):
                found.append((item.record.meta.node, item.record.meta.boot, item.record.seq))
            else:
                lost += item.records
    return found, lost


def holes(landed: Set[Identity]) -> set[Identity]:
    """The records that are missing before others of the same life of a writer: each life numbers its own from 0 on, one by one."""
    lengths: dict[tuple[str, str], int] = {}
    for node, boot, seq in landed:
        lengths[node, boot] = max(lengths.get((node, boot), 0), seq + 1)
    return {(node, boot, seq) for (node, boot), length in lengths.items() for seq in range(length)} - landed


def check_whole(landed: Set[Identity], agents: Sequence[Agent]) -> None:
    """All that these agents ever accepted has landed, by their own count: no spool is asked, for it cannot tell what it has lost without a trace.

    No life of a writer lacks a record before its last one. Of a life that was killed at least as many have landed as it last said
    it had written, of one that was stopped exactly as many; and none gave anything up.
    """
    assert not holes(landed), "records are missing between others"
    counts = Counter((node, boot) for node, boot, _ in landed)
    for agent in agents:
        assert agent.lives, f"{agent.node} has said something"
        for boot, said in agent.lives.items():
            assert (said["lost_records"], said["lost_rows"]) == (0, 0), f"{agent.node} has lost something in {boot}: {said}"
            count, written = counts[agent.node, boot], said["records"]
            assert count == written if said["stopped_ms"] else count >= written, f"of {written} records that {agent.node} wrote in {boot}, {count} have landed"


def seen(lake: Path) -> set[Identity]:
    """Every record that the lake says it has landed; it must say so of none twice, and have no reading twice."""
    with Committer(lake) as committer:
        return _seen(committer)


def _seen(committer: Committer) -> set[Identity]:
    found = Counter((str(node), str(boot), seq) for node, boot, low, high in committer.query("SELECT node, boot, from_seq, to_seq FROM lake.seen").fetchall()
                    for seq in range(int(low), int(high)))
    assert all(count == 1 for count in found.values())
    [(given, distinct)] = committer.query("SELECT count(*), count(DISTINCT (node, device, epoch, ts_ms)) FROM lake.raw_readings").fetchall()
    assert given == distinct
    return set(found)


@dataclass(frozen=True)
class _Books:
    """All that two lakes of the same records have in common. rows: (table, boot, seq, rows) of each record."""

    seen: set[Identity]
    facts: dict[str, str]
    rows: list[tuple[object, ...]]
    #: (kind, place, reason) of each
    rejects: list[tuple[object, ...]]


def _books(committer: Committer, *, kindless: bool = False) -> _Books:
    """kindless: with the rejects that have no kind too; what a spool cannot give comes to no topic, and is no reject there."""
    parts = " UNION ALL ".join(f"SELECT '{table}', boot, seq, count(*) FROM lake.{table} GROUP BY ALL" for table in ("raw_readings", "raw_nodes", "raw_jobs"))
    return _Books(_seen(committer), dump_of(committer), committer.query(f"SELECT * FROM ({parts}) ORDER BY ALL").fetchall(),
                  committer.query(f"SELECT kind, place, reason FROM lake.rejects WHERE {kindless} OR kind IS NOT NULL ORDER BY ALL").fetchall())


def check_conserved(lake: Path, topics: Topics, spools: Sequence[Path], folder: Path, *, rejected: int = 0, damaged: int = 0,
                    others: Sequence[Path] = ()) -> None:
    """Ship and land what is left, and compare the lake with one that was made from the spools themselves, in peace.

    Then once more after upkeep, and once more after every record came a second time; and a new lake that reads all topics from their
    beginning has the same books. folder: to work in. rejected: how many rows are. damaged: how many records of the spools cannot be read.
    others: lakes that have landed from the same topics.
    """
    for spool in spools:
        topics.ship(spool, damaged)
    for spool in spools:
        run(folder / "calm", spool, shipped=True)
    with Committer(folder / "calm") as committer:
        expected = _books(committer)
    assert expected.seen == accepted(spools, damaged)
    assert len(expected.rejects) == rejected
    for one in (lake, *others):
        run(one, topics.source(), shipped=True)
        _check_kept(one, topics, expected)
    for number, spool in enumerate(spools):
        copy = shutil.copytree(spool, folder / f"again-{number}", ignore=shutil.ignore_patterns(cursor.CURSOR, LOCK))
        assert topics.ship(copy, damaged) == len(accepted([spool], damaged)), "all of it comes a second time"
    for one in (lake, *others, folder / "anew"):
        run(one, topics.source(), shipped=True)
        with Committer(one) as committer:
            assert _books(committer) == expected


def check_kept(lake: Path, topics: Topics, folder: Path, anew: Callable[[Path], None] | None = None) -> None:
    """What a lake has landed of topics that hold what no spool has given stays as it is when it is run again and after upkeep.

    And a new lake that reads all topics from their beginning has the same books, each reject at its place. folder: to work in.
    anew: makes the new lake, where there is something to do before it lands.
    """
    run(lake, topics.source(), shipped=True)
    with Committer(lake) as committer:
        expected = _books(committer, kindless=True)
    _check_kept(lake, topics, expected, kindless=True)
    fresh = folder / "anew"
    if anew is not None:
        anew(fresh)
    run(fresh, topics.source(), shipped=True)
    with Committer(fresh) as committer:
        assert _books(committer, kindless=True) == expected


def _check_kept(lake: Path, topics: Topics, expected: _Books, *, kindless: bool = False) -> None:
    """A lake has these books: now, after another run, and after all that may be deleted is."""
    with Committer(lake) as committer:
        assert _books(committer, kindless=kindless) == expected
        land(committer, topics.source(), round_bytes=2**28)
        account(committer)
        assert _books(committer, kindless=kindless) == expected
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
        assert _books(committer, kindless=kindless) == expected


def latest_ms(lake: Path, node: str) -> int:
    """The latest reading of a node that the lake has; 0 if none. Reads beside the committer that is at work."""
    with open_lake(lake) as connection:
        found = connection.execute("SELECT max(ts_ms) FROM raw_readings WHERE node = ?", [node]).fetchone()
    return int(found[0] or 0) if found else 0


def check_alive(lakes: Sequence[Path], nodes: Sequence[str]) -> float:
    """What these nodes read from now on is in each of the lakes in time, untouched by hand; give how many seconds it took."""
    since_ms = time.time_ns() // 1_000_000
    left = [(lake, node) for lake in lakes for node in dict.fromkeys(nodes)]

    def landed() -> bool:
        left[:] = [(lake, node) for lake, node in left if latest_ms(lake, node) <= since_ms]
        return not left

    return until_live(landed, "fresh data landed")
