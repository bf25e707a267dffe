"""Which embodied days are made: told in pieces or at once, the same."""

from __future__ import annotations

from pathlib import Path

from lakes import dump, rows, run
from logs import Log
from wattlake_pipelines.account.account import account
from wattlake_pipelines.lake.committer import Committer

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_760_054_400_000 // DAY * DAY

_MACHINE = {"node": "n", "site": "s", "sku": "box", "valid_from_ms": T0}
_SERVED = {"model": "m", "ts_ms": T0 + 30 * HOUR, "epoch": "e", "requests": 0, "tokens_in": 0, "tokens_out": 0}


def test_a_machine_known_before_any_instant_accrues_from_its_beginning(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("nodes", [_MACHINE])
    log.put("embodied", [{"sku": "box", "embodied_ug": 8_760_000_000, "life_years": 1.0}])
    run(tmp_path / "lake", log.root)
    assert rows(tmp_path / "lake", "SELECT count(*) FROM lake.fact_embodied") == [(0,)]
    log.put("serving", [_SERVED])  # the first instant that the lake hears of: 30 hours on
    run(tmp_path / "lake", log.root)
    assert rows(tmp_path / "lake", "SELECT start_ms, end_ms, embodied_ug FROM lake.fact_embodied ORDER BY ALL") == [
        (T0, T0 + DAY, 24_000_000), (T0 + DAY, T0 + 2 * DAY, 6_000_000)]
    run(tmp_path / "again", log.root)
    assert dump(tmp_path / "again") == dump(tmp_path / "lake")


def test_a_machine_told_of_again_does_not_begin_a_new_life(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("embodied", [{"sku": "box", "embodied_ug": 36_500_000, "life_years": 0.1}])
    log.put("nodes", [_MACHINE])
    log.put("nodes", [{**_MACHINE, "valid_from_ms": T0 + 20 * DAY, "event_ms": T0 + 20 * DAY}])
    log.put("serving", [{**_SERVED, "ts_ms": T0 + 60 * DAY}])
    run(tmp_path / "lake", log.root)
    # a life of 36.5 days ends then, and the boot in between is no second one
    assert rows(tmp_path / "lake", "SELECT max(start_ms), sum(embodied_ug)::BIGINT FROM lake.fact_embodied WHERE embodied_ug > 0") == [
        (T0 + 36 * DAY, 36_500_000)]
    assert rows(tmp_path / "lake", "SELECT valid_from_ms, valid_to_ms FROM lake.accounted_items") == [(T0, None)]


def test_an_instant_once_asked_for_leaves_no_trace_when_it_is_not_asked_for_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("embodied", [{"sku": "box", "embodied_ug": 8_760_000_000, "life_years": 1.0}])
    log.put("nodes", [_MACHINE])
    log.put("serving", [_SERVED])
    run(tmp_path / "lake", log.root)
    until_the_data = dump(tmp_path / "lake")
    with Committer(tmp_path / "lake") as committer:
        account(committer, until_ms=T0 + 5 * DAY)
    assert rows(tmp_path / "lake", "SELECT sum(embodied_ug)::BIGINT FROM lake.fact_embodied") == [(5 * 24_000_000,)]
    run(tmp_path / "lake", log.root)
    assert dump(tmp_path / "lake") == until_the_data
    log.put("serving", [{**_SERVED, "ts_ms": T0 + 4 * DAY}])
    run(tmp_path / "lake", log.root)
    run(tmp_path / "again", log.root)
    assert dump(tmp_path / "lake") == dump(tmp_path / "again")
