"""The shipped factors: every row is whole, sourced and usable, and none stands in code."""

from __future__ import annotations

import ast
import csv
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.factors import (
    SHIPPED,
    Factor,
    embodied_factors,
    facility_average,
    grid_averages,
    network_factor,
    starter_embodied,
    starter_grid,
    tdp_for,
)
from wattlake_contracts.factors.embodied import _make as make_embodied
from wattlake_contracts.factors.facility import pues, waters
from wattlake_contracts.factors.factor import read_factors
from wattlake_contracts.factors.network import MJ_PER_BYTE, network_factors
from wattlake_contracts.factors.page import factors_page
from wattlake_contracts.factors.tdp import tdps
from wattlake_contracts.kinds import EMBODIED, GRID, MEDIA

ROOT = Path(__file__).resolve().parents[3]
ALL: dict[str, tuple[Factor, ...]] = {
    "grid": grid_averages(), "embodied": embodied_factors(), "tdp": tdps(), "pue": pues(), "water": waters(), "network": network_factors(),
}


def ms(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize("name", ALL)
def test_every_row_has_value_unit_date_source_and_range(name: str) -> None:
    assert ALL[name]
    for f in ALL[name]:
        assert f.source.strip()
        assert f.unit
        assert f.value > 0
        assert ms(2000) < f.valid_from_ms < ms(2027)
        assert f.low is None or f.low <= f.value
        assert f.high is None or f.value <= f.high
        assert f.confidence != "low" or f.estimated, f"{f.source}: a figure of low confidence is an estimate"


def test_starter_grid_has_the_shape_of_the_kind() -> None:
    rows = starter_grid()
    assert len({r["zone"] for r in rows}) >= 40
    known = {c.name: c for c in GRID.columns}
    for row in rows:
        assert set(row) <= set(known)
        assert row["estimated"] is True
        assert str(row["source"]).startswith(SHIPPED)
        assert row["known_from_ms"] == row["end_ms"]
        for name, value in row.items():
            column = known[name]
            if isinstance(value, float) and column.maximum is not None and column.minimum is not None:
                assert column.minimum <= value <= column.maximum
    assert all(a["zone"] != b["zone"] or a["end_ms"] <= b["start_ms"] for a, b in pairwise(rows))  # type: ignore[operator]


def test_lifecycle_is_never_below_direct() -> None:
    both = [r for r in starter_grid() if "lifecycle_g_per_kwh" in r]
    assert both
    assert all(r["lifecycle_g_per_kwh"] > r["direct_g_per_kwh"] for r in both)  # type: ignore[operator]


def test_a_zone_is_carried_forward_only_when_asked_and_says_so() -> None:
    until = ms(2027)
    world = [r for r in starter_grid(until) if r["zone"] == "WORLD"]
    assert [r["end_ms"] for r in world] == [ms(2025), until]
    assert str(world[-1]["source"]).endswith("carried forward")
    assert not str(world[0]["source"]).endswith("carried forward")
    assert max(int(str(r["end_ms"])) for r in starter_grid()) < until


def test_published_averages_agree_with_the_hours_they_are_means_of(shared_data: Path) -> None:
    for zone, year in (("ES", 2021), ("ES", 2022), ("US-CAL-CISO", 2021), ("US-CAL-CISO", 2022)):
        with (shared_data / "grid_hourly" / f"{zone}_{year}_hourly.csv").open(encoding="utf-8", newline="") as file:
            hours = list(csv.reader(file))[1:]
        row = next(r for r in starter_grid() if r["zone"] == zone and r["start_ms"] == ms(year))
        assert row["direct_g_per_kwh"] == pytest.approx(sum(float(h[4]) for h in hours) / len(hours), abs=0.006)
        assert row["lifecycle_g_per_kwh"] == pytest.approx(sum(float(h[5]) for h in hours) / len(hours), abs=0.006)


def test_starter_embodied_has_the_shape_of_the_kind() -> None:
    rows = starter_embodied()
    assert {c for row in rows for c in row} <= {c.name for c in EMBODIED.columns}
    h100 = next(r for r in rows if r["sku"] == "NVIDIA H100 80GB HBM3")
    assert h100["embodied_ug"] == 164_000_000_000
    assert h100["component_of"] in {r["sku"] for r in rows}
    assert all(r["estimated"] is True and str(r["source"]).startswith(SHIPPED) for r in rows)


def test_a_part_of_a_board_is_its_share(shared_data: Path) -> None:
    with (shared_data / "tables" / "nvidia_hgx_pcf.csv").open(encoding="utf-8", newline="") as file:
        total = {r["board"]: float(r["kgco2e"]) for r in csv.DictReader(file) if r["part"] == "total"}
    by_sku = {f.sku: f.value for f in embodied_factors()}
    for board, kg in total.items():
        assert by_sku[f"NVIDIA {board}"] == kg
        assert by_sku["NVIDIA H100 80GB HBM3" if "H100" in board else "NVIDIA B200"] * 8 == kg


@pytest.mark.parametrize(("name", "kind", "watts"), [
    ("NVIDIA H100 80GB HBM3", "gpu", 700), ("NVIDIA H100 PCIe", "gpu", 350), ("NVIDIA A100-SXM4-80GB", "gpu", 400),
    ("NVIDIA A100 80GB PCIe", "gpu", 300), ("NVIDIA L4", "gpu", 72), ("NVIDIA L40S", "gpu", 350), ("Tesla T4", "gpu", 70),
    ("NVIDIA GeForce RTX 4090", "gpu", 450), ("NVIDIA H200 NVL", "gpu", 600),
    ("AMD EPYC 7763 64-Core Processor", "cpu", 280), ("AMD EPYC 9654P 96-Core Processor", "cpu", 360),
    ("Intel(R) Xeon(R) Platinum 8480+", "cpu", 350), ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "cpu", 120),
    ("Intel(R) Xeon(R) Gold 6230R CPU @ 2.10GHz", "cpu", 150), ("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", "cpu", 125),
])
def test_a_known_model_finds_its_own_design_power(name: str, kind: str, watts: float) -> None:
    found = tdp_for(name, kind)
    assert found is not None
    assert found.value == watts
    assert not found.estimated


def test_an_unknown_model_gets_a_band_not_a_point() -> None:
    for name, kind in (("Unheard-of 1", "cpu"), ("Unheard-of 1", "gpu"), ("AMD EPYC 9999", "cpu"), ("Intel(R) Xeon(R) Gold 9999", "cpu")):
        found = tdp_for(name, kind)
        assert found is not None
        assert found.estimated
        assert found.low is not None
        assert found.high is not None
        assert found.high >= 2 * found.low
    assert tdp_for("anything", "switch") is None


def test_every_medium_has_a_network_factor_with_a_range_at_any_time_since_2015() -> None:
    for medium in MEDIA:
        for year in range(2015, 2031):
            factor = network_factor(medium, ms(year, 6))
            assert factor is not None, (medium, year)
            value, low, high = factor.mj_per_byte
            assert low is not None
            assert high is not None
            assert low <= value <= high
    assert network_factor("wan", ms(2014)) is None
    assert network_factor("wan", ms(2015)).value == 0.06  # type: ignore[union-attr]
    assert MJ_PER_BYTE == 3.6


def test_a_facility_average_is_the_latest_known_then() -> None:
    assert facility_average("default", "pue", ms(2023, 7)).value == 1.58  # type: ignore[union-attr]
    assert facility_average("default", "pue", ms(2026)).value == 1.56  # type: ignore[union-attr]
    assert facility_average("default", "pue", ms(2001)) is None
    assert facility_average("nobody", "pue", ms(2026)) is None


@pytest.mark.parametrize(("line", "complaint"), [
    ("x,gpu,ten,,,kg CO2e,6,gate,made,,2024-01-01,me,low,true,", "value is 'ten', not a number"),
    ("x,gpu,nan,,,kg CO2e,6,gate,made,,2024-01-01,me,low,true,", "not a finite number"),
    ("x,gpu,10,11,12,kg CO2e,6,gate,made,,2024-01-01,me,low,true,", "not between low"),
    ("x,gpu,10,,,t,6,gate,made,,2024-01-01,me,low,true,", "unit is 't'"),
    ("x,gpu,10,,,kg CO2e,6,gate,made,,1 Jan,me,low,true,", "not a day"),
    ("x,gpu,10,,,kg CO2e,6,gate,made,,2024-01-01,,low,true,", "source is empty"),
    ("x,gpu,10,,,kg CO2e,0,gate,made,,2024-01-01,me,low,true,", "life_years"),
    ("x,gpu,10,,,kg CO2e,6,gate,made,,2024-01-01,me,low,true,,extra", "more fields"),
    ("x,gpu,10", "has no column"),
])
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, complaint: str) -> None:
    head = "sku,device_kind,value,low,high,unit,life_years,boundary,stages,component_of,valid_from,source,confidence,estimated,note"
    (tmp_path / "mine.csv").write_text(f"{head}\n{line}\n", encoding="utf-8")
    with pytest.raises(WattlakeError, match=re.escape(complaint)) as caught:
        read_factors("mine.csv", make_embodied, tmp_path)
    assert caught.value.subject == "mine.csv, line 2"


def test_the_page_is_the_one_the_files_make() -> None:
    assert (ROOT / "docs" / "factors.md").read_text(encoding="utf-8") == factors_page()


_FACTOR_NAME = re.compile(r"(^|_)(pue|wue|tdp|tdp_w|g_per_kwh|kg_per_kwh|kwh_per_gb|embodied_kg|embodied_ug|carbon_intensity)$", re.I)


def test_no_factor_is_a_literal_in_code() -> None:
    found = []
    for room in ("contracts", "agents", "pipelines", "warehouse"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                targets: list[ast.expr] = []
                value: ast.expr | None = None
                if isinstance(node, ast.Assign):
                    targets, value = node.targets, node.value
                elif isinstance(node, ast.AnnAssign):
                    targets, value = [node.target], node.value
                elif isinstance(node, ast.keyword) and node.arg and _FACTOR_NAME.search(node.arg):
                    targets, value = [ast.Name(node.arg)], node.value
                literal = isinstance(value, ast.Constant) and isinstance(value.value, float | int) and value.value not in (0, 1)
                if literal and any(isinstance(t, ast.Name) and _FACTOR_NAME.search(t.id) for t in targets):
                    found.append(f"{path.relative_to(ROOT)}:{node.value.lineno}")  # type: ignore[union-attr]
    assert found == []
