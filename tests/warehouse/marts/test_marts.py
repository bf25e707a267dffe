"""The marts: documented as they are, exact, and honest about what is unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wattlake_warehouse.lake import open_lake
from wattlake_warehouse.marts import MARTS
from wattlake_warehouse.marts.mart import parse

FOOTPRINTS = ("footprint_by_phase", "footprint_by_model", "footprint_by_team", "footprint_by_job")


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    result = connection.execute(query)
    names = [c[0] for c in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", MARTS)
def test_the_header_names_the_columns_in_order(opened: duckdb.DuckDBPyConnection, name: str) -> None:
    described = opened.execute(f"DESCRIBE {name}").fetchall()
    assert [column[0] for column in described] == [column.name for column in MARTS[name].columns]


@pytest.mark.parametrize("name", MARTS)
def test_the_grain_tells_rows_apart_and_holds_simulated(opened: duckdb.DuckDBPyConnection, name: str) -> None:
    mart = MARTS[name]
    assert "simulated" in mart.grain
    keys = ", ".join(mart.grain)
    # a lake of some days has no gap of more than 400 (test_counters has one)
    assert one(opened, f"SELECT count(*) FROM {name}") > 0 or name == "long_gaps"
    assert opened.execute(f"SELECT {keys} FROM {name} GROUP BY {keys} HAVING count(*) > 1").fetchall() == []


@pytest.mark.parametrize("name", MARTS)
def test_an_empty_lake_gives_no_rows(opened_empty: duckdb.DuckDBPyConnection, name: str) -> None:
    assert opened_empty.execute(f"FROM {name}").fetchall() == []


def test_a_column_of_one_name_means_the_same_in_every_footprint() -> None:
    docs: dict[str, set[tuple[str, str]]] = {}
    for name in FOOTPRINTS:
        for column in MARTS[name].columns:
            docs.setdefault(column.name, set()).add((column.unit, column.doc))
    differing = {name for name, said in docs.items() if len(said) > 1}
    # what a job names is described from the row's side; figures must not differ
    assert differing <= {"model", "phase", "team", "project", "jobs"}


def test_a_unit_stands_with_every_figure_that_has_one() -> None:
    units = {"_kwh": "kWh", "_mj": "mJ", "_kg": "kg CO2e", "_ug": "µg CO2e", "_ul": "µL", "_l": "L", "_h": "h", "_gb": "GB", "_ms": "ms"}
    for mart in MARTS.values():
        for column in mart.columns:
            for ending, unit in units.items():
                if column.name.endswith(ending) and "_per_" not in column.name:
                    assert column.unit == unit, f"{mart.name}.{column.name}"


@pytest.mark.parametrize("name", FOOTPRINTS)
def test_every_footprint_adds_up_to_the_whole_lake(opened: duckdb.DuckDBPyConnection, name: str) -> None:
    for simulated in (False, True):
        facts = one(opened, f"SELECT sum(energy_mj) / 3.6e9 FROM fact_energy WHERE simulated = {simulated}")
        emitted = one(opened, f"SELECT sum(location_ug) / 1e9 FROM fact_emissions WHERE simulated = {simulated}")
        built = one(opened, f"SELECT sum(embodied_ug) / 1e9 FROM fact_embodied WHERE simulated = {simulated}")
        found = rows(opened, f"SELECT sum(energy_kwh) AS e, sum(location_kg) AS l, sum(embodied_kg) AS b FROM {name} WHERE simulated = {simulated}")[0]
        assert found["e"] == pytest.approx(facts, rel=1e-12)
        assert found["l"] == pytest.approx(emitted, rel=1e-12)
        assert found["b"] == pytest.approx(built, rel=1e-12)


def test_totals_are_exact_integers(opened: duckdb.DuckDBPyConnection) -> None:
    assert one(opened, "SELECT sum(energy_mj) FROM footprint_totals") == one(opened, "SELECT sum(energy_mj) FROM fact_energy")
    assert one(opened, "SELECT count(*) FROM footprint_totals WHERE energy_mj <> measured_mj + integrated_mj + estimated_mj + imputed_mj") == 0


def test_shares_stay_within_one_though_the_classes_of_a_rest_are_differences(opened: duckdb.DuckDBPyConnection) -> None:
    assert one(opened, "SELECT count(*) FROM fact_energy WHERE measured_mj < 0") > 0
    for name in FOOTPRINTS:
        for row in rows(opened, f"FROM {name} WHERE energy_kwh IS NOT NULL"):
            shares = [row[f"{kind}_share"] for kind in ("measured", "integrated", "estimated", "imputed")]
            assert all(0 <= share <= 1 for share in shares)
            assert sum(shares) == pytest.approx(1)
    train = rows(opened, "FROM footprint_by_job WHERE job = 'train-1'")[0]
    rest, energy = opened.execute("SELECT sum(energy_mj) FILTER (device_kind = 'rest'), sum(energy_mj) FROM fact_energy WHERE job = 'train-1'").fetchall()[0]
    assert train["integrated_share"] == pytest.approx(rest / energy)


def test_a_job_without_attributes_is_none_and_what_no_job_held_is_named(opened: duckdb.DuckDBPyConnection) -> None:
    found = {(r["job"], r["model"], r["phase"], r["team"]) for r in rows(opened, "FROM footprint_by_job")}
    assert ("half-1", "(none)", "(none)", "(none)") in found
    assert ("(unattributed)", "(unattributed)", "(unattributed)", "(unattributed)") in found


def test_a_job_in_which_nothing_was_read_has_unknown_energy_and_why(opened: duckdb.DuckDBPyConnection) -> None:
    (job,) = rows(opened, "FROM footprint_by_job WHERE job = 'lost-1'")
    assert (job["line"], job["energy_kwh"], job["location_kg"], job["not_read"]) == ("job_active", None, None, "a1 gpu9: no reading of the device")
    (phase,) = rows(opened, "FROM footprint_by_phase WHERE phase = 'evaluate'")
    assert phase["energy_kwh"] > 0  # of the job that was read
    assert phase["no_energy_jobs"] == 1
    assert one(opened, "SELECT sum(no_energy_jobs) FROM footprint_by_team") == one(opened, "SELECT sum(no_energy_jobs) FROM footprint_by_model") == 1
    quality = rows(opened, "FROM data_quality WHERE topic = 'jobs without energy'")
    assert [(r["subject"], r["simulated"], r["rows"], r["energy_kwh"]) for r in quality] == [("no reading of the device", False, 1, None)]


def test_a_phase_of_which_no_job_was_read_has_unknown_energy(new_lake: Callable[..., Path], filling: str) -> None:
    unread = "".join(f"DELETE FROM lake.{table} WHERE job = 'eval-1';" for table in ("fact_energy", "fact_emissions"))
    with open_lake(new_lake(filling + unread)) as connection:
        (phase,) = rows(connection, "FROM footprint_by_phase WHERE phase = 'evaluate'")
        notes = connection.execute("SELECT job, note FROM jobs_without_energy ORDER BY job").fetchall()
    assert (phase["energy_kwh"], phase["no_energy_jobs"]) == (None, 2)
    assert phase["embodied_kg"] > 0
    assert notes == [("eval-1", "no reading in its time"), ("lost-1", "no reading of the device")]


def test_a_job_of_other_days_is_not_one_in_which_nothing_was_read(lake: Path) -> None:
    first, day = 1_772_409_600_000, 86_400_000
    with open_lake(lake, (first, first + day)) as connection:
        assert rows(connection, "FROM jobs_without_energy") == []
        assert one(connection, "SELECT count(*) FROM footprint_by_job WHERE energy_kwh IS NULL AND line = 'job_active'") == 0
    with open_lake(lake, (first + 2 * day, first + 3 * day)) as connection:
        assert [r["job"] for r in rows(connection, "FROM jobs_without_energy")] == ["lost-1"]


def test_the_days_add_up_to_the_lake_and_name_team_and_site(opened: duckdb.DuckDBPyConnection) -> None:
    assert one(opened, "SELECT sum(energy_mj) FROM daily_totals") == one(opened, "SELECT sum(energy_mj) FROM fact_energy")
    assert one(opened, "SELECT sum(embodied_ug) FROM daily_totals") == one(opened, "SELECT sum(embodied_ug) FROM fact_embodied")
    by_day = "SELECT team, sum(energy_kwh), sum(location_kg) FROM footprint_by_day WHERE NOT simulated GROUP BY team ORDER BY team"
    by_team = "SELECT team, sum(energy_kwh), sum(location_kg) FROM footprint_by_team WHERE NOT simulated GROUP BY team ORDER BY team"
    for found, given in zip(opened.execute(by_day).fetchall(), opened.execute(by_team).fetchall(), strict=True):
        assert found[0] == given[0]
        assert found[1:] == pytest.approx(given[1:], rel=1e-12)
    (first,) = rows(opened, "FROM footprint_by_day WHERE day_utc = DATE '2026-03-02' AND phase = 'data'")
    assert (first["team"], first["site"], first["model"], first["jobs"]) == ("nlp", "dublin", "llama-mini", 1)
    assert first["embodied_kg"] > 0


def test_embodied_emissions_fall_to_the_site_at_the_end_of_the_day_and_count_once(new_lake: Callable[..., Path], filling: str) -> None:
    moved = """
        DELETE FROM lake.accounted_places WHERE node = 'a1';
        INSERT INTO lake.accounted_places BY NAME
        SELECT 'a1' AS node, unnest(['dublin', 'oslo']) AS site, unnest([0, getvariable('t0') + 36 * 3600000]) AS start_ms,
               unnest([getvariable('t0') + 36 * 3600000, 4611686018427387904]) AS end_ms;"""
    with open_lake(new_lake(filling + moved)) as connection:
        found = connection.execute("SELECT DISTINCT day(day_utc), site FROM daily_totals WHERE job = 'train-1' AND embodied_ug > 0 ORDER BY 1").fetchall()
        assert found == [(2, "dublin"), (3, "oslo"), (4, "oslo")]
        assert one(connection, "SELECT sum(embodied_ug) FROM daily_totals") == one(connection, "SELECT sum(embodied_ug) FROM fact_embodied")


def test_failed_and_open_jobs_are_visible(opened: duckdb.DuckDBPyConnection) -> None:
    status = dict(opened.execute("SELECT job, status FROM footprint_by_job WHERE line = 'job_active'").fetchall())
    assert (status["sweep-1"], status["tune-1"], status["serve-1"]) == ("failed", "cancelled", "open")


def test_unknown_emissions_are_null_and_said_beside_the_sum(opened: duckdb.DuckDBPyConnection) -> None:
    train = rows(opened, "FROM footprint_by_job WHERE job = 'train-1'")[0]
    missing = one(opened, "SELECT sum(energy_mj) / 3.6e9 FROM fact_emissions WHERE job = 'train-1' AND location_ug IS NULL")
    assert train["location_kg"] is not None
    assert train["no_location_kwh"] == missing > 0
    nowhere = rows(opened, "FROM footprint_by_site_hour WHERE site = '(unknown)'")
    assert nowhere
    assert all(r["location_kg"] is None and r["direct_g_per_kwh"] is None and r["no_location_kwh"] == r["energy_kwh"] for r in nowhere)


def test_the_one_sum_of_scopes_leaves_upstream_and_marginal_out(opened: duckdb.DuckDBPyConnection) -> None:
    for row in rows(opened, "FROM footprint_by_model WHERE embodied_kg IS NOT NULL"):
        assert row["operational_plus_embodied_kg"] == pytest.approx(row["location_kg"] + row["overhead_location_kg"] + row["embodied_kg"])
    assert one(opened, "SELECT operational_plus_embodied_kg FROM footprint_by_job WHERE job = 'sim-train'") is None
    for name in FOOTPRINTS:
        assert not any("marginal" in column.name for column in MARTS[name].columns)


def test_the_hourly_intensity_is_the_grids_own(opened: duckdb.DuckDBPyConnection) -> None:
    found = rows(opened, """
        SELECT h.direct_g_per_kwh AS found, g.direct_g_per_kwh AS given FROM footprint_by_site_hour h
        JOIN ref_grid g ON g.zone = h.zone AND epoch_ms(g.start_ms) = h.hour_utc WHERE NOT h.simulated""")
    assert len(found) == 143
    for row in found:
        assert row["found"] == pytest.approx(row["given"], rel=1e-6)


def test_inference_divides_the_jobs_energy_by_the_requests(opened: duckdb.DuckDBPyConnection) -> None:
    (row,) = rows(opened, "FROM inference")
    energy_mj = one(opened, "SELECT sum(energy_mj) FROM fact_energy WHERE job = 'serve-1'")
    requests, tokens = opened.execute("SELECT sum(requests), sum(tokens_in + tokens_out) FROM fact_serving").fetchall()[0]
    assert row["requests"] == requests
    assert row["energy_wh_per_request"] == pytest.approx(energy_mj / 3.6e6 / requests)
    assert row["energy_wh_per_1000_tokens"] == pytest.approx(energy_mj / 3.6e6 / tokens * 1000)
    assert row["tokens_cached"] is None


def test_serving_without_a_job_has_no_energy_rather_than_none_used(new_lake: Callable[..., Path]) -> None:
    lake = new_lake("INSERT INTO lake.fact_serving BY NAME SELECT 1772409600000 AS start_ms, 1772413200000 AS end_ms, 'm' AS model, 5 AS requests, "
                    "10 AS tokens_in, 0 AS tokens_out, false AS simulated")
    with open_lake(lake) as connection:
        (row,) = rows(connection, "FROM inference")
    assert (row["jobs"], row["requests"], row["energy_kwh"], row["energy_wh_per_request"]) == (0, 5, None, None)


def test_unknown_transfers_stay_unknown(opened: duckdb.DuckDBPyConnection) -> None:
    lan, wan = rows(opened, "FROM data_movement ORDER BY medium")
    assert (lan["energy_kwh"], lan["location_kg"], lan["no_energy_gb"]) == (None, None, 900.0)
    assert (wan["energy_kwh"], wan["low_kwh"], wan["high_kwh"], wan["embodied_kg"]) == (18.75, 4.6875, 150.0, None)


def test_closure_is_exact_per_device_and_day(opened: duckdb.DuckDBPyConnection) -> None:
    for row in rows(opened, "FROM closure"):
        assert row["job_active_mj"] + row["job_idle_mj"] + row["pool_idle_mj"] + row["unattributed_mj"] == row["total_mj"]
        assert (row["lines_difference_mj"], row["classes_difference_mj"]) == (0, 0)


def test_the_facts_equal_the_counters_to_the_millijoule(opened: duckdb.DuckDBPyConnection) -> None:
    found = rows(opened, "FROM counters")
    assert {(r["node"], r["device"]) for r in found if r["outermost"]} == {("a1", "wall"), ("b1", "wall"), ("c1", "cpu-package-0"), ("s1", "gpu0")}
    assert all(r["difference_mj"] == 0 and r["note"] == "equal" for r in found)
    assert sum(r["facts_mj"] for r in found if r["outermost"]) == one(opened, "SELECT sum(energy_mj) FROM fact_energy")


def test_a_broken_closure_shows(new_lake: Callable[..., Path], filling: str) -> None:
    lake = new_lake(filling + "UPDATE lake.fact_energy SET energy_mj = energy_mj + 1 WHERE node = 'c1' AND start_ms = getvariable('t0') + 36000000;")
    with open_lake(lake) as connection:
        assert one(connection, "SELECT sum(classes_difference_mj) FROM closure") == 1
        broken = rows(connection, "FROM counters WHERE difference_mj <> 0")
    assert [(r["node"], r["difference_mj"]) for r in broken] == [("c1", 1)]


def test_power_only_devices_are_not_compared(new_lake: Callable[..., Path], filling: str) -> None:
    lake = new_lake(filling + "UPDATE lake.reading_bounds SET power_mw = 1, energy_mj = NULL WHERE node = 'c1';")
    with open_lake(lake) as connection:
        (row,) = rows(connection, "FROM counters WHERE node = 'c1'")
    assert (row["counter_mj"], row["difference_mj"]) == (None, None)
    assert "power only" in row["note"]


def test_coverage_counts_a_period_once_however_many_lines_it_has(opened: duckdb.DuckDBPyConnection) -> None:
    (gap,) = rows(opened, "FROM coverage WHERE node = 'b1' AND device = 'gpu0' AND day_utc = DATE '2026-03-03'")
    assert (gap["known_h"], gap["covered_h"]) == (24.0, 22.5)
    assert gap["coverage"] == 22.5 / 24
    (part,) = rows(opened, "FROM coverage WHERE node = 'c1'")
    # its first reading is at 10:00
    assert (part["coverage"], part["day_coverage"], part["flags"]) == (1.0, 12 / 14, "conflict,outlier")
    (shared,) = rows(opened, "FROM coverage WHERE node = 'a1' AND device = 'gpu0' AND day_utc = DATE '2026-03-04'")
    assert shared["known_h"] == 24.0


def test_embodied_keeps_the_unknown_apart(opened: duckdb.DuckDBPyConnection) -> None:
    by = {(r["node"], r["item"]): r for r in rows(opened, "FROM embodied_by_node")}
    assert by["c1", "(machine)"]["embodied_kg"] is None
    assert by["c1", "(machine)"]["unknown_days"] == 3
    a1 = by["a1", "(machine)"]
    assert a1["embodied_kg"] == pytest.approx(a1["job_kg"] + a1["unattributed_kg"])


def test_data_quality_counts_rejects_and_classes(opened: duckdb.DuckDBPyConnection) -> None:
    found = rows(opened, "FROM data_quality")
    rejects = {r["subject"]: r["rows"] for r in found if r["topic"] == "rejects"}
    assert rejects == {"readings: energy_mj: -5 is below 0": 2, "jobs: the end must be after the start": 1}
    for topic in ("class", "basis"):
        assert sum(r["energy_share"] for r in found if r["topic"] == topic and not r["simulated"]) == pytest.approx(1)
    assert {r["subject"] for r in found if r["topic"] == "basis" and not r["emissions_known"]} == {"unknown site", "no grid figure"}


def test_factors_in_use_name_their_source_and_standing(opened: duckdb.DuckDBPyConnection) -> None:
    by = {(r["kind"], r["subject"]): r for r in rows(opened, "FROM factors_in_use WHERE NOT simulated")}
    assert by["grid", "NO"]["source"] == "a yearly average"
    assert (by["grid", "NO"]["estimated"], by["grid", "IE"]["estimated"]) == (True, False)
    assert by["grid", "IE"]["versions"] == 71
    assert (by["site", "dublin"]["low"], by["site", "dublin"]["unit"]) == (1.2, "PUE")
    assert by["network", "wan"]["low"] == pytest.approx(0.0075)
    assert by["embodied", "gpu-x"]["energy_kwh"] is None


def test_a_version_seen_twice_counts_its_energy_once(new_lake: Callable[..., Path], filling: str) -> None:
    lake = new_lake(filling + "INSERT INTO lake.ref_grid SELECT * REPLACE (known_from_ms + 1 AS known_from_ms, 'again' AS boot) FROM lake.ref_grid;")
    with open_lake(lake) as connection:
        energy = one(connection, "SELECT sum(energy_kwh) FROM factors_in_use WHERE kind = 'grid' AND NOT simulated")
        assert energy == pytest.approx(one(connection, "SELECT sum(energy_mj) / 3.6e9 FROM fact_emissions WHERE NOT simulated AND location_ug IS NOT NULL"))


@pytest.mark.parametrize("text", ["SELECT 1", "-- What.\n--\n-- Grain: a.\nSELECT 1", "-- What.\n-- Grain: a.\n-- Columns:\n--   no colon here\nSELECT 1"])
def test_a_header_that_lacks_something_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.sql"):
        parse("x", text)
