"""Data moved: worked examples of docs/accounting.md, section 9."""

from __future__ import annotations

import pyarrow as pa
import pytest

from wattlake_contracts.tables import FACT_TRANSFERS, RAW_TRANSFERS
from wattlake_pipelines.account.kernels.transfers import transfer_facts
from wattlake_pipelines.arrow_schema import table_schema

GB = 1_000_000_000
TEXT, INT, REAL = pa.string(), pa.int64(), pa.float64()
FACTORS = pa.schema([("medium", TEXT), ("from_ms", INT), ("to_ms", INT), ("energy_mj_per_gb", REAL), ("low_mj_per_gb", REAL),
                     ("high_mj_per_gb", REAL), ("factor", TEXT)])
SITE_ZONE = pa.schema([("site", TEXT), ("zone", TEXT), ("start_ms", INT), ("end_ms", INT)])
GRID = pa.schema([("zone", TEXT), ("start_ms", INT), ("end_ms", INT), ("direct_g_per_kwh", REAL)])
PLACES = [{"site": "paris", "zone": "FR", "start_ms": 0, "end_ms": 1_000}, {"site": "berlin", "zone": "DE", "start_ms": 0, "end_ms": 1_000}]
MIX = [{"zone": "FR", "start_ms": 0, "end_ms": 1_000, "direct_g_per_kwh": 50.0},
       {"zone": "DE", "start_ms": 0, "end_ms": 1_000, "direct_g_per_kwh": 350.0}]
# 0.001 kWh/GB, a round figure for the sake of the sums
YEAR = [{"medium": "wan", "from_ms": 0, "to_ms": 500, "energy_mj_per_gb": 3_600_000.0, "low_mj_per_gb": 1_800_000.0,
         "high_mj_per_gb": None, "factor": "2023"},
        {"medium": "wan", "from_ms": 500, "to_ms": 1_000, "energy_mj_per_gb": 1_800_000.0, "low_mj_per_gb": None,
         "high_mj_per_gb": 3_600_000.0, "factor": "2024"}]


def transfer(**more):
    return {"id": "t", "ts_ms": 100, "bytes": 10 * GB, "medium": "wan", "from_site": "paris", "to_site": "berlin", "simulated": False,
            "appended_ms": 1, **more}


def facts(*rows, factors=YEAR, places=PLACES, mix=MIX):
    table = transfer_facts(
        pa.Table.from_pylist(list(rows), table_schema(RAW_TRANSFERS)), pa.Table.from_pylist(factors, FACTORS),
        pa.Table.from_pylist(places, SITE_ZONE), pa.Table.from_pylist(mix, GRID),
    )
    assert table.schema.equals(table_schema(FACT_TRANSFERS))
    return table.to_pylist()


def test_bytes_take_the_average_of_their_year_and_the_mean_of_both_ends():
    (row,) = facts(transfer(job="j", model="m"))
    # 10 GB x 0.001 kWh/GB = 0.01 kWh; x (50 + 350) / 2 g/kWh = 2 g
    assert (row["energy_mj"], row["low_mj"], row["high_mj"]) == (36_000_000, 18_000_000, None)
    assert (row["location_ug"], row["basis"], row["factor"]) == (2_000_000, "both ends", "2023")
    assert (row["embodied_ug"], row["job"], row["model"], row["bytes"]) == (None, "j", "m", 10 * GB)


def test_another_year_has_another_factor():
    (row,) = facts(transfer(ts_ms=500))
    assert (row["energy_mj"], row["low_mj"], row["high_mj"], row["factor"]) == (18_000_000, None, 36_000_000, "2024")


@pytest.mark.parametrize(("ends", "ug", "basis"), [
    ({"to_site": "the moon"}, 500_000, "one end"), ({"from_site": "the moon"}, 3_500_000, "one end"),
    ({"to_site": "paris"}, 500_000, "both ends"), ({"from_site": "mars", "to_site": "the moon"}, None, "no grid figure"),
])
def test_an_unknown_end_leaves_the_known_one(ends, ug, basis):
    (row,) = facts(transfer(**ends))
    assert (row["location_ug"], row["basis"]) == (ug, basis)
    assert row["energy_mj"] == 36_000_000


@pytest.mark.parametrize("change", [{"medium": "cdn"}, {"ts_ms": 1_000}])
def test_without_a_factor_for_the_medium_and_year_energy_is_unknown(change):
    (row,) = facts(transfer(**change))
    assert (row["energy_mj"], row["location_ug"], row["factor"], row["basis"]) == (None, None, None, "no factor")


def test_the_row_written_last_counts_and_rows_are_sorted_by_id():
    rows = [transfer(bytes=GB, appended_ms=5), transfer(bytes=2 * GB, appended_ms=4), transfer(id="a", appended_ms=9)]
    assert [(r["id"], r["bytes"]) for r in facts(*rows)] == [("a", 10 * GB), ("t", GB)]
    assert facts(*rows[::-1]) == facts(*rows)


def test_of_rows_written_at_once_the_greater_content_counts_whatever_the_order():
    rows = [transfer(bytes=GB), transfer(bytes=2 * GB)]
    assert [r["bytes"] for r in facts(*rows)] == [r["bytes"] for r in facts(*rows[::-1])] == [2 * GB]


def test_no_transfers_make_no_rows():
    assert facts() == []
