"""Emissions and water: worked examples of docs/accounting.md, section 7."""

from __future__ import annotations

import pyarrow as pa
import pytest

from wattlake_contracts.tables import FACT_EMISSIONS, FACT_ENERGY
from wattlake_pipelines.account.kernels.emissions import emission_facts
from wattlake_pipelines.arrow_schema import table_schema

HOUR = 3_600_000
KWH = 3_600_000_000  # mJ
TEXT, INT, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
SITES = pa.schema([("site", TEXT), ("start_ms", INT), ("end_ms", INT), ("pue", REAL), ("wue_l_per_kwh", REAL), ("version", TEXT),
                   ("estimated", FLAG)])
GRID = pa.schema([("zone", TEXT), ("start_ms", INT), ("end_ms", INT), ("direct_g_per_kwh", REAL), ("lifecycle_g_per_kwh", REAL),
                  ("td_loss_fraction", REAL), ("water_l_per_kwh", REAL), ("version", TEXT), ("estimated", FLAG), ("period_ms", INT)])
MARGINAL = pa.schema([("zone", TEXT), ("start_ms", INT), ("end_ms", INT), ("marginal_g_per_kwh", REAL), ("version", TEXT),
                      ("estimated", FLAG)])
PLACES = pa.schema([("node", TEXT), ("start_ms", INT), ("end_ms", INT)])
ALWAYS = {"start_ms": -(2**62), "end_ms": 2**62}


def energy(mj=KWH, **more):
    return {"start_ms": 0, "end_ms": HOUR, "site": "s", "zone": "z", "node": "n", "device": "gpu0", "device_kind": "gpu",
            "line": "unattributed", "job": None, "boundary": "component", "simulated": False, "energy_mj": mj, "coverage": 1.0, **more}


def site(**more):
    return {"site": "s", **ALWAYS, "pue": 1.5, "wue_l_per_kwh": 0.25, "version": "site-1", "estimated": False, **more}


def grid(**more):
    return {"zone": "z", **ALWAYS, "direct_g_per_kwh": 200.0, "lifecycle_g_per_kwh": 240.0, "td_loss_fraction": 0.2,
            "water_l_per_kwh": 2.0, "version": "grid-1", "estimated": False, "period_ms": HOUR, **more}


def marginal(**more):
    return {"zone": "z", **ALWAYS, "marginal_g_per_kwh": 400.0, "version": "marginal-1", "estimated": False, **more}


def facts(rows, sites=None, grids=None, marginals=None, places=None):
    def table(given, default, schema):
        return pa.Table.from_pylist([default] if given is None else given, schema)

    return emission_facts(
        pa.Table.from_pylist(rows, table_schema(FACT_ENERGY)), table(sites, site(), SITES), table(grids, grid(), GRID),
        table(marginals, marginal(), MARGINAL), table(places, {"node": "n", **ALWAYS}, PLACES),
    ).to_pylist()


def test_one_kwh_at_pue_one_and_a_half():
    (row,) = facts([energy()])
    assert row["energy_mj"] == KWH
    assert row["overhead_mj"] == KWH // 2
    assert row["location_ug"] == 200_000_000  # 200 g
    assert row["overhead_location_ug"] == 100_000_000
    # 1.5 kWh x ((240 - 200) + 240 x 0.2 / 0.8) = 1.5 x (40 + 60) = 150 g
    assert row["upstream_ug"] == 150_000_000
    assert row["marginal_screening_ug"] == 600_000_000
    assert row["water_site_ul"] == 250_000
    assert row["water_grid_ul"] == 3_000_000
    assert (row["grid_version"], row["site_version"], row["marginal_version"]) == ("grid-1", "site-1", "marginal-1")
    assert (row["estimated"], row["basis"]) == (False, "hourly")


def test_a_facility_reading_carries_no_overhead_even_without_a_site():
    (row,) = facts([energy(boundary="facility")], sites=[])
    assert (row["overhead_mj"], row["overhead_location_ug"], row["location_ug"]) == (0, 0, 200_000_000)
    assert row["marginal_screening_ug"] == 400_000_000
    assert row["water_site_ul"] is None


def test_without_a_pue_what_needs_the_overhead_is_unknown_and_the_rest_is_not():
    (row,) = facts([energy()], sites=[])
    assert row["location_ug"] == 200_000_000
    assert [row[c] for c in ("overhead_mj", "overhead_location_ug", "upstream_ug", "marginal_screening_ug", "water_grid_ul")] == [None] * 5
    assert (row["site_version"], row["basis"]) == (None, "hourly")


@pytest.mark.parametrize("unknown", ["lifecycle_g_per_kwh", "td_loss_fraction"])
def test_upstream_is_unknown_where_a_figure_of_it_is(unknown):
    (row,) = facts([energy()], grids=[grid(**{unknown: None})])
    assert (row["upstream_ug"], row["location_ug"]) == (None, 200_000_000)


@pytest.mark.parametrize(("change", "given", "basis"), [
    ({"node": "m", "site": None, "zone": None}, {}, "unknown node"),
    ({"zone": None}, {}, "unknown site"),
    ({"zone": "elsewhere"}, {}, "no grid figure"),
    ({}, {"grids": []}, "no grid figure"),
])
def test_the_basis_says_why_emissions_are_unknown(change, given, basis):
    (row,) = facts([energy(**change)], **given)
    assert (row["location_ug"], row["basis"]) == (None, basis)
    assert row["energy_mj"] == KWH


@pytest.mark.parametrize(("period_ms", "basis"), [(HOUR, "hourly"), (300_000, "subhourly"), (8_760 * HOUR, "period")])
def test_the_basis_says_how_fine_the_grid_figure_was(period_ms, basis):
    assert facts([energy()], grids=[grid(period_ms=period_ms)])[0]["basis"] == basis


def test_the_figures_in_force_at_the_start_of_the_row_count():
    grids = [grid(start_ms=0, end_ms=HOUR, direct_g_per_kwh=100.0), grid(start_ms=HOUR, end_ms=2 * HOUR, direct_g_per_kwh=300.0)]
    rows = [energy(start_ms=t, end_ms=t + HOUR) for t in (0, HOUR, 2 * HOUR)]
    assert [r["location_ug"] for r in facts(rows, grids=grids)] == [100_000_000, 300_000_000, None]


@pytest.mark.parametrize(("given", "estimated"), [
    ({}, False), ({"grids": [grid(estimated=True)]}, True), ({"sites": [site(estimated=True)]}, True),
    ({"marginals": [marginal(estimated=True)]}, True), ({"sites": [site(estimated=None)]}, False),
    ({"sites": [], "grids": [], "marginals": []}, None),
])
def test_one_estimate_among_the_figures_marks_the_row(given, estimated):
    assert facts([energy()], **given)[0]["estimated"] is estimated


def test_figures_are_rounded_once_half_to_even_and_a_rest_may_be_negative():
    # 9 mJ x 200 / 3600 = 0.5 -> 0; 27 -> 1.5 -> 2; -27 -> -1.5 -> -2
    rows = [energy(mj, device=f"d{i}") for i, mj in enumerate((9, 27, -27))]
    assert [r["location_ug"] for r in facts(rows)] == [0, 2, -2]


def test_a_marginal_figure_may_be_below_zero():
    assert facts([energy()], marginals=[marginal(marginal_g_per_kwh=-10.0)])[0]["marginal_screening_ug"] == -15_000_000


def test_rows_come_in_the_order_of_the_facts_whatever_their_order():
    rows = [energy(i, start_ms=s, end_ms=s + HOUR, device=d, line=line, job=job)
            for i, (s, d, line, job) in enumerate([(0, "a", "job_active", "j"), (0, "a", "job_active", "k"), (0, "a", "unattributed", None),
                                                   (0, "b", "unattributed", None), (HOUR, "a", "unattributed", None)])]
    assert [r["energy_mj"] for r in facts(rows)] == [0, 1, 2, 3, 4]
    assert facts(rows[::-1]) == facts(rows)


def test_no_energy_makes_an_empty_table_of_the_declared_columns():
    made = emission_facts(*(s.empty_table() for s in (table_schema(FACT_ENERGY), SITES, GRID, MARGINAL, PLACES)))
    assert made.schema.equals(table_schema(FACT_EMISSIONS))
    assert made.num_rows == 0
