"""Reference data as accounting asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakes import rows, run
from logs import Log
from wattlake_pipelines.account.references import grid_in_force
from wattlake_pipelines.lake.committer import Committer

HOUR = 3_600_000
T0 = 1_760_054_400_000


def test_a_later_marginal_figure_leaves_the_direct_one_in_force_and_the_other_way_round(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    period = {"zone": "Z", "start_ms": T0, "end_ms": T0 + HOUR}
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + m * HOUR // 2, "energy_mj": m * 1_800_000_000,
                          "method": "counter", "boundary": "component", "simulated": False} for m in range(3)])
    log.put("nodes", [{"node": "n", "site": "s", "valid_from_ms": T0}])
    log.put("sites", [{"site": "s", "zone": "Z", "pue": 1.0}])
    log.put("grid", [{**period, "direct_g_per_kwh": 100.0, "marginal_g_per_kwh": 700.0, "known_from_ms": T0 + 1}])
    log.put("grid", [{**period, "marginal_g_per_kwh": 600.0, "known_from_ms": T0 + 2}])
    log.put("grid", [{**period, "direct_g_per_kwh": 200.0, "known_from_ms": T0 + 3}])
    run(tmp_path / "lake", log.root)
    with Committer(tmp_path / "lake") as committer:
        direct, marginal = grid_in_force(committer.connection, T0, T0 + HOUR)
    assert direct["direct_g_per_kwh"].to_pylist() == [200.0]
    assert marginal["marginal_g_per_kwh"].to_pylist() == [600.0]
    # 1 kWh in all
    assert rows(tmp_path / "lake", "SELECT sum(location_ug)::BIGINT, sum(marginal_screening_ug)::BIGINT FROM lake.fact_emissions") == [
        (200_000_000, 600_000_000)]


@pytest.mark.parametrize("span", [(T0 - HOUR, T0), (T0 + HOUR, T0 + 2 * HOUR)])
def test_a_span_that_only_touches_a_period_has_no_figure(tmp_path: Path, span: tuple[int, int]) -> None:
    log = Log(tmp_path / "log")
    log.put("grid", [{"zone": "Z", "start_ms": T0, "end_ms": T0 + HOUR, "direct_g_per_kwh": 100.0}])
    run(tmp_path / "lake", log.root)
    with Committer(tmp_path / "lake") as committer:
        assert [t.num_rows for t in grid_in_force(committer.connection, *span)] == [0, 0]
