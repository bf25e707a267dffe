"""A follower's accounting in portions: the newest days first, all of it in the end, and the facts of accounting at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from books import Books
from lakes import dump, dump_of, run
from logs import Log
from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_pipelines.account.account import account
from wattlake_pipelines.account.dirty import Dirty
from wattlake_pipelines.account.portion import DAY_READINGS, portion
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.land.land import land
from wattlake_pipelines.land.read_range import shard_of

T0 = 1_760_054_400_000
HOURS = st.sets(st.tuples(st.sampled_from(["n1", "n2", "n3"]), st.integers(0, 100).map(lambda hour: hour * HOUR_MS)), max_size=40)


def _table(hours: set[tuple[str, int]]) -> pa.Table:
    ordered = sorted(hours)
    return pa.table({"node": pa.array([node for node, _ in ordered], pa.string()), "hour_ms": pa.array([hour for _, hour in ordered], pa.int64())})


def _hours(rows: pa.Table) -> set[tuple[str, int]]:
    return set(zip(rows["node"].to_pylist(), rows["hour_ms"].to_pylist(), strict=True))


@given(HOURS, HOURS, st.integers(1, 3), st.integers(1, 8))
def test_a_portion_is_the_newest_days_and_its_marks_are_the_rest(energy: set[tuple[str, int]], others: set[tuple[str, int]], shards: int, days: int) -> None:
    emissions = energy | others
    with tempfile.TemporaryDirectory() as name:
        books = Books(Path(name), shards)
        now, marks = portion(books.connection, Dirty(_table(energy), _table(emissions), 7, frozenset({"jobs"})), shards, days * DAY_READINGS)
        books.connection.close()
    # the obvious way: day by day, each shard's share at the least that one takes
    taken: set[int] = set()
    left = days
    for day in sorted({hour // DAY_MS for _, hour in emissions}, reverse=True):
        left -= len({shard_of(node, shards) for node, hour in emissions if hour // DAY_MS == day})
        if taken and left < 0:
            break
        taken.add(day)
    assert _hours(now.energy) == {each for each in energy if each[1] // DAY_MS in taken}
    assert _hours(now.emissions) == {each for each in emissions if each[1] // DAY_MS in taken}
    assert (now.consumed, now.causes) == (7, {"jobs"})
    marked = [(cause, (key, hour)) for cause, key, low, high in marks for hour in range(low, high, HOUR_MS)]
    assert len(marked) == len(set(marked))
    assert {each for cause, each in marked if cause == "energy"} == {each for each in energy if each[1] // DAY_MS not in taken}
    assert {each for cause, each in marked if cause == "emissions"} == {each for each in emissions if each[1] // DAY_MS not in taken}


def _told(log: Log, node: str, day: int) -> None:
    """An hour and a half of a device, read each minute."""
    log.put("readings", [{"node": node, "device": "gpu0", "device_kind": "gpu", "ts_ms": T0 + day * DAY_MS + 60_000 * i,
                          "energy_mj": 5_000_000 * day + 6000 * i} for i in range(90)], node=node)


def test_days_told_late_wait_for_what_is_new_and_come_to_the_same(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for day in range(5):
        _told(log, "n1", day)
    run(tmp_path / "whole", log.root)
    with Committer(tmp_path / "lake") as committer:
        land(committer, log.root, round_bytes=2**20)
        for left in (4, 3, 2):
            assert account(committer, readings=1).waits
            days = [day for (day,) in committer.query(f"SELECT DISTINCT start_ms // {DAY_MS} FROM lake.fact_energy ORDER BY 1").fetchall()]
            assert days == [T0 // DAY_MS + day for day in range(left, 5)]
        # what comes meanwhile is not held up, and what waits is not forgotten
        _told(log, "n2", 4)
        land(committer, log.root, round_bytes=2**20)
        assert account(committer, readings=1).waits
        assert committer.query("SELECT count(*) > 0 FROM lake.fact_energy WHERE node = 'n2'").fetchall() == [(True,)]
        # and whoever accounts for all of it does
        assert not account(committer).waits
        assert account(committer).elements == 0
        found = dump_of(committer)
    run(tmp_path / "whole", log.root)
    assert found == dump(tmp_path / "whole")
