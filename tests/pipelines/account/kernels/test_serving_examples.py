"""Requests and tokens per hour: worked examples of docs/accounting.md, section 9."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa

from wattlake_contracts.tables import FACT_SERVING, RAW_SERVING
from wattlake_pipelines.account.kernels.serving import serving_facts
from wattlake_pipelines.arrow_schema import table_schema

HOUR = 3_600_000


def reading(ts, requests, **more):
    return {"model": "m", "epoch": "e", "ts_ms": ts, "requests": requests, "tokens_in": 10 * requests, "tokens_out": 2 * requests,
            "simulated": False, **more}


def facts(*rows, hours=(0, HOUR, 2 * HOUR)):
    table = serving_facts(pa.Table.from_pylist(list(rows), table_schema(RAW_SERVING)), np.array(hours, np.int64))
    assert table.schema.equals(table_schema(FACT_SERVING))
    return table.to_pylist()


def requests(*rows, **more):
    return [(r["start_ms"] // HOUR, r["requests"]) for r in facts(*rows, **more)]


def test_a_counter_is_cut_at_the_hours_and_adds_up_to_its_difference():
    (first, second) = facts(reading(HOUR // 2, 100), reading(2 * HOUR, 104))
    assert (first["start_ms"], first["end_ms"], second["start_ms"]) == (0, HOUR, HOUR)
    # a third of 4 requests, 40 tokens in and 8 out falls into the first hour: 1.33, 13.33, 2.67
    assert [first[c] for c in ("requests", "tokens_in", "tokens_out")] == [1, 13, 3]
    assert [second[c] for c in ("requests", "tokens_in", "tokens_out")] == [3, 27, 5]
    assert (first["tokens_cached"], first["units"]) == (None, None)


def test_only_the_hours_asked_for_are_made_and_they_are_the_same():
    rows = [reading(0, 0), reading(3 * HOUR, 100)]
    assert requests(*rows, hours=(HOUR,)) == requests(*rows)[1:2] == [(1, 34)]


def test_an_hour_touched_without_growth_has_a_row_of_zero_and_an_untouched_one_has_none():
    assert requests(reading(0, 5), reading(HOUR, 5)) == [(0, 0)]
    assert requests(reading(0, 5)) == []
    assert requests() == []


def test_epochs_are_series_of_their_own_and_a_fall_within_one_begins_again():
    assert requests(reading(0, 90), reading(600_000, 100), reading(1_200_000, 3), reading(1_800_000, 5)) == [(0, 12)]
    assert requests(reading(0, 90), reading(600_000, 100), reading(1_200_000, 3, epoch="f"), reading(1_800_000, 5, epoch="f")) == [(0, 12)]


def test_a_fall_of_any_counter_ends_the_interval():
    assert requests(reading(0, 1), reading(600_000, 2, tokens_in=3), reading(1_200_000, 4)) == [(0, 3)]
    assert requests(reading(0, 1), reading(600_000, 2, tokens_in=3)) == []


def test_a_reading_out_of_line_with_its_neighbours_is_left_out():
    assert requests(reading(0, 10), reading(600_000, 900), reading(1_200_000, 30)) == [(0, 20)]
    spike = reading(600_000, 20, units=99)
    assert requests(reading(0, 10, units=1), spike, reading(1_200_000, 30, units=3)) == [(0, 20)]


def test_of_readings_at_one_instant_the_greatest_counts_in_any_order():
    rows = [reading(0, 10), reading(HOUR, 20), reading(HOUR, 25), reading(0, 10)]
    assert {tuple(requests(*order)) for order in itertools.permutations(rows)} == {((0, 15),)}


def test_what_is_null_at_an_end_is_unknown_there_and_the_hour_adds_up_the_rest():
    rows = [reading(0, 1, units=0), reading(600_000, 2, units=5, unit=None), reading(1_200_000, 3), reading(1_800_000, 4, units=9)]
    (row,) = facts(*rows)
    assert (row["requests"], row["units"]) == (3, 5)


def test_services_are_apart_by_model_job_node_site_and_unit_and_rows_are_sorted():
    keys = [{"model": "k"}, {"job": "j"}, {"node": "n"}, {"site": "s"}, {"unit": "image"}, {}]
    rows = [row for key in keys for row in (reading(0, 0, **key), reading(HOUR, 7, **key))]
    made = facts(*rows)
    assert [(r["model"], r["job"], r["node"], r["site"], r["unit"]) for r in made] == [
        ("k", None, None, None, None), ("m", None, None, None, None), ("m", None, None, None, "image"),
        ("m", None, None, "s", None), ("m", None, "n", None, None), ("m", "j", None, None, None),
    ]
    assert {r["requests"] for r in made} == {7}


def test_epochs_of_one_service_add_up_in_one_row():
    rows = [reading(0, 0), reading(600_000, 4), reading(1_200_000, 0, epoch="f"), reading(1_800_000, 6, epoch="f", simulated=True)]
    assert [(r["simulated"], r["requests"]) for r in facts(*rows)] == [(False, 4), (True, 6)]
    assert requests(*rows[:3], {**rows[3], "simulated": False}) == [(0, 10)]


def test_counts_near_the_limit_and_gaps_of_a_year_and_more_stay_exact():
    total, long = 2**53 - 1, 399 * 24
    start, end = 7, long * HOUR + 13
    hours = np.arange(long + 1) * HOUR
    rows = pa.Table.from_pylist([reading(start, 0, tokens_in=0, tokens_out=0), reading(end, total, tokens_in=0, tokens_out=0)],
                                table_schema(RAW_SERVING))
    made = serving_facts(rows, hours)
    assert made.num_rows == long + 1
    assert sum(made["requests"].to_pylist()) == total
    # the first hour, by the formula in whole numbers: floor((2 D (t - a) + L) / (2 L))
    length = end - start
    assert made["requests"][0].as_py() == (2 * total * (HOUR - start) + length) // (2 * length)


def test_over_more_than_400_days_nothing_is_spread():
    days = 400 * 24 * HOUR
    assert requests(reading(HOUR - days, 1), reading(HOUR, 5)) != []
    assert requests(reading(HOUR - days - 1, 1), reading(HOUR, 5)) == []
