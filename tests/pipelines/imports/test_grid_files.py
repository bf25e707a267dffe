"""Real grid files as import columns, and whole files in the wrong unit."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pytest

HOUR = 3_600_000
FIVE_MINUTES = 300_000


def hourly(shared: Path, name: str) -> pa.Table:
    """An Electricity Maps export under the names of `wattlake import grid`."""
    raw = pacsv.read_csv(shared / "grid_hourly" / name)
    start = raw.column("Datetime (UTC)").cast(pa.timestamp("ms")).cast(pa.int64())
    return pa.table({
        "zone": raw.column("Zone Id"), "start": start, "end": pc.add(start, HOUR),
        "direct_g_per_kwh": raw.column("Carbon Intensity gCO₂eq/kWh (direct)"),
        "lifecycle_g_per_kwh": raw.column("Carbon Intensity gCO₂eq/kWh (LCA)"),
        "source": raw.column("Data Source"), "estimated": raw.column("Data Estimated").cast(pa.string()),
    })


def write(table: pa.Table, path: Path) -> Path:
    pacsv.write_csv(table, path)
    return path


def renamed(table: pa.Table, **names: str) -> pa.Table:
    return table.rename_columns([names.get(n, n) for n in table.column_names])


@pytest.mark.parametrize("name", ["ES_2021_hourly.csv", "ES_2022_hourly.csv", "US-CAL-CISO_2021_hourly.csv", "US-CAL-CISO_2022_hourly.csv"])
def test_a_year_of_hours_is_imported_whole(run_import, shared_data: Path, tmp_path: Path, name: str) -> None:
    table = hourly(shared_data, name)
    ran = run_import("grid", write(table, tmp_path / "grid.csv"))
    assert ran.code == 0, ran.err
    rows = ran.rows("grid")
    assert len(rows) == 8760
    assert [r["direct_g_per_kwh"] for r in rows] == table.column("direct_g_per_kwh").to_pylist()
    assert all(r["end_ms"] - r["start_ms"] == HOUR for r in rows)
    assert ran.summary[0]["records"] == 18


def marginal(shared: Path) -> pa.Table:
    """The actual 5-minute figures (kg/kWh) of the marginal file under the names of `wattlake import grid`."""
    raw = pacsv.read_csv(shared / "grid_marginal" / "SGIP_CAISO_PGE_2021-03.csv.gz")
    start = raw.column(0)
    if not pa.types.is_timestamp(start.type):
        start = start.cast(pa.timestamp("ms"))
    # the zone is in the cell, or the file's times are UTC by its provenance
    start = start.cast(pa.timestamp("ms", start.type.tz)).cast(pa.int64())
    return pa.table({"zone": pa.array(["CAISO_PGE"] * raw.num_rows), "start": start, "end": pc.add(start, FIVE_MINUTES),
                     "marginal_kg_per_kwh": raw.column(1)})


def test_a_month_of_five_minute_marginal_figures_is_converted_from_kg(run_import, shared_data: Path, tmp_path: Path) -> None:
    table = marginal(shared_data)
    ran = run_import("grid", write(table, tmp_path / "marginal.csv"))
    assert ran.code == 0, ran.err
    rows = ran.rows("grid")
    assert len(rows) == table.num_rows
    given = table.column("marginal_kg_per_kwh").to_pylist()
    assert all(abs(r["marginal_g_per_kwh"] - 1000 * v) <= 1e-9 * abs(r["marginal_g_per_kwh"]) for r, v in zip(rows, given, strict=True))
    assert any(v == 0 for v in given)


def test_the_marginal_file_read_as_g_is_refused(run_import, shared_data: Path, tmp_path: Path) -> None:
    wrong = renamed(marginal(shared_data), marginal_kg_per_kwh="marginal_g_per_kwh")
    ran = run_import("grid", write(wrong, tmp_path / "marginal.csv"))
    assert ran.code == 1
    assert "as marginal_kg_per_kwh they would do" in ran.err
    assert ran.records() == []


def test_an_hourly_file_read_as_kg_is_refused_and_taken_only_when_told(run_import, shared_data: Path, tmp_path: Path) -> None:
    wrong = renamed(hourly(shared_data, "ES_2021_hourly.csv").drop(["lifecycle_g_per_kwh"]), direct_g_per_kwh="direct_kg_per_kwh")
    path = write(wrong, tmp_path / "grid.csv")
    ran = run_import("grid", path)
    assert ran.code == 1
    assert "direct_kg_per_kwh: half of the values are above" in ran.err
    assert "--accept-implausible" in ran.err
    forced = run_import("grid", path, options=["--accept-implausible"])
    assert forced.code == 4
    assert forced.summary[0]["rejected"] == 8760
    assert "above the maximum of 3 " in forced.err or "above the maximum of 3\n" in forced.err


def grid_file(path: Path, column: str, *values: str, lifecycle: list[str] | None = None) -> Path:
    lines = [f"zone,start,end,{column}{',lifecycle_g_per_kwh' if lifecycle else ''}"]
    for i, value in enumerate(values):
        more = f",{lifecycle[i]}" if lifecycle else ""
        lines.append(f"Z,{1_700_000_000_000 + i * HOUR},{1_700_000_000_000 + (i + 1) * HOUR},{value}{more}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("column", "values", "said"), [
    ("direct_g_per_kwh", ["0.4", "0.5", "0.9"], "as direct_kg_per_kwh they would do"),
    ("direct_g_per_kwh", ["0", "0", "0.4"], "even the largest value is 0.4"),
    ("direct_lb_per_mwh", ["0.4", "0.5", "0.9"], "as direct_kg_per_kwh they would do"),
    ("direct_kg_per_kwh", ["400", "500", "900"], "as direct_g_per_kwh or direct_lb_per_mwh they would do"),
    ("direct_g_per_kwh", ["1900", "2000", "2100"], "as direct_lb_per_mwh they would do"),
    ("marginal_g_per_kwh", ["-0.4", "0.5", "0.9"], "as marginal_kg_per_kwh they would do"),
])
def test_a_file_in_the_wrong_unit_is_refused(run_import, tmp_path: Path, column: str, values: list[str], said: str) -> None:
    ran = run_import("grid", grid_file(tmp_path / "g.csv", column, *values))
    assert ran.code == 1
    assert said in ran.err
    accepted = run_import("grid", tmp_path / "g.csv", options=["--accept-implausible"])
    assert accepted.summary[0]["rows"] == len(values)


@pytest.mark.parametrize(("column", "values", "lifecycle"), [
    ("direct_g_per_kwh", ["0", "0", "0"], None),
    ("direct_g_per_kwh", ["0", "0", "400"], None),
    ("direct_g_per_kwh", ["0.3", "0.8", "1.1"], ["11", "12", "24"]),
    ("direct_lb_per_mwh", ["800", "900", "1000"], None),
    ("marginal_g_per_kwh", ["0", "-300", "450"], None),
])
def test_zeros_and_clean_grids_are_real(run_import, tmp_path: Path, column: str, values: list[str], lifecycle: list[str] | None) -> None:
    ran = run_import("grid", grid_file(tmp_path / "g.csv", column, *values, lifecycle=lifecycle))
    assert ran.code == 0, ran.err
    assert len(ran.rows("grid")) == 3


@pytest.mark.parametrize(("direct", "lifecycle", "said"), [
    (["0.2", "0.3", "0.4"], ["280", "350", "420"], "direct_g_per_kwh: even the largest value is 0.4"),
    (["300", "310", "320"], ["0.4", "0.5", "0.6"], "lifecycle_g_per_kwh: even the largest value is 0.6"),
    (["300", "310", "320"], ["150", "160", "170"], "one of the two is in another unit"),
])
def test_columns_of_one_file_in_different_units_are_refused(
    run_import, tmp_path: Path, direct: list[str], lifecycle: list[str], said: str,
) -> None:
    ran = run_import("grid", grid_file(tmp_path / "g.csv", "direct_g_per_kwh", *direct, lifecycle=lifecycle))
    assert ran.code == 1
    assert said in ran.err


def test_embodied_figures_in_grams_are_refused(run_import, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("sku,embodied_kg,life_years\na,1312000,4\nb,150000,4\n")
    ran = run_import("embodied", path)
    assert ran.code == 1
    assert "50,000 kg" in ran.err
