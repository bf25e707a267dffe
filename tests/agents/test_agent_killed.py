"""SIGKILL at any time: what was accepted stays, each record once, and the counters make up for the rest."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lakes import rows as rows_of
from lakes import run
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.verify import verify

KILLS = 50
Identity = tuple[str, str, int]


class Growing:
    """Raises a zone's counter all the time, past its wrap, and knows the true sum."""

    def __init__(self, zone: Any, begin_uj: int, range_uj: int, step_uj: int) -> None:
        self.zone, self.true_uj, self.range_uj, self.step_uj = zone, begin_uj, range_uj, step_uj
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.true_uj += self.step_uj
            self.zone.set(self.true_uj % (self.range_uj + 1))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.slow
def test_killed_fifty_times_nothing_accepted_is_lost_or_doubled(machine: Any, state: Path, tmp_path: Path, wattlake: Path,
                                                                log_book: Any) -> None:
    # 100 W over the test, 1 J at a time; the counter wraps after 20 s
    begin_uj = machine.RANGE_UJ - 2_000_000_000
    zone = machine.zone("intel-rapl:0", "package-0", begin_uj, constraint_0_max_power_uw=2_000_000_000)
    growing = Growing(zone, begin_uj, machine.RANGE_UJ, 1_000_000)
    log, lake = tmp_path / "log", tmp_path / "lake"
    book = log_book(log)
    #: what was durable before each kill
    durable: dict[Identity, bytes] = {}
    chance = random.Random(7)
    command = [wattlake, "agent", "run", "--log", f"file:{log}", "--interval", "0.05", "--flush", "0.1"]
    accepted = 0
    for kill in range(KILLS):
        agent = subprocess.Popen(command, env=machine.environment(state), stderr=subprocess.DEVNULL, cwd=tmp_path)
        _await_growth(log, accepted)
        time.sleep(chance.random() * 0.4)
        before = by_identity(book)
        agent.kill()
        assert agent.wait() == -signal.SIGKILL
        if chance.random() < 0.3:
            # the torn tail of a write that the kill has cut
            last = max((log / "agent.n1").glob("*.wlog"))
            with last.open("ab") as file:
                file.write(b"WLR1" + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 80))))
        accepted = _size(log)
        assert before.keys() >= durable.keys(), "what an earlier life left is still there"
        durable |= before
        if kill == KILLS // 2:
            run(lake, log)
    agent = subprocess.Popen(command, env=machine.environment(state), stderr=subprocess.DEVNULL, cwd=tmp_path)
    _await_growth(log, accepted)
    growing.stop()
    time.sleep(0.3)
    agent.terminate()
    assert agent.wait(60) == 0

    records = book.records()  # fails on damage
    final = by_identity(book)
    assert len(final) == len(records)
    assert {identity: final.get(identity) for identity in durable} == durable
    assert len({record.meta.boot for record in records}) == KILLS + 1
    rows = book.rows("readings")
    assert len({row["epoch"] for row in rows}) == 1, "the counter never restarted, so its epoch never ended"
    assert all(a["ts_ms"] < b["ts_ms"] and a["energy_mj"] <= b["energy_mj"] for a, b in pairwise(rows))
    assert rows[0]["energy_mj"] >= begin_uj // 1000
    assert rows[-1]["energy_mj"] == growing.true_uj // 1000, "over all kills and the wrap not a millijoule is missing"
    assert growing.true_uj > machine.RANGE_UJ

    run(lake, log)
    said = {(r.meta.kind, r.meta.boot, r.seq): len(book.decode(r)) for r in records}
    energy = [(rows[-1]["energy_mj"] - rows[0]["energy_mj"],)]
    assert (in_lake(lake), energy_in(lake)) == (said, energy)
    with Committer(lake) as committer:
        maintain(committer, keep_days=0)
        assert verify(committer)[1] == []
    assert (in_lake(lake), energy_in(lake)) == (said, energy)
    for again in (log, shutil.copytree(log, tmp_path / "carried over")):
        run(lake, again)
        assert (in_lake(lake), energy_in(lake)) == (said, energy), "what has landed does not land again"


def by_identity(book: Any) -> dict[Identity, bytes]:
    """All that a reader of the log is given now."""
    return {(r.meta.node, r.meta.boot, r.seq): bytes(r.payload) for r in book.records()}


def in_lake(lake: Path) -> dict[tuple[str, str, int], int]:
    """(kind, boot, seq) -> rows, of every record of which the lake has rows."""
    kinds = ("readings", "nodes")
    found = rows_of(lake, " UNION ALL ".join(f"SELECT '{kind}', boot, seq, count(*) FROM lake.raw_{kind} GROUP BY ALL" for kind in kinds))
    return {(str(kind), str(boot), int(str(seq))): int(str(count)) for kind, boot, seq, count in found}


def energy_in(lake: Path) -> list[tuple[object, ...]]:
    return rows_of(lake, "SELECT sum(energy_mj)::BIGINT FROM lake.fact_energy")


def _await_growth(log: Path, size: int) -> None:
    """Until the agent has written beyond that size."""
    deadline = time.monotonic() + 90
    while _size(log) <= size:
        assert time.monotonic() < deadline, "the agent writes nothing"
        time.sleep(0.005)


def _size(log: Path) -> int:
    return sum(path.stat().st_size for path in log.glob("agent.n1/*.wlog"))
