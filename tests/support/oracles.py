"""What must hold whatever died: all that was accepted is in the lake exactly once, and what comes after the faults lands by itself."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from at_work import TooLongError
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

#: Fresh data lands within so many seconds after the faults stop.
LIVE_S = 30.0


def accepted(spools: Sequence[Path], damaged: int = 0) -> set[Identity]:
    """Every record that the spools have accepted; they must be large enough still to hold all, but for so many records that cannot be read."""
    found: list[Identity] = []
    lost = 0
    for root in spools:
        for name in partitions(root):
            first, end = bounds(root, name)
            assert first == 0, "the spool still holds all that was accepted"
            for item in read(root, name, first, end):
                if isinstance(item, Stored):
                    found.append((item.record.meta.node, item.record.meta.boot, item.record.seq))
                else:
                    lost += item.records
    assert lost == damaged
    assert len(found) == len(set(found)), "a spool gives no number twice"
    return set(found)


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
    #: (kind, place, reason) of each; what a spool cannot give comes to no topic, and is no reject there.
    rejects: list[tuple[object, ...]]


def _books(committer: Committer) -> _Books:
    parts = " UNION ALL ".join(f"SELECT '{table}', boot, seq, count(*) FROM lake.{table} GROUP BY ALL" for table in ("raw_readings", "raw_nodes", "raw_jobs"))
    return _Books(_seen(committer), dump_of(committer), committer.query(f"SELECT * FROM ({parts}) ORDER BY ALL").fetchall(),
                  committer.query("SELECT kind, place, reason FROM lake.rejects WHERE kind IS NOT NULL ORDER BY ALL").fetchall())


def check_conserved(lake: Path, topics: Topics, spools: Sequence[Path], folder: Path, *, rejected: int = 0, damaged: int = 0) -> None:
    """Ship and land what is left, and compare the lake with one that was made from the spools themselves, in peace.

    Then once more after upkeep, and once more after every record came a second time; and a new lake that reads all topics from their
    beginning has the same books. folder: to work in. rejected: how many rows are. damaged: how many records of the spools cannot be read.
    """
    for spool in spools:
        topics.ship(spool, damaged)
    for spool in spools:
        run(folder / "calm", spool, shipped=True)
    with Committer(folder / "calm") as committer:
        expected = _books(committer)
    assert expected.seen == accepted(spools, damaged)
    assert len(expected.rejects) == rejected

    def check(committer: Committer) -> None:
        assert _books(committer) == expected

    run(lake, topics.source(), shipped=True)
    with Committer(lake) as committer:
        check(committer)
        land(committer, topics.source(), round_bytes=2**28)
        account(committer)
        check(committer)
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
        check(committer)
    for number, spool in enumerate(spools):
        copy = shutil.copytree(spool, folder / f"again-{number}", ignore=shutil.ignore_patterns(cursor.CURSOR, LOCK))
        assert topics.ship(copy, damaged) == len(accepted([spool], damaged)), "all of it comes a second time"
    for one in (lake, folder / "anew"):
        run(one, topics.source(), shipped=True)
        with Committer(one) as committer:
            check(committer)


def latest_ms(lake: Path, node: str) -> int:
    """The latest reading of a node that the lake has; 0 if none. Reads beside the committer that is at work."""
    with open_lake(lake) as connection:
        found = connection.execute("SELECT max(ts_ms) FROM raw_readings WHERE node = ?", [node]).fetchone()
    return int(found[0] or 0) if found else 0


def check_alive(lake: Path, node: str, within_s: float = LIVE_S) -> float:
    """What is read from now on is in the lake within so many seconds, untouched by hand; give how many it took."""
    since_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    while latest_ms(lake, node) <= since_ms:
        if time.monotonic() - began >= within_s:
            raise TooLongError(f"nothing that is newer than {within_s:g} s has landed")
        time.sleep(0.5)
    return time.monotonic() - began
