"""Each sentence of docs/accounting.md, sections 1 to 5, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
Sections 6 to 9 have theirs in test_in_force_, test_jobs_, test_emissions_, test_embodied_, test_transfers_ and
test_serving_examples.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oracle import energy as oracle
from oracle.intervals import Settings
from oracle.tree import HOUR_MS
from oracle.worlds import BASE_MS, CUT_TYPES, DEVICE_TYPES, JOB_TYPES, PLACE_TYPES, READING_TYPES, inventory, job, reading, table
from wattlake_pipelines.account.kernels import energy as kernel

S, MIN, H = 1000, 60_000, HOUR_MS
LONG = Settings(long_gap_ms=10 * H)
WALL = {"device_kind": "node", "boundary": "node_ac"}
BOARD = {"device_kind": "node", "boundary": "node_dc"}
PSU = {"device_kind": "psu", "boundary": "node_dc"}
PSYS = {"device_kind": "psys"}
CPU = {"device_kind": "cpu"}


def facts(
    readings: list[dict], *, jobs: tuple[dict, ...] = (), places: tuple[dict, ...] = (), cuts: tuple[int, ...] = (),
    devices: tuple[dict, ...] = (), hours: tuple[int, ...] = (0,), limits: Settings = LONG,
) -> list[dict]:
    """The rows that oracle and kernel agree on. Cuts and hours count from BASE_MS."""
    at = [BASE_MS + h * H for h in hours]
    edges = [{"node": "n", "cut_ms": BASE_MS + c} for c in cuts]
    want = oracle.energy_facts(readings, at, list(jobs), list(places), edges, list(devices), limits)
    got = kernel.energy_facts(
        table(readings, READING_TYPES), np.array(at, np.int64), table(list(jobs), JOB_TYPES), table(list(places), PLACE_TYPES),
        table(edges, CUT_TYPES), table(list(devices), DEVICE_TYPES), kernel.Settings(limits.long_gap_ms, limits.implausible_power_ratio),
    )
    assert got.to_pylist() == want
    return want


def line(device: str, *ts_and_mj: tuple[int, int], **other: Any) -> list[dict]:
    """A counter's readings."""
    return [reading(device, ts, mj, **other) for ts, mj in ts_and_mj]


def power(device: str, *ts_and_mw: tuple[int, int], **other: Any) -> list[dict]:
    """A device's powers."""
    return [reading(device, ts, power=mw, **other) for ts, mw in ts_and_mw]


def energy(rows: list[dict], device: str = "gpu0") -> int:
    """What a device's lines add up to."""
    return sum(r["energy_mj"] for r in rows if r["device"] == device)


def by_device(rows: list[dict]) -> dict[str, int]:
    """What each leaf's lines add up to."""
    return {d: energy(rows, d) for d in sorted({r["device"] for r in rows})}


def by_job(rows: list[dict], device: str = "gpu0") -> dict[str | None, int]:
    """What each job, and nobody (None), has of a device."""
    return {r["job"]: r["energy_mj"] for r in rows if r["device"] == device}


def classes(row: dict) -> dict[str, int]:
    """The classes that a row has energy of."""
    return {k: row[f"{k}_mj"] for k in ("measured", "integrated", "estimated", "imputed") if row[f"{k}_mj"]}


# --- 1. readings become intervals -------------------------------------------------------------------------------


def test_1_a_counter_is_keyed_by_its_epoch() -> None:
    rows = facts(line("gpu0", (0, 1000), (S, 1010)) + line("gpu0", (2 * S, 3), (3 * S, 5), epoch="f"))
    assert energy(rows) == 10 + 2


def test_1_powers_of_a_device_are_one_series_epochs_together() -> None:
    rows = facts(power("gpu0", (0, 1000), epoch="a") + power("gpu0", (2 * S, 3000), epoch="b"))
    assert energy(rows) == 4000


@pytest.mark.parametrize(("column", "greater", "seen"), [
    ("method", "integrated", {"integrated": 10}), ("boundary", "node_ac", {"measured": 10}), ("device_kind", "other", {"measured": 10}),
    ("simulated", True, {"measured": 10}),
])
def test_1_1_the_greatest_tuple_of_duplicates_is_kept(column: str, greater: object, seen: dict) -> None:
    """Without a difference in value there is no conflict."""
    end = reading("gpu0", S, 10, device_kind="gpu", boundary="component")
    (row,) = facts([reading("gpu0", 0, 0), end | {column: greater}, end])
    assert classes(row) == seen
    assert row["flags"] is None
    assert column == "method" or row[column] == greater


def test_1_1_a_greater_value_comes_before_a_greater_method() -> None:
    (row,) = facts([reading("gpu0", 0, 0), reading("gpu0", S, 11), reading("gpu0", S, 10, method="integrated")])
    assert classes(row) == {"measured": 11}
    assert row["flags"] == "conflict"


def test_1_1_strings_are_compared_by_code_point() -> None:
    (row,) = facts([reading("gpu0", 0, 0), reading("gpu0", S, 10, device_kind="Z"), reading("gpu0", S, 10, device_kind="é"),
                    reading("gpu0", S, 10, device_kind="a")])
    assert row["device_kind"] == "é"


@pytest.mark.parametrize(("values", "used", "outlier"), [
    ((0, 5, 10), 10, False), ((0, 50, 10), 10, True), ((10, 5, 20), 10, True),
    ((5, 5, 5), 0, False), ((5, 6, 5), 0, True), ((5, 4, 5), 0, True),
])
def test_1_2_a_reading_out_of_line_with_neighbours_that_agree_is_left_out(values: tuple, used: int, outlier: bool) -> None:
    (row,) = facts(line("gpu0", *[(i * S, v) for i, v in enumerate(values)]))
    assert row["energy_mj"] == used
    assert row["flags"] == ("outlier" if outlier else None)


def test_1_2_the_first_and_the_last_reading_are_never_outliers() -> None:
    assert energy(facts(line("gpu0", (0, 0), (S, 10), (2 * S, 10**9)))) == 10**9
    assert energy(facts(line("gpu0", (0, 500), (S, 10), (2 * S, 20)))) == 10


def test_1_2_neighbours_are_those_of_the_deduplicated_series_outliers_included() -> None:
    # 900 lies out of line with 0 and 800; 800 is judged against 900 and 20, which do not agree, so it stays, and the counter falls to 20
    assert energy(facts(line("gpu0", (0, 0), (S, 900), (2 * S, 800), (3 * S, 20)))) == 800
    # 900 lies between 0 and 20 and goes; the duplicate of 0 is not its own neighbour
    assert energy(facts(line("gpu0", (0, 0), (0, 0), (S, 900), (2 * S, 20), (2 * S, 20)))) == 20


def test_1_2_powers_have_no_outliers() -> None:
    (row,) = facts(power("gpu0", (0, 0), (S, 10_000), (2 * S, 0)))
    assert (row["energy_mj"], row["flags"]) == (10_000, None)


def test_1_3_a_lasting_fall_begins_an_implied_epoch() -> None:
    rows = facts(line("gpu0", (0, 1000), (S, 1010), (2 * S, 3), (3 * S, 5)))
    assert energy(rows) == 10 + 2
    assert rows[0]["coverage"] == 2 * S / H


def test_1_3_a_trapezoid_is_rounded_half_up() -> None:
    assert energy(facts(power("gpu0", (0, 0), (1, 1000)))) == 1  # 0.5 mJ
    assert energy(facts(power("gpu0", (0, 0), (1, 999)))) == 0
    assert energy(facts(power("gpu0", (0, 1), (S, 2)))) == 2  # 1.5 mJ


@pytest.mark.parametrize(("mj", "limits", "kept"), [
    (1500, LONG, True), (1501, LONG, False), (2000, Settings(10 * H, 2.0), True), (2001, Settings(10 * H, 2.0), False),
])
def test_1_3_what_no_machine_of_that_size_draws_is_dropped(mj: int, limits: Settings, kept: bool) -> None:
    rows = facts(line("gpu0", (0, 0), (S, mj)), devices=(inventory("gpu0", most=1000),), limits=limits)
    assert [r["energy_mj"] for r in rows] == ([mj] if kept else [])


def test_1_3_the_limit_is_that_in_force_where_the_interval_begins() -> None:
    small = inventory("gpu0", most=1, end=BASE_MS + S)
    large = inventory("gpu0", most=10**6, start=BASE_MS + S)
    assert energy(facts(line("gpu0", (0, 0), (S, 100), (2 * S, 201)), devices=(small, large))) == 101


def test_1_3_powers_are_held_to_the_limit_too() -> None:
    assert facts(power("gpu0", (0, 2000), (S, 2000)), devices=(inventory("gpu0", most=1000),)) == []


def test_1_4_a_gap_longer_than_the_limit_is_imputed() -> None:
    (row,) = facts(line("gpu0", (0, 0), (5 * MIN, 10), (10 * MIN + 1, 30)), limits=Settings())
    assert classes(row) == {"measured": 10, "imputed": 20}


def test_1_4_the_method_of_the_later_reading_makes_the_class() -> None:
    ends = [reading("gpu0", i * S, i * i, method=m) for i, m in enumerate(("estimated", "counter", "integrated", "estimated"))]
    (row,) = facts(ends)
    assert classes(row) == {"measured": 1, "integrated": 3, "estimated": 5}


def test_1_4_powers_are_integrated_unless_estimated() -> None:
    (row,) = facts([reading("gpu0", 0, power=1000), reading("gpu0", S, power=1000, method="counter"),
                    reading("gpu0", 2 * S, power=1000, method="integrated"), reading("gpu0", 3 * S, power=1000, method="estimated")])
    assert classes(row) == {"integrated": 2000, "estimated": 1000}


def test_1_4_the_other_attributes_are_those_of_the_later_reading_too() -> None:
    (row,) = facts([reading("gpu0", 0, 0), reading("gpu0", S, 5, device_kind="switch", boundary="node_dc", simulated=True)])
    assert (row["device_kind"], row["boundary"], row["simulated"]) == ("switch", "node_dc", True)


def test_1_5_a_conflict_flags_the_intervals_on_both_sides() -> None:
    readings = line("gpu0", (0, 0), (S, 10), (S, 11), (2 * S, 20), (3 * S, 30))
    flags = [r["flags"] for r in facts(readings, cuts=(S, 2 * S))]
    assert flags == ["conflict", "conflict", None]


def test_1_5_an_outlier_flags_the_interval_that_it_was_left_out_of_and_its_own_conflict_goes_with_it() -> None:
    readings = line("gpu0", (0, 0), (S, 900), (S, 901), (2 * S, 20), (3 * S, 30))
    assert [r["flags"] for r in facts(readings, cuts=(2 * S,))] == ["outlier", None]


def test_1_6_counters_come_before_powers_and_both_are_flagged_whole() -> None:
    readings = power("gpu0", (0, 1000), (4 * S, 1000)) + line("gpu0", (S, 0), (2 * S, 7), method="estimated")
    rows = facts(readings, cuts=(S, 2 * S, 3 * S))
    assert [(classes(r), r["flags"]) for r in rows] == [
        ({"integrated": 1000}, "overlap"), ({"estimated": 7}, "overlap"),
        ({"integrated": 1000}, "overlap"), ({"integrated": 1000}, "overlap"),
    ]


def test_1_6_then_the_class_decides_then_the_smaller_epoch() -> None:
    ways = [("a", "estimated"), ("b", "integrated"), ("d", "counter"), ("c", "counter")]
    for take, used in ((4, 3), (3, 2), (2, 1), (1, 0)):
        readings = [r for i, (e, m) in enumerate(ways[:take]) for r in line("gpu0", (0, 0), (S, i), epoch=e, method=m)]
        assert energy(facts(readings)) == used


def test_1_6_imputed_comes_last() -> None:
    readings = line("gpu0", (0, 0), (H, 3600), epoch="a") + line("gpu0", (MIN, 0), (2 * MIN, 7), epoch="b", method="estimated")
    (row,) = facts(readings, limits=Settings())
    assert classes(row) == {"estimated": 7, "imputed": 3540}


def test_1_6_intervals_that_only_meet_do_not_overlap() -> None:
    (row,) = facts(line("gpu0", (0, 0), (S, 1), epoch="a") + line("gpu0", (S, 0), (2 * S, 1), epoch="b"))
    assert row["flags"] is None


def test_1_6_an_interval_that_lost_all_is_gone() -> None:
    """It touches nothing: its device kind is not the device's, and it is in no row's flags but the winner's."""
    readings = power("gpu0", (S, 5000), (2 * S, 5000), device_kind="node", boundary="node_ac") + line("gpu0", (0, 0), (3 * S, 9))
    (row,) = facts(readings)
    assert (row["device_kind"], row["energy_mj"], row["flags"]) == ("gpu", 9, "overlap")


def test_1_energy_is_linear_and_rounded_half_up_once() -> None:
    readings = line("gpu0", (-H, 0), (3 * H, 2))  # 0.5 mJ an hour: 0.5, 1, 1.5, 2 at the edges, rounded 1, 1, 2, 2
    assert [r["energy_mj"] for r in facts(readings, hours=(-1, 0, 1, 2))] == [1, 0, 1, 0]


def test_1_nothing_is_known_outside_the_intervals() -> None:
    assert facts(line("gpu0", (0, 0), (S, 5)), hours=(-1, 1)) == []
    assert facts(line("gpu0", (0, 5))) == []


# --- 2. cells ---------------------------------------------------------------------------------------------------

HALF = {"share": 500_000}  # a cell of 1 mJ goes to the job (ties go to jobs first), one of 2 mJ is halved


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


# --- 3. leaves --------------------------------------------------------------------------------------------------


def hour(device: str, mj: int, **other: Any) -> list[dict]:
    """A device read at both ends of the hour."""
    return line(device, (0, 0), (H, mj), **other)


def test_3_each_rank_holds_those_below() -> None:
    readings = (
        hour("cpu", 1, **CPU) + hour("plat", 10, **PSYS) + hour("psu", 100, **PSU) + hour("board", 1000, **BOARD)
        + hour("wall", 10_000, **WALL) + hour("outlet", 100_000, boundary="pdu") + hour("hall", 1_000_000, boundary="facility")
    )
    assert by_device(facts(readings)) == {
        "cpu": 1, "plat.rest": 9, "psu.rest": 90, "board.rest": 900, "wall.rest": 9000, "outlet.rest": 90_000, "hall.rest": 900_000,
    }


@pytest.mark.parametrize("kind", ["gpu", "cpu", "dram", "switch", "rest", "other"])
def test_3_parts_are_of_rank_0(kind: str) -> None:
    assert by_device(facts(hour("x", 1, device_kind=kind) + hour("y", 5, device_kind=kind) + hour("psu", 10, **PSU))) == {
        "x": 1, "y": 5, "psu.rest": 4,
    }


def test_3_a_node_of_boundary_component_ranks_with_the_dc_side() -> None:
    assert by_device(facts(hour("board", 10, device_kind="node", boundary="component") + hour("wall", 15, **WALL))) == {
        "board": 10, "wall.rest": 5,
    }


def test_3_the_first_of_the_lowest_higher_rank_that_covers_the_cell_is_the_parent() -> None:
    readings = hour("gpu0", 1) + hour("psu1", 10, **PSU) + hour("psu0", 20, **PSU) + hour("wall", 100, **WALL)
    assert by_device(facts(readings)) == {"gpu0": 1, "psu0.rest": 19, "psu1": 10, "wall.rest": 70}
    half = line("psu0", (0, 0), (H // 2, 10), **PSU)
    rows = facts(hour("gpu0", 2) + half + hour("wall", 100, **WALL))
    # the first half: gpu0 in psu0 in wall; the second: gpu0 in wall
    assert by_device(rows) == {"gpu0": 2, "psu0.rest": 9, "wall.rest": 100 - 10 - 1}


@pytest.mark.parametrize(("kind", "rest"), [
    ("gpu", {"plat": 10}), ("switch", {"plat": 10}), ("cpu", {"plat.rest": 9}), ("dram", {"plat.rest": 9}),
])
def test_3_only_cpu_and_dram_have_a_psys_as_parent_by_rank(kind: str, rest: dict) -> None:
    readings = hour("x", 1, device_kind=kind) + hour("plat", 10, **PSYS) + hour("wall", 100, **WALL)
    in_wall = 10 if kind in ("cpu", "dram") else 11
    assert by_device(facts(readings)) == {"x": 1, **rest, "wall.rest": 100 - in_wall}


def test_3_the_inventory_names_the_parent_even_a_psys_of_a_gpu() -> None:
    readings = hour("gpu0", 1) + hour("plat", 10, **PSYS) + hour("wall", 100, **WALL)
    assert by_device(facts(readings, devices=(inventory("gpu0", "plat"),))) == {"gpu0": 1, "plat.rest": 9, "wall.rest": 90}


def test_3_the_inventory_in_force_at_the_start_of_the_cell_counts() -> None:
    named = inventory("gpu0", "gpu1", start=BASE_MS + H // 2)
    readings = hour("gpu0", 2) + hour("gpu1", 20)
    assert by_device(facts(readings, devices=(named,))) == {"gpu0": 2, "gpu1": 20}
    assert by_device(facts(readings, devices=(named,), cuts=(H // 2,))) == {"gpu0": 2, "gpu1": 10, "gpu1.rest": 9}


@pytest.mark.parametrize("parent", ["tray", "never told of"])
def test_3_a_parent_without_readings_and_without_a_parent_of_its_own_leaves_the_device_to_its_rank(parent: str) -> None:
    readings = hour("gpu0", 4) + hour("wall", 100, **WALL)
    assert by_device(facts(readings, devices=(inventory("gpu0", parent), inventory("tray")))) == {"gpu0": 4, "wall.rest": 96}
    assert by_device(facts(hour("gpu0", 4), devices=(inventory("gpu0", parent),))) == {"gpu0": 4}


def test_3_a_named_parent_holds_the_device_only_in_the_cells_that_it_covers() -> None:
    readings = hour("gpu0", 4) + line("half", (0, 0), (H // 2, 50)) + hour("wall", 100, **WALL)
    # the first half: gpu0 in half in wall; the second: gpu0 in wall
    assert by_device(facts(readings, devices=(inventory("gpu0", "half"),))) == {"gpu0": 4, "half.rest": 48, "wall.rest": 100 - 50 - 2}


def test_3_a_parent_read_from_within_the_hour_on_is_passed_by_until_then() -> None:
    readings = hour("gpu0", 4) + line("late", (H // 2, 0), (H, 50)) + hour("outer", 100)
    devices = (inventory("gpu0", "late"), inventory("late", "outer"))
    assert by_device(facts(readings, devices=devices)) == {"gpu0": 4, "late.rest": 48, "outer.rest": 100 - 2 - 50}


def test_3_the_nearest_up_the_chain_that_covers_is_the_parent_whatever_its_rank() -> None:
    devices = (inventory("gpu0", "tray"), inventory("tray", "shelf"), inventory("shelf", "gpu1"), inventory("gpu1", "wall"))
    readings = hour("gpu0", 4) + hour("gpu1", 10) + hour("psu", 20, **PSU) + hour("wall", 100, **WALL)
    assert by_device(facts(readings, devices=devices)) == {"gpu0": 4, "gpu1.rest": 6, "psu": 20, "wall.rest": 70}


def test_3_a_chain_is_that_of_the_cells_start_and_of_its_node() -> None:
    chain = (inventory("gpu0", "tray"), inventory("tray", "gpu1", start=BASE_MS + H // 2), inventory("tray", "gpu0", node="m"))
    readings = hour("gpu0", 4) + hour("gpu1", 20)
    assert by_device(facts(readings, devices=chain)) == {"gpu0": 4, "gpu1": 20}
    assert by_device(facts(readings, devices=chain, cuts=(H // 2,))) == {"gpu0": 4, "gpu1": 10, "gpu1.rest": 8}


@pytest.mark.parametrize("devices", [
    (inventory("gpu0", "tray"), inventory("tray", "gpu0")),
    (inventory("gpu0", "tray"), inventory("tray", "tray")),
    (inventory("gpu0", "tray"), inventory("tray", "shelf"), inventory("shelf", "rack"), inventory("rack", "shelf")),
])
def test_3_a_chain_that_runs_in_a_circle_leaves_the_device_to_its_rank(devices: tuple) -> None:
    assert by_device(facts(hour("gpu0", 4) + hour("wall", 100, **WALL), devices=devices)) == {"gpu0": 4, "wall.rest": 96}
    assert by_device(facts(hour("gpu0", 4), devices=devices)) == {"gpu0": 4}


@pytest.mark.parametrize("devices", [
    (inventory("gpu0", "gpu0"),),
    (inventory("wall", "gpu0"),),  # gpu0 in wall by rank, wall in gpu0 by name
    (inventory("wall", "gpu0"), inventory("gpu0", "wall")),
    (inventory("wall", "tray"), inventory("tray", "wall"), inventory("gpu0", "tray")),
])
def test_3_who_is_on_a_circle_by_name_is_below_its_parent_by_rank_instead(devices: tuple) -> None:
    assert by_device(facts(hour("gpu0", 1) + hour("wall", 100, **WALL), devices=devices)) == {"gpu0": 1, "wall.rest": 99}


def test_3_a_circle_under_a_wall_ends_in_it() -> None:
    devices = (inventory("gpu0", "gpu1"), inventory("gpu1", "gpu0"))
    readings = hour("gpu0", 10) + hour("gpu1", 20) + hour("wall", 100, **WALL)
    assert by_device(facts(readings, devices=devices)) == {"gpu0": 10, "gpu1": 20, "wall.rest": 70}


def test_3_a_circle_that_comes_of_a_circle_ends_too() -> None:
    """gpu0 and gpu1 hold each other, so they fall to psu, which is in gpu1 by name: psu falls to wall."""
    devices = (inventory("gpu0", "gpu1"), inventory("gpu1", "gpu0"), inventory("psu", "gpu1"))
    readings = hour("gpu0", 10) + hour("gpu1", 20) + hour("psu", 50, **PSU) + hour("wall", 100, **WALL)
    assert by_device(facts(readings, devices=devices)) == {"gpu0": 10, "gpu1": 20, "psu.rest": 20, "wall.rest": 50}


def test_3_what_hangs_off_a_circle_keeps_its_parent() -> None:
    devices = (inventory("gpu0", "gpu1"), inventory("gpu1", "gpu0"), inventory("cpu", "gpu0"))
    assert by_device(facts(hour("gpu0", 10) + hour("gpu1", 20) + hour("cpu", 1, **CPU), devices=devices)) == {
        "cpu": 1, "gpu0.rest": 9, "gpu1": 20,
    }


def test_3_a_rest_is_signed_class_by_class_and_has_its_parents_boundary() -> None:
    readings = hour("gpu0", 120) + hour("gpu1", 3, method="estimated") + hour("wall", 100, simulated=True, **WALL)
    (rest,) = [r for r in facts(readings) if r["device"] == "wall.rest"]
    assert (rest["device_kind"], rest["boundary"], rest["simulated"]) == ("rest", "node_ac", True)
    assert classes(rest) == {"measured": -20, "estimated": -3}
    assert rest["energy_mj"] == -23


def test_3_a_child_takes_part_in_part_and_the_rest_is_flagged() -> None:
    rows = facts(line("gpu0", (0, 0), (H // 2, 30)) + hour("wall", 100, **WALL))
    assert {r["device"]: (r["energy_mj"], r["flags"]) for r in rows} == {"gpu0": (30, None), "wall.rest": (70, "parts_missing")}


def test_3_a_child_known_in_the_hour_is_missed_in_a_cell_that_it_does_not_touch() -> None:
    readings = hour("gpu0", 4) + line("gpu1", (0, 0), (H // 2, 30)) + hour("wall", 100, **WALL)
    flags = [(r["start_ms"] - BASE_MS, r["flags"]) for r in facts(readings, cuts=(H // 2,)) if r["device"] == "wall.rest"]
    assert flags == [(0, None), (H // 2, "parts_missing")]


def test_3_a_child_not_known_in_the_hour_is_not_missed() -> None:
    readings = hour("gpu0", 4) + line("gpu1", (-H, 0), (0, 30)) + line("wall", (-H, 0), (H, 100), **WALL)
    assert [r["flags"] for r in facts(readings) if r["device"] == "wall.rest"] == [None]


def test_3_without_children_that_are_read_a_device_is_a_leaf_itself() -> None:
    readings = line("gpu0", (0, 0), (H // 2, 30)) + hour("wall", 100, **WALL)
    rows = facts(readings, cuts=(H // 2,))
    assert [(r["device"], r["energy_mj"], r["flags"]) for r in rows] == [("gpu0", 30, None), ("wall.rest", 20, None), ("wall", 50, None)]


def test_3_a_child_that_used_nothing_is_read_all_the_same() -> None:
    assert by_device(facts(hour("gpu0", 0) + hour("wall", 100, **WALL))) == {"gpu0": 0, "wall.rest": 100}


def test_3_a_parent_that_does_not_cover_the_cell_has_no_children_there() -> None:
    readings = hour("gpu0", 4) + line("wall", (0, 0), (H // 2, 100), **WALL)
    assert by_device(facts(readings)) == {"gpu0": 4, "wall.rest": 98}  # cut at the half hour, after which the wall is unread


def test_3_attributes_in_a_cell_are_those_of_the_latest_interval_that_touches_it() -> None:
    readings = [reading("x", 0, 0), reading("x", H // 2, 10), reading("x", H, 30, device_kind="switch")]
    assert [(r["device_kind"], r["energy_mj"]) for r in facts(readings)] == [("switch", 30)]
    assert [(r["device_kind"], r["energy_mj"]) for r in facts(readings, cuts=(H // 2,))] == [("gpu", 10), ("switch", 20)]


def test_3_an_unread_devices_rank_is_that_of_its_latest_interval_in_the_hour() -> None:
    """gpu1 was a wall first: only as the GPU that it became is it missed by `psu`."""
    readings = (
        line("gpu1", (0, 0), (S, 1), (2 * S, 2)) + hour("gpu0", 4) + hour("psu", 100, **PSU)
    )
    readings[1] |= WALL
    flags = [r["flags"] for r in facts(readings, cuts=(H // 2,)) if r["device"] == "psu.rest"]
    assert flags[-1] == "parts_missing"


def test_3_a_rest_has_the_flags_of_its_parent_and_of_its_children() -> None:
    readings = [*hour("gpu0", 4), reading("gpu0", H, 5), *line("wall", (0, 0), (S, 900), (H, 100), **WALL)]
    flags = {r["device"]: r["flags"] for r in facts(readings)}
    assert flags == {"gpu0": "conflict", "wall.rest": "conflict,outlier"}


# --- 4. who held it ---------------------------------------------------------------------------------------------


def test_4_a_record_with_a_device_holds_only_that_one_without_every_leaf() -> None:
    readings = hour("gpu0", 10) + hour("gpu1", 20) + hour("wall", 100, **WALL)
    rows = facts(readings, jobs=(job("a", 0, H, device="gpu0"), job("b", 0, H, share=500_000)))
    assert by_job(rows, "gpu0") == {"a": 7, "b": 3, None: 0}
    assert by_job(rows, "gpu1") == {"b": 10, None: 10}
    assert by_job(rows, "wall.rest") == {"b": 35, None: 35}


def test_4_a_record_on_a_parent_holds_its_rest_and_not_its_children() -> None:
    rows = facts(hour("gpu0", 10) + hour("wall", 100, **WALL), jobs=(job("a", 0, H, device="wall"),))
    assert by_job(rows, "wall.rest") == {"a": 90, None: 0}
    assert by_job(rows, "gpu0") == {None: 10}


def test_4_the_name_of_a_rest_is_no_device() -> None:
    rows = facts(hour("gpu0", 10) + hour("wall", 100, **WALL), jobs=(job("a", 0, H, device="wall.rest"),))
    assert by_job(rows, "wall.rest") == {None: 90}


def test_4_the_greatest_share_of_a_jobs_records_is_its_weight() -> None:
    rows = facts(hour("gpu0", 100), jobs=(job("a", 0, H, share=300_000), job("a", -H, H, device="gpu0", share=500_000)))
    assert by_job(rows) == {"a": 50, None: 50}


def test_4_only_records_that_cover_the_cell_count() -> None:
    assert by_job(facts(hour("gpu0", 100), jobs=(job("a", 0, H // 4),))) == {"a": 25, None: 75}


def test_4_up_to_the_whole_the_remainder_is_unattributed() -> None:
    rows = facts(hour("gpu0", 100), jobs=(job("a", 0, H, share=250_000), job("b", 0, H, share=750_000)))
    assert by_job(rows) == {"a": 25, "b": 75, None: 0}
    assert {r["flags"] for r in rows} == {None}


def test_4_beyond_the_whole_it_is_split_by_the_weights_alone_and_flagged_on_every_line() -> None:
    rows = facts(hour("gpu0", 100), jobs=(job("a", 0, H, share=1_000_000), job("b", 0, H, share=250_000)))
    assert by_job(rows) == {"a": 80, "b": 20, None: 0}
    assert {r["flags"] for r in rows} == {"oversubscribed"}


def test_4_what_is_left_over_goes_to_the_greatest_remainders() -> None:
    # 10 mJ: 3.33333, 0.5, 6.16667 → 3, 0, 6 and one left: the remainder of b is the greatest
    rows = facts(hour("gpu0", 10), jobs=(job("a", 0, H, share=333_333), job("b", 0, H, share=50_000)))
    assert by_job(rows) == {"a": 3, "b": 1, None: 6}


@pytest.mark.parametrize("sign", [1, -1])
def test_4_ties_go_by_job_and_unattributed_comes_last_whatever_the_sign(sign: int) -> None:
    readings = hour("wall", 10, **WALL) + hour("gpu0", 10 - sign)
    rows = facts(readings, jobs=tuple(job(n, 0, H, share=250_000) for n in ("é", "b", "B")))
    assert by_job(rows, "wall.rest") == {"B": sign, "b": 0, "é": 0, None: 0}


def test_4_each_class_is_split_on_its_own() -> None:
    readings = [reading("gpu0", 0, 0), reading("gpu0", S, 1), reading("gpu0", 2 * S, 2, method="estimated")]
    active, rest = facts(readings, jobs=(job("a", 0, H, **HALF),))
    assert classes(active) == {"measured": 1, "estimated": 1}
    assert (active["line"], active["energy_mj"], rest["line"], rest["energy_mj"]) == ("job_active", 2, "unattributed", 0)


def test_4_great_amounts_are_split_exactly() -> None:
    whole = 999_999_999_999_989
    rows = facts(hour("gpu0", whole), jobs=(job("a", 0, H, share=333_333), job("b", 0, H, share=1)))
    # floors and remainders of whole x w / 1,000,000
    assert by_job(rows) == {"a": 333_332_999_999_996, "b": 1_000_000_000, None: whole - 333_333_999_999_996}


# --- 5. rows ----------------------------------------------------------------------------------------------------


def test_5_job_and_coverage_edges_cut_no_rows_and_periods_do() -> None:
    readings = hour("gpu0", 60) + line("wall", (H // 2, 0), (H, 50), **WALL)
    rows = facts(readings, jobs=(job("a", H // 4, H),), cuts=(H // 3,))
    spans = {(r["start_ms"] - BASE_MS, r["end_ms"] - BASE_MS) for r in rows}
    assert spans == {(0, H // 3), (H // 3, H)}
    assert [r["energy_mj"] for r in rows if r["device"] == "gpu0"] == [5, 15, 40, 0]


def test_5_rows_are_apart_by_boundary_simulated_and_device_kind() -> None:
    readings = [reading("x", 0, 0), reading("x", S, 1), reading("x", 2 * S, 3, boundary="node_dc"), reading("x", 3 * S, 7, simulated=True),
                reading("x", 4 * S, 15, device_kind="switch")]
    rows = facts(readings, jobs=tuple(job("a", s * S, H) for s in (1, 2, 3)))  # the jobs cut the cells
    taken = {(r["boundary"], r["simulated"], r["device_kind"]): r["energy_mj"] for r in rows if r["energy_mj"]}
    assert taken == {
        ("component", False, "gpu"): 1, ("node_dc", False, "gpu"): 2, ("component", True, "gpu"): 4, ("component", False, "switch"): 8,
    }


def test_5_a_row_is_there_where_an_interval_touched_even_with_nothing_in_it() -> None:
    (row,) = facts(line("gpu0", (-H, 5), (1, 5)))
    assert (row["line"], row["energy_mj"]) == ("unattributed", 0)
    rows = facts(line("gpu0", (0, 0), (S, 5)), jobs=(job("a", 0, S), job("late", 2 * S, H)))
    assert by_job(rows) == {"a": 5, None: 0}


def test_5_coverage_is_what_was_read_without_a_long_gap_and_the_same_on_every_line() -> None:
    readings = line("gpu0", (0, 0), (5 * MIN, 1), (20 * MIN, 2), (25 * MIN, 3))
    rows = facts(readings, jobs=(job("a", 0, MIN),), limits=Settings())
    assert {r["coverage"] for r in rows} == {10 / 60}
    assert len(rows) == 2


def test_5_the_coverage_of_a_rest_is_its_parents() -> None:
    rows = facts(line("gpu0", (0, 0), (H // 4, 5)) + line("wall", (0, 0), (H // 2, 50), **WALL))
    assert {r["device"]: r["coverage"] for r in rows} == {"gpu0": 0.25, "wall.rest": 0.5}


def test_5_flags_are_sorted_and_comma_separated() -> None:
    readings = line("gpu0", (0, 0), (S, 900), (2 * S, 20), (2 * S, 19)) + power("gpu0", (0, 5), (S, 5))
    rows = facts(readings, jobs=(job("a", 0, H), job("b", 0, H)))
    assert {r["flags"] for r in rows} == {"conflict,outlier,overlap,oversubscribed"}


def test_5_flags_of_a_job_are_those_of_its_own_cells() -> None:
    readings = line("gpu0", (0, 0), (H // 2, 10), (H // 2 + S, 900), (H, 20))
    rows = facts(readings, jobs=(job("a", 0, H // 2),))
    assert {r["job"]: r["flags"] for r in rows} == {"a": None, None: "outlier"}


def test_5_site_and_zone_are_those_at_the_start_of_the_period() -> None:
    def place(site: str, zone: str | None, start: int, end: int) -> dict:
        return {"node": "n", "site": site, "zone": zone, "start_ms": BASE_MS + start, "end_ms": BASE_MS + end}

    places = (place("s", "z", -H, H // 3), place("t", None, H // 3, H // 2))
    rows = facts(hour("gpu0", 60), cuts=(H // 3, H // 2), places=places)
    assert [(r["site"], r["zone"]) for r in rows] == [("s", "z"), ("t", None), (None, None)]


def test_5_rows_are_sorted_by_their_key() -> None:
    rows = facts(hour("é", 1) + hour("Z", 1) + hour("a", 1), jobs=(job("é", 0, H, **HALF), job("Z", 0, H, **HALF)), cuts=(H // 2,))
    keys = [(r["start_ms"], r["device"], r["line"], r["job"]) for r in rows]
    assert [k[1] for k in keys[::3]] == ["Z", "a", "é"] * 2
    assert [k[3] for k in keys[:3]] == ["Z", "é", None]
