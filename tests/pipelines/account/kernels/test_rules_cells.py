"""Each sentence of docs/accounting.md, section 2, cells, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
"""

from __future__ import annotations

import pytest

from oracle.agreed import HALF, PSU, PSYS, WALL, H, S, by_job, classes, facts, line
from oracle.intervals import Settings
from oracle.worlds import BASE_MS, inventory, job, reading


def test_2_without_an_edge_an_hour_is_one_cell() -> None:
    assert by_job(facts(line("gpu0", (0, 0), (H, 2)), jobs=(job("a", 0, H, **HALF),))) == {"a": 1, None: 1}


def test_2_hours_and_periods_cut() -> None:
    rows = facts(line("gpu0", (0, 0), (2 * H, 4)), jobs=(job("a", 0, 2 * H, **HALF),), cuts=(H // 2,), hours=(0, 1))
    assert [r["energy_mj"] for r in rows] == [1, 0, 1, 0, 1, 1]


@pytest.mark.parametrize("other", [
    job("b", H // 2, 3 * H, device="gpu1", **HALF), job("b", -3 * H, H // 2, device="no such device", **HALF),
])
def test_2_the_start_and_the_end_of_each_job_on_the_node_cut(other: dict) -> None:
    rows = facts(line("gpu0", (0, 0), (H, 2)), jobs=(job("a", 0, H, **HALF), other))
    assert by_job(rows) == {"a": 2, None: 0}


@pytest.mark.parametrize("other", [job("b", H // 2, H // 2), job("b", H // 2, 0), job("b", H // 2, 3 * H, node="m")])
def test_2_a_job_that_ends_where_it_starts_or_runs_elsewhere_cuts_nothing(other: dict) -> None:
    assert by_job(facts(line("gpu0", (0, 0), (H, 2)), jobs=(job("a", 0, H, **HALF), other))) == {"a": 1, None: 1}


@pytest.mark.parametrize(("edge", "devices", "cut"), [
    (WALL, (), True), (PSU, (), True), (PSYS, (), True), ({"boundary": "pdu"}, (), True), ({}, (), False),
    ({}, (inventory("nobody", "other"),), True),
    ({}, (inventory("nobody", "other", start=BASE_MS + H - 1),), True),
    ({}, (inventory("nobody", "other", start=BASE_MS + H),), False),
    ({}, (inventory("nobody", "other", end=BASE_MS),), False),
    ({}, (inventory("nobody", "other", node="m"),), False),
])
def test_2_where_coverage_of_what_can_be_a_parent_begins_time_is_cut(edge: dict, devices: tuple, cut: bool) -> None:
    """`other` is read from the half hour on; the GPU beside it all the time."""
    readings = line("gpu0", (0, 0), (H, 2)) + line("other", (H // 2, 0), (2 * H, 0), **edge)
    rows = facts(readings, jobs=(job("a", 0, H, **HALF),), devices=devices)
    assert by_job(rows) == ({"a": 2, None: 0} if cut else {"a": 1, None: 1})


def test_2_coverage_is_the_union_of_intervals_of_all_epochs_long_gaps_too() -> None:
    wall = line("wall", (-S, 0), (H // 2, 0), epoch="a", **WALL) + line("wall", (H // 2, 0), (2 * H, 0), epoch="b", **WALL)
    rows = facts(line("gpu0", (0, 0), (H, 2)) + wall, jobs=(job("a", 0, H, **HALF),), limits=Settings())
    assert by_job(rows) == {"a": 1, None: 1}


def test_2_flags_are_those_of_the_intervals_that_share_more_than_an_instant() -> None:
    readings = line("gpu0", (0, 0), (H // 2, 1), (H // 2 + S, 900), (H, 2))  # the outlier lies in the second half
    assert [r["flags"] for r in facts(readings, cuts=(H // 2,))] == [None, "outlier"]


def test_2_classes_are_kept_apart() -> None:
    readings = [*line("gpu0", (0, 0), (H // 2, 100)), reading("gpu0", H, 150, method="estimated")]
    (row,) = facts(readings)
    assert classes(row) == {"measured": 100, "estimated": 50}
