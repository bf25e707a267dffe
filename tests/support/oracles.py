"""What must hold whatever died: all that was accepted is in the lake exactly once, and what comes after the faults lands by itself."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lakes import dump, rows, run
from topics import Topics
from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.kafkalog.shipping import LOCK
from wattlake_contracts.record import Stored
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify
from wattlake_warehouse.lake import open_lake

Identity = tuple[str, str, int]

#: Fresh data lands within so many seconds after the faults stop.
LIVE_S = 30.0


def accepted(spools: Sequence[Path]) -> set[Identity]:
    """Every record that the spools have accepted; they must be large enough still to hold all."""
    found: list[Identity] = []
    for root in spools:
        for name in partitions(root):
            first, end = bounds(root, name)
            assert first == 0, "the spool still holds all that was accepted"
            for item in read(root, name, first, end):
                assert isinstance(item, Stored), item
                found.append((item.record.meta.node, item.record.meta.boot, item.record.seq))
    assert len(found) == len(set(found)), "a spool gives no number twice"
    return set(found)


def seen(lake: Path) -> set[Identity]:
    """Every record that the lake says it has landed; it must say so of none twice."""
    found = Counter((str(node), str(boot), seq) for node, boot, low, high in rows(lake, "SELECT node, boot, from_seq, to_seq FROM lake.seen")
                    for seq in range(int(str(low)), int(str(high))))
    assert all(count == 1 for count in found.values())
    return set(found)


def check_once(lake: Path) -> None:
    """No reading is in the lake twice."""
    count = "SELECT count(*), count(DISTINCT (node, device, epoch, ts_ms)) FROM lake.raw_readings"
    [(given, distinct)] = rows(lake, count)
    assert given == distinct


def check_conserved(lake: Path, topics: Topics, spools: Sequence[Path], folder: Path, *, rejected: int = 0) -> None:
    """Ship and land what is left, and compare the lake with one that was made from the spools themselves, in peace.

    Then once more after upkeep, and once more after every record came a second time. folder: to work in. rejected: how many rows are.
    """
    for spool in spools:
        topics.ship(spool)
    run(lake, topics.source(), shipped=True)
    calm = folder / "calm"
    for spool in spools:
        run(calm, spool, shipped=True)
    expected, facts = accepted(spools), dump(calm)

    def check() -> None:
        assert seen(lake) == expected
        assert dump(lake) == facts
        check_once(lake)
        told = rows(lake, "SELECT kind, place, reason FROM lake.rejects ORDER BY ALL")
        assert told == rows(calm, "SELECT kind, place, reason FROM lake.rejects ORDER BY ALL")
        assert len(told) == rejected
        for table in ("raw_readings", "raw_nodes", "raw_jobs"):
            parts = f"SELECT boot, seq, count(*) FROM lake.{table} GROUP BY ALL ORDER BY ALL"
            assert rows(lake, parts) == rows(calm, parts)

    check()
    run(lake, topics.source())
    check()
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
    check()
    for number, spool in enumerate(spools):
        copy = shutil.copytree(spool, folder / f"again-{number}", ignore=shutil.ignore_patterns(cursor.CURSOR, LOCK))
        assert topics.ship(copy) == len(accepted([spool])), "all of it comes a second time"
    run(lake, topics.source())
    check()


def latest_ms(lake: Path, node: str) -> int:
    """The latest reading of a node that the lake has; 0 if none. Reads beside the committer that is at work."""
    with open_lake(lake) as connection:
        found = connection.execute("SELECT max(ts_ms) FROM raw_readings WHERE node = ?", [node]).fetchone()
    return int(found[0] or 0) if found else 0


def check_alive(lake: Path, node: str, within_s: float = LIVE_S) -> float:
    """What is read from now on is in the lake within so many seconds, untouched by hand; give how many it took."""
    since_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    while latest_ms(lake, node) <= since_ms:
        assert time.monotonic() - began < within_s, f"nothing that is newer than {within_s:g} s has landed"
        time.sleep(0.5)
    return time.monotonic() - began
