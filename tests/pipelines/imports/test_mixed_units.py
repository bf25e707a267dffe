"""Files that hold two units at once are refused with the lines; grids whose figures spread widely are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

HOUR = 3_600_000


def grid(path: Path, zones: dict[str, list[float]], column: str = "direct_g_per_kwh", **more: list[float]) -> Path:
    """A file of hours: by zone the figures of one column, and other columns as they are."""
    values = [v for figures in zones.values() for v in figures]
    starts = [1_700_000_000_000 // HOUR * HOUR + i * HOUR for figures in zones.values() for i in range(len(figures))]
    table = pa.table({"zone": [z for z, figures in zones.items() for _ in figures], "start": starts, "end": [s + HOUR for s in starts],
                      column: values, **more})
    pacsv.write_csv(table, path)
    return path


def refused(run_import, path: Path, *said: str) -> None:
    ran = run_import("grid", path)
    assert ran.code == 1
    assert ran.records() == []
    for words in (*said, "--accept-implausible"):
        assert words in ran.err
    assert run_import("grid", path, options=["--accept-implausible"]).summary[0]["rejected"] == 0


def taken(run_import, path: Path) -> None:
    ran = run_import("grid", path)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(("figures", "lines"), [
    ([0.3, 0.31, 0.29, 300, 310, 290], "3 of the 6 figures of zone Z are a thousandfold below the others, as if in another unit (lines 2, 3, 4)"),
    ([300, 310, 0, 0, 0.29], "1 of the 3 figures of zone Z are a thousandfold below the others, as if in another unit (lines 6)"),
    ([0.3, 300], "(lines 2)"),
    ([0.05, 0.9, 50, 900], "(lines 2, 3)"),
    ([0.008, 8.0, 0.011, 11.0, 0.012, 12.0, 0.009, 9.0], "(lines 2, 4, 6 …)"),
])
@pytest.mark.parametrize("column", ["direct_g_per_kwh", "marginal_g_per_kwh", "direct_lb_per_mwh"])
def test_rows_in_kg_among_rows_in_g_are_refused_with_their_lines(run_import, tmp_path: Path, figures: list[float], lines: str, column: str) -> None:
    refused(run_import, grid(tmp_path / "g.csv", {"Z": figures}, column), f"{column}: ", lines)


def test_it_is_seen_in_the_one_zone_that_is_mixed(run_import, tmp_path: Path) -> None:
    zones = {"A": [400.0, 410, 420], "B": [12.0, 0, 15], "C": [500.0, 0.5, 0.51, 510]}
    refused(run_import, grid(tmp_path / "g.csv", zones), "2 of the 4 figures of zone C")


def test_a_zone_wholly_in_kg_is_seen_from_its_shipped_average(run_import, tmp_path: Path) -> None:
    zones = {"Z": [300.0, 310, 320], "DE": [0.3, 0.28, 0.4]}
    refused(run_import, grid(tmp_path / "g.csv", zones), "direct_g_per_kwh: zone DE: half of the figures are below 0.3, where the zone's yearly average is")


def test_life_cycle_figures_in_two_units_are_refused(run_import, tmp_path: Path) -> None:
    path = grid(tmp_path / "g.csv", {"Z": [300.0, 310, 320, 330]}, lifecycle_g_per_kwh=[0.35, 0.36, 370, 380])
    refused(run_import, path, "lifecycle_g_per_kwh: 2 of the 4 figures of zone Z")


@pytest.mark.parametrize("zones", [
    {"Z": [0.0, 0, 0, 300, 310]},
    {"Z": [0.02, 0.3, 1.2, 4, 11, 60, 300]},
    {"HYDRO": [0.4, 0.5, 0.3, 0.0], "COAL": [800.0, 810, 790, 805]},
    {"HYDRO": [0.02, 0.4, 1.1, 6.0, 0.0], "COAL": [800.0, 810, 790, 805]},
    {"Z": [14.0, 900.0, 20, 850]},
], ids=str)
def test_zeros_hydropower_and_wide_spreads_are_real(run_import, tmp_path: Path, zones: dict[str, list[float]]) -> None:
    taken(run_import, grid(tmp_path / "g.csv", zones))


def test_clean_hours_are_real_where_their_life_cycle_is_clean_too(run_import, tmp_path: Path) -> None:
    taken(run_import, grid(tmp_path / "g.csv", {"Z": [0.3, 0.4, 400, 410]}, lifecycle_g_per_kwh=[11.0, 12, 480, 500]))


@pytest.mark.parametrize("name", ["ES_2021_hourly.csv", "ES_2022_hourly.csv", "US-CAL-CISO_2021_hourly.csv", "US-CAL-CISO_2022_hourly.csv"])
@pytest.mark.parametrize("spread", ["a day", "a month", "half", "at random"])
def test_a_real_year_with_a_part_in_kg_is_refused(run_import, shared_data: Path, tmp_path: Path, name: str, spread: str) -> None:
    figures = np.array(pacsv.read_csv(shared_data / "grid_hourly" / name).column("Carbon Intensity gCO₂eq/kWh (direct)"))
    rows = {"a day": slice(4000, 4024), "a month": slice(0, 720), "half": slice(4380, None),
            "at random": np.random.default_rng(7).choice(len(figures), 300, replace=False)}[spread]
    wrong = figures.copy()
    wrong[rows] /= 1000
    ran = run_import("grid", grid(tmp_path / "g.csv", {"Z": wrong.tolist()}), options=["--dry-run"])
    assert ran.code == 1
    assert f"{np.count_nonzero(wrong != figures):,} of the 8,760 figures" in ran.err


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_real_marginal_figures_with_a_part_in_kg_are_refused(run_import, shared_data: Path, tmp_path: Path, share: float) -> None:
    figures = 1000 * np.array(pacsv.read_csv(shared_data / "grid_marginal/SGIP_CAISO_PGE_2021-03.csv.gz").column(1))
    figures[: int(len(figures) * share)] /= 1000
    ran = run_import("grid", grid(tmp_path / "g.csv", {"Z": figures.tolist()}, "marginal_g_per_kwh"), options=["--dry-run"])
    assert ran.code == 1
    assert "a thousandfold below" in ran.err
