"""Patterson et al. 2021 (arXiv 2104.10350), table 4: energy and net emissions of six training runs.

The table's inputs are rounded in print, and so are its results. Each run is entered at its printed
inputs, and what comes out must be the product of them; and it must agree with the printed result
within what the rounding allows: every input may lie half a unit of its last printed digit to either
side, and so may the result. No other tolerance is given.

Two columns are printed with a fixed number of decimals in the paper (PUE two, kg CO2e/kWh three),
of which the transcription has lost the trailing zeros (1.10 stands there as 1.1): their last digit
is that of the column, which allows less. Chips are counts and exact.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

MJ_PER_KWH, UG_PER_TONNE = 3_600_000_000, 10**12
#: table 4's runs are placed here; the table gives no days
START_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
MODELS = ("Evolved Transformer NAS", "T5", "Meena", "GShard-600B", "Switch Transformer", "GPT-3")
HOURLY, ENDS = "hourly", "both ends"


@dataclass(frozen=True)
class Printed:
    """A figure as printed: its value and half a unit of its last digit."""

    value: Fraction
    half: Fraction

    @property
    def least(self) -> Fraction:
        return self.value - self.half

    @property
    def most(self) -> Fraction:
        return self.value + self.half


def printed(text: str, decimals: int | None = None) -> Printed:
    """A figure of the table; decimals: of its column, where that is fixed."""
    shown = len(text.partition(".")[2]) if decimals is None else decimals
    return Printed(Fraction(text), Fraction(1, 2 * 10**shown))


@dataclass(frozen=True)
class Training:
    """A row of the table."""

    model: str
    chips: int
    watts: Printed
    days: Printed
    pue: Printed
    kg_per_kwh: Printed
    mwh: Printed
    tonnes: Printed

    @property
    def end_ms(self) -> int:
        return START_MS + round(self.days.value * DAY_MS)

    def kwh(self, bound: str) -> Fraction:
        """Energy at the `value`, `least` or `most` of every input."""
        watts, days, pue = (getattr(p, bound) for p in (self.watts, self.days, self.pue))
        return Fraction(self.chips) * watts * days * 24 * pue / 1000

    def kg(self, bound: str) -> Fraction:
        """Net emissions at the `value`, `least` or `most` of every input."""
        return self.kwh(bound) * Fraction(getattr(self.kg_per_kwh, bound))


@pytest.fixture(scope="module")
def table(shared_data: Path) -> dict[str, Training]:
    with (shared_data / "tables" / "patterson2021_table4.csv").open(encoding="utf-8") as file:
        return {r["model"]: Training(
            r["model"], int(r["chips"]), printed(r["avg_system_w_per_chip"]), printed(r["days"]), printed(r["pue"], 2),
            printed(r["net_kg_per_kwh"], 3), printed(r["energy_mwh_published"]), printed(r["net_tco2e_published"])) for r in csv.DictReader(file)}


@pytest.fixture(scope="module")
def accounted(module_world: Any, table: dict[str, Training]) -> dict[tuple[str, str], dict[str, Any]]:
    """Facility energy and emissions of each run by (model, how its power was read)."""
    nodes, sites, grid, jobs, readings = [], [], [], [], []
    for t in table.values():
        site, zone = f"site of {t.model}", f"zone of {t.model}"
        sites.append((site, zone, str(float(t.pue.value))))
        grid.append((zone, START_MS, START_MS + 366 * DAY_MS, str(float(t.kg_per_kwh.value))))
        for way in (HOURLY, ENDS):
            node = f"{t.model} {way}"
            nodes.append((node, site))
            jobs.append((node, node, START_MS, t.end_ms, t.model, "train"))
            times = [START_MS, t.end_ms] if way == ENDS else [*range(START_MS, t.end_ms, HOUR_MS), t.end_ms]
            readings += [(node, "chips", at, t.chips * t.watts.value, "node", "node_ac") for at in times]
    module_world.load("sites", ("site", "zone", "pue"), sites)
    module_world.load("grid", ("zone", "start", "end", "direct_kg_per_kwh"), grid)
    module_world.load("nodes", ("node", "site"), nodes)
    module_world.load("jobs", ("job", "node", "start", "end", "model", "phase"), jobs)
    module_world.load("readings", ("node", "device", "ts", "power_w", "device_kind", "boundary"), readings)
    module_world.account()
    rows = module_world.sql("""
        SELECT job, sum(energy_mj + overhead_mj)::BIGINT AS facility_mj, sum(location_ug + overhead_location_ug)::BIGINT AS emitted_ug
        FROM fact_emissions WHERE line = 'job_active' GROUP BY job""")
    by_job = {r["job"]: r for r in rows}
    return {(model, way): by_job[f"{model} {way}"] for model in table for way in (HOURLY, ENDS)}


def test_the_table_is_all_there(table: dict[str, Training]) -> None:
    assert tuple(table) == MODELS


@pytest.mark.parametrize("way", [HOURLY, ENDS])
@pytest.mark.parametrize("model", MODELS)
def test_a_run_is_the_product_of_its_inputs(table: dict[str, Training], accounted: dict[tuple[str, str], dict[str, Any]], model: str, way: str) -> None:
    t, got = table[model], accounted[model, way]
    assert got["facility_mj"] / MJ_PER_KWH == pytest.approx(float(t.kwh("value")), rel=1e-9)
    assert got["emitted_ug"] / 1e9 == pytest.approx(float(t.kg("value")), rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_energy_agrees_with_the_paper_within_its_rounding(
        table: dict[str, Training], accounted: dict[tuple[str, str], dict[str, Any]], model: str) -> None:
    t = table[model]
    mwh = Fraction(accounted[model, HOURLY]["facility_mj"], MJ_PER_KWH * 1000)
    assert mwh - (t.kwh("value") - t.kwh("least")) / 1000 <= t.mwh.most
    assert mwh + (t.kwh("most") - t.kwh("value")) / 1000 >= t.mwh.least


@pytest.mark.parametrize("model", MODELS)
def test_net_emissions_agree_with_the_paper_within_its_rounding(
        table: dict[str, Training], accounted: dict[tuple[str, str], dict[str, Any]], model: str) -> None:
    t = table[model]
    tonnes = Fraction(accounted[model, HOURLY]["emitted_ug"], UG_PER_TONNE)
    assert tonnes - (t.kg("value") - t.kg("least")) / 1000 <= t.tonnes.most
    assert tonnes + (t.kg("most") - t.kg("value")) / 1000 >= t.tonnes.least


def test_what_rounding_allows_is_a_few_percent_at_most(table: dict[str, Training]) -> None:
    """The comparison means something: printed days leave 3 % (T5, 20 days) and less."""
    for t in table.values():
        assert (t.kg("most") - t.kg("least")) / t.kg("value") < Fraction(8, 100), t.model
