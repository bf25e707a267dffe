"""Which embodied days are made: told in pieces or at once, the same."""

from __future__ import annotations

from pathlib import Path

from lakes import dump, rows, run
from logs import Log

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
