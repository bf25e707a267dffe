"""A year on real grids: hourly figures of Spain and California, and California's 5-minute marginal ones.

What the lake adds up is compared with a slow, independent calculation: the rules of
docs/accounting.md in whole numbers and fractions, one reading at a time.
"""

from __future__ import annotations

import csv
import gzip
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

HOUR_MS, FIVE_MINUTES_MS = 3_600_000, 300_000
RELATIVE = 1e-8
#: What is compared against; both are of 2021.
FILES = {"ES": "ES_2021_hourly.csv", "US-CAL-CISO": "US-CAL-CISO_2021_hourly.csv"}
MARGINAL = "SGIP_CAISO_PGE_2021-03.csv.gz"
#: figures of these two made-up sites
PUE = {"ES": "1.25", "US-CAL-CISO": "1.1"}
LOSS = {"ES": "0.09", "US-CAL-CISO": "0.05"}
NODE = {"ES": "madrid-1", "US-CAL-CISO": "fremont-1"}

GRID = ("zone", "start", "end", "direct_g_per_kwh", "lifecycle_g_per_kwh", "td_loss_fraction", "estimated", "source")


@dataclass(frozen=True)
class Hour:
    """One line of an hourly file, its figures as they are printed."""

    start: datetime
    direct: str
    lifecycle: str
    estimated: bool


def read_hours(path: Path) -> list[Hour]:
    with path.open(encoding="utf-8") as file:
        return [
            Hour(datetime.fromisoformat(r["Datetime (UTC)"]).replace(tzinfo=UTC), r["Carbon Intensity gCO₂eq/kWh (direct)"],
                 r["Carbon Intensity gCO₂eq/kWh (LCA)"], {"true": True, "false": False}[r["Data Estimated"]])
            for r in csv.DictReader(file)]


def read_marginal(path: Path) -> list[tuple[datetime, str]]:
    """(start, kg/kWh as printed) of each five minutes; the forecasts beside them are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [(datetime.fromisoformat(r["time"]), r["moer"]) for r in csv.DictReader(file)]


def ms(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def grid_rows(zone: str, hours: Sequence[Hour]) -> Iterator[tuple[object, ...]]:
    for h in hours:
        end = h.start + timedelta(hours=1)
        yield zone, iso(h.start), iso(end), h.direct, h.lifecycle, LOSS[zone], str(h.estimated).lower(), "electricitymaps.com"


def counter(seed: int, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """(ms, mJ) of a counter read every 10 to 15 minutes, never on the hour by design, under a load that varies."""
    rng = random.Random(seed)
    at, total, readings = start_ms + rng.randrange(1, 600_000), rng.randrange(10**12), []
    while at < end_ms:
        readings.append((at, total))
        step = rng.randrange(600_000, 900_001)
        # W x ms = mJ
        total += rng.choice((180, 450, 2_400, 6_900, 10_200)) * step + rng.randrange(step)
        at += step
    return readings


def cells(readings: Sequence[tuple[int, int]], edges: Sequence[int]) -> dict[int, int]:
    """mJ in each period [edge, next edge), by its start: linear between readings, rounded half up at the edges (sections 1 and 2)."""
    made: dict[int, int] = {}
    for (a, from_mj), (b, to_mj) in pairwise(readings):
        energy, length = to_mj - from_mj, b - a
        at, done = a, 0
        while at < b:
            i = bisect_right(edges, at)
            until = min(edges[i], b)
            reached = (2 * energy * (until - a) + length) // (2 * length)
            made[edges[i - 1]] = made.get(edges[i - 1], 0) + reached - done
            at, done = until, reached
    return made


@dataclass
class Year:
    """A world in which each zone has a node under load, and what went into it."""

    world: Any
    hours: dict[str, list[Hour]]
    readings: dict[str, list[tuple[int, int]]]
    marginal: list[tuple[datetime, str]]

    def rows(self) -> dict[str, dict[int, dict[str, Any]]]:
        """The emission rows of each zone by their start."""
        found: dict[str, dict[int, dict[str, Any]]] = {zone: {} for zone in FILES}
        for row in self.world.sql("""
                SELECT zone, start_ms, end_ms, energy_mj, location_ug, overhead_location_ug, upstream_ug, marginal_screening_ug,
                       estimated, basis FROM fact_emissions ORDER BY zone, start_ms"""):
            assert row["start_ms"] not in found[row["zone"]]
            found[row["zone"]][row["start_ms"]] = row
        return found


@pytest.fixture(scope="module")
def year(module_world: Any, shared_data: Path) -> Year:
    hours = {zone: read_hours(shared_data / "grid_hourly" / name) for zone, name in FILES.items()}
    assert {len(h) for h in hours.values()} == {8760}
    first, last = ms(hours["ES"][0].start), ms(hours["ES"][-1].start) + HOUR_MS
    made = Year(module_world, hours, {zone: counter(i, first, last) for i, zone in enumerate(FILES)},
                read_marginal(shared_data / "grid_marginal" / MARGINAL))
    module_world.load("grid", GRID, [row for zone in FILES for row in grid_rows(zone, hours[zone])])
    module_world.load("sites", ("site", "zone", "pue"), [(f"site-{zone}", zone, PUE[zone]) for zone in FILES])
    module_world.load("nodes", ("node", "site"), [(NODE[zone], f"site-{zone}") for zone in FILES])
    module_world.load("readings", ("node", "device", "ts", "energy_j", "device_kind", "boundary"), [
        (NODE[zone], "wall", ts, f"{mj // 1000}.{mj % 1000:03}", "node", "node_ac") for zone in FILES for ts, mj in made.readings[zone]])
    module_world.account()
    return made


@pytest.fixture(scope="module")
def hourly(year: Year) -> dict[str, dict[int, dict[str, Any]]]:
    """The emission rows while only the hourly figures are known."""
    return year.rows()


@pytest.fixture(scope="module")
def with_marginal(year: Year, hourly: dict[str, dict[int, dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    """California's emission rows once the 5-minute marginal figures came, a second run later."""
    del hourly  # read before
    year.world.load("grid", ("zone", "start", "end", "marginal_kg_per_kwh"), [
        ("US-CAL-CISO", iso(at), iso(at + timedelta(minutes=5)), moer) for at, moer in year.marginal])
    year.world.account()
    return year.rows()["US-CAL-CISO"]


def edges_of(hours: Sequence[Hour]) -> list[int]:
    return [ms(h.start) for h in hours] + [ms(hours[-1].start) + HOUR_MS]


@pytest.mark.slow
@pytest.mark.parametrize("zone", FILES)
def test_a_years_emissions_are_the_sum_over_its_hours(year: Year, hourly: dict[str, dict[int, dict[str, Any]]], zone: str) -> None:
    expected_mj = cells(year.readings[zone], edges_of(year.hours[zone]))
    rows = hourly[zone]
    assert {start: r["energy_mj"] for start, r in rows.items()} == expected_mj
    assert sum(expected_mj.values()) == year.readings[zone][-1][1] - year.readings[zone][0][1]
    pue, loss = Fraction(PUE[zone]), Fraction(LOSS[zone])
    location = overhead = upstream = Fraction(0)
    for h in year.hours[zone]:
        energy, direct, lifecycle = expected_mj[ms(h.start)], Fraction(h.direct), Fraction(h.lifecycle)
        location += energy * direct / 3600
        overhead += energy * (pue - 1) * direct / 3600
        upstream += energy * pue * ((lifecycle - direct) + lifecycle * loss / (1 - loss)) / 3600
    assert float(sum(r["location_ug"] for r in rows.values()) / location) == pytest.approx(1, abs=RELATIVE)
    assert float(sum(r["overhead_location_ug"] for r in rows.values()) / overhead) == pytest.approx(1, abs=RELATIVE)
    assert float(sum(r["upstream_ug"] for r in rows.values()) / upstream) == pytest.approx(1, abs=RELATIVE)


@pytest.mark.slow
@pytest.mark.parametrize("zone", FILES)
def test_every_hour_says_whether_its_figure_is_estimated(year: Year, hourly: dict[str, dict[int, dict[str, Any]]], zone: str) -> None:
    assert {start: r["estimated"] for start, r in hourly[zone].items()} == {ms(h.start): h.estimated for h in year.hours[zone]}
    assert {r["basis"] for r in hourly[zone].values()} == {"hourly"}
    assert {r["marginal_screening_ug"] for r in hourly[zone].values()} == {None}


@pytest.mark.slow
def test_marginal_figures_of_five_minutes_are_joined_to_the_energy_of_their_five_minutes(
        year: Year, with_marginal: dict[int, dict[str, Any]]) -> None:
    known = {ms(at): Fraction(moer) * 1000 for at, moer in year.marginal}
    assert len(known) == len(year.marginal)
    within = edges_of(year.hours["US-CAL-CISO"])
    expected_mj = cells(year.readings["US-CAL-CISO"], sorted({*within, *known, *(at + FIVE_MINUTES_MS for at in known)}))
    assert {start: r["energy_mj"] for start, r in with_marginal.items()} == expected_mj
    pue = Fraction(PUE["US-CAL-CISO"])
    screened = {start: r["marginal_screening_ug"] for start, r in with_marginal.items() if start in known}
    expected = sum((expected_mj[start] * pue * known[start] / 3600 for start in known), Fraction(0))
    assert float(sum(screened.values()) / expected) == pytest.approx(1, abs=RELATIVE)
    assert {r["marginal_screening_ug"] for start, r in with_marginal.items() if start not in known} == {None}


@pytest.mark.slow
def test_a_marginal_figure_of_zero_is_zero_and_not_unknown(year: Year, with_marginal: dict[int, dict[str, Any]]) -> None:
    zeros = [ms(at) for at, moer in year.marginal if Fraction(moer) == 0]
    assert len(zeros) > 100
    assert all(with_marginal[start]["energy_mj"] > 0 for start in zeros)
    assert {with_marginal[start]["marginal_screening_ug"] for start in zeros} == {0}


@pytest.mark.slow
def test_marginal_figures_change_no_inventory(
        hourly: dict[str, dict[int, dict[str, Any]]], with_marginal: dict[int, dict[str, Any]]) -> None:
    before = hourly["US-CAL-CISO"]
    assert len(with_marginal) > len(before)
    for name in ("location_ug", "overhead_location_ug", "upstream_ug"):
        # finer rows are rounded one by one: half a microgram each
        assert sum(r[name] for r in with_marginal.values()) == pytest.approx(sum(r[name] for r in before.values()), abs=len(with_marginal))
    assert sum(r["energy_mj"] for r in with_marginal.values()) == sum(r["energy_mj"] for r in before.values())


def test_a_file_in_another_unit_than_it_says_is_refused(world: Any, shared_data: Path) -> None:
    """kg/kWh as g/kWh would make every hour a thousandth of what it is: no row shows it, the file does."""
    figures = read_marginal(shared_data / "grid_marginal" / MARGINAL)
    rows = [("US-CAL-CISO", iso(at), iso(at + timedelta(minutes=5)), moer) for at, moer in figures]
    wrong = world.write("wrong.csv", ("zone", "start", "end", "marginal_g_per_kwh"), rows)
    refused = world.try_import("grid", wrong)
    assert refused.returncode == 1
    assert "wrong.csv" in refused.stderr
    assert "marginal_g_per_kwh" in refused.stderr
    assert "marginal_kg_per_kwh" in refused.stderr  # the spelling that fits
    assert "next:" in refused.stderr
    assert refused.stdout == ""
    right = world.write("right.csv", ("zone", "start", "end", "marginal_kg_per_kwh"), rows)
    taken = world.try_import("grid", right)
    assert taken.returncode == 0, taken.stderr
    assert f"{len(rows):,} of {len(rows):,} rows" in taken.stderr


def test_hourly_grams_declared_as_kilograms_are_refused(world: Any, shared_data: Path) -> None:
    hours = read_hours(shared_data / "grid_hourly" / FILES["ES"])
    wrong = world.write("wrong.csv", ("zone", "start", "end", "direct_kg_per_kwh"), [
        ("ES", iso(h.start), iso(h.start + timedelta(hours=1)), h.direct) for h in hours])
    refused = world.try_import("grid", wrong)
    assert refused.returncode == 1
    assert "wrong.csv" in refused.stderr
    assert "direct_kg_per_kwh" in refused.stderr
    assert "direct_g_per_kwh" in refused.stderr
