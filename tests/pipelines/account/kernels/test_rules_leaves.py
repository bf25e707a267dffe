"""Each sentence of docs/accounting.md, section 3, leaves, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
"""

from __future__ import annotations

import pytest

from oracle.agreed import BOARD, CPU, PSU, PSYS, WALL, H, S, by_device, classes, facts, hour, line
from oracle.worlds import BASE_MS, inventory, reading


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
