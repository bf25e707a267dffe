"""Embodied emissions: worked examples of docs/accounting.md, section 8."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wattlake_contracts.tables import FACT_EMBODIED
from wattlake_pipelines.account.kernels.embodied import embodied_facts
from wattlake_pipelines.arrow_schema import table_schema

HOUR, DAY = 3_600_000, 86_400_000
YEAR = 365 * DAY  # 8,760 h
TEXT, INT, FLAG = pa.string(), pa.int64(), pa.bool_()
ITEMS = pa.schema([
    ("node", TEXT), ("device", TEXT), ("sku", TEXT), ("machine_sku", TEXT), ("acquired_on_ms", INT), ("retired_on_ms", INT),
    ("valid_from_ms", INT), ("valid_to_ms", INT), ("embodied_ug", INT), ("life_years", pa.float64()), ("version", TEXT),
    ("estimated", FLAG), ("component_of", TEXT), ("simulated", FLAG),
])
JOBS = pa.schema([("job", TEXT), ("node", TEXT), ("device", TEXT), ("start_ms", INT), ("end_ms", INT), ("share_ppm", INT)])
PER_DAY = 24_000  # what an item below accrues in a day, in µg: a thousand an hour


def item(**more):
    return {"node": "n", "device": None, "sku": "dgx", "machine_sku": "dgx", "acquired_on_ms": 0, "retired_on_ms": None,
            "valid_from_ms": None, "valid_to_ms": None, "embodied_ug": 365 * PER_DAY, "life_years": 1.0, "version": "v",
            "estimated": False, "component_of": None, "simulated": False, **more}


def job(name="j", start=0, end=DAY, share=1_000_000, node="n", device=None):
    return {"job": name, "node": node, "device": device, "start_ms": start, "end_ms": end, "share_ppm": share}


def facts(items, jobs=(), days=(0,), watermark=100 * YEAR):
    table = embodied_facts(pa.Table.from_pylist(items, ITEMS), pa.Table.from_pylist(list(jobs), JOBS), np.array(days, np.int64), watermark)
    assert table.schema.equals(table_schema(FACT_EMBODIED))
    return table.to_pylist()


def short(rows):
    return [(r["device"], r["line"], r["job"], r["embodied_ug"], r["reserved_ms"]) for r in rows]


def test_a_silent_machine_accrues_too():
    assert facts([item()]) == [{
        "start_ms": 0, "end_ms": DAY, "node": "n", "device": None, "line": "unattributed", "job": None, "embodied_ug": PER_DAY,
        "reserved_ms": DAY, "version": "v", "estimated": False, "simulated": False, "basis": "acquired_on",
    }]


def test_a_job_bears_the_hours_that_it_reserves_and_the_rest_is_unattributed():
    assert short(facts([item()], [job(start=HOUR, end=7 * HOUR)])) == [
        (None, "job_active", "j", 6_000, 6 * HOUR), (None, "unattributed", None, 18_000, 18 * HOUR),
    ]


def test_shares_split_time_and_emissions_and_too_many_split_by_weight_alone():
    jobs = [job("a", share=600_000), job("b", share=600_000, end=12 * HOUR)]
    assert short(facts([item()], jobs)) == [
        (None, "job_active", "a", 6_000 + 7_200, 6 * HOUR + 12 * HOUR * 6 // 10),
        (None, "job_active", "b", 6_000, 6 * HOUR),
        (None, "unattributed", None, 4_800, 12 * HOUR * 4 // 10),
    ]


def test_a_job_with_several_records_bears_its_greatest_share_once():
    jobs = [job(share=200_000), job(share=500_000, device="gpu0"), job(share=300_000, device="gpu0", end=DAY // 2)]
    assert short(facts([item(device="gpu0")], jobs)) == [
        ("gpu0", "job_active", "j", 12_000, DAY // 2), ("gpu0", "unattributed", None, 12_000, DAY // 2),
    ]


def test_a_device_is_held_by_jobs_on_it_and_on_its_node_the_machine_only_by_those_on_its_node():
    items = [item(), item(device="gpu0", sku="h100")]
    rows = short(facts(items, [job("on-gpu", device="gpu0", end=HOUR), job("whole", start=HOUR, end=2 * HOUR), job("away", node="m")]))
    assert rows == [
        (None, "job_active", "whole", 1_000, HOUR), (None, "unattributed", None, 23_000, 23 * HOUR),
        ("gpu0", "job_active", "on-gpu", 1_000, HOUR), ("gpu0", "job_active", "whole", 1_000, HOUR),
        ("gpu0", "unattributed", None, 22_000, 22 * HOUR),
    ]


def test_nothing_accrues_after_the_life_and_over_it_exactly_the_whole():
    total = 1_000_000_000_007
    rows = facts([item(embodied_ug=total, acquired_on_ms=5 * HOUR + 1)], [job(start=3 * DAY + 77, end=90 * DAY + 3, share=333_333)],
                 days=[d * DAY for d in range(400)])
    assert sum(r["embodied_ug"] for r in rows) == total
    assert sum(r["reserved_ms"] for r in rows) == YEAR
    assert max(r["start_ms"] for r in rows) == 365 * DAY


def test_days_made_apart_are_those_made_together():
    jobs, days = [job(start=HOUR + 1, end=2 * DAY + 5, share=123_457)], [2 * DAY, 0, DAY, 0]
    items = [item(embodied_ug=987_654_321), item(device="gpu0", sku="h100", embodied_ug=123_456_789, life_years=3.7)]
    apart = [row for day in sorted(set(days)) for row in facts(items, jobs, [day])]
    assert facts(items, jobs, days) == apart
    assert facts(items[::-1], jobs, days) == apart


@pytest.mark.parametrize(("change", "watermark", "hours"), [
    ({"retired_on_ms": 3 * HOUR}, YEAR, 3), ({"valid_to_ms": 4 * HOUR}, YEAR, 4), ({}, 5 * HOUR, 5),
    ({"acquired_on_ms": 20 * HOUR}, YEAR, 4), ({"valid_from_ms": 22 * HOUR}, YEAR, 2),
])
def test_accrual_runs_between_the_bounds_that_are_known(change, watermark, hours):
    (row,) = facts([item(**change)], watermark=watermark)
    assert (row["embodied_ug"], row["reserved_ms"]) == (hours * 1_000, hours * HOUR)


def test_an_item_that_comes_late_into_the_inventory_has_lost_the_life_behind_it():
    late = item(valid_from_ms=YEAR - HOUR)
    (row,) = facts([late], days=[364 * DAY])
    assert (row["embodied_ug"], row["reserved_ms"]) == (1_000, HOUR)
    assert facts([late], days=[365 * DAY]) == []


def test_without_a_date_of_purchase_life_begins_with_the_inventory():
    (row,) = facts([item(acquired_on_ms=None, valid_from_ms=DAY)], days=[DAY])
    assert (row["embodied_ug"], row["basis"]) == (PER_DAY, "valid_from")


@pytest.mark.parametrize(("change", "basis"), [
    ({"sku": None}, "no sku"), ({"embodied_ug": None, "life_years": None, "version": None}, "no factor"),
    ({"life_years": None}, "no factor"), ({"acquired_on_ms": None}, "no start"),
])
def test_what_is_unknown_is_null_with_its_reason_and_no_job_bears_it(change, basis):
    (row,) = facts([item(**change)], [job()])
    assert (row["line"], row["embodied_ug"], row["reserved_ms"], row["basis"]) == ("unattributed", None, DAY, basis)


def test_a_part_that_the_machine_s_figure_holds_and_a_device_without_a_sku_have_no_row():
    held = item(device="gpu0", sku="h100", component_of="dgx")
    assert facts([held, item(device="gpu1", sku=None)]) == []
    assert short(facts([{**held, "machine_sku": "other"}])) == [("gpu0", "unattributed", None, PER_DAY, DAY)]
    assert len(facts([{**held, "component_of": None, "machine_sku": None}])) == 1


def test_a_wholly_held_day_keeps_its_empty_unattributed_line():
    assert short(facts([item()], [job()])) == [(None, "job_active", "j", PER_DAY, DAY), (None, "unattributed", None, 0, 0)]


def test_no_days_and_no_items_make_no_rows():
    assert facts([item()], [job()], days=()) == []
    assert facts([], [job()]) == []
