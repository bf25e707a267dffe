"""Each sentence of docs/accounting.md, section 1, readings become intervals, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oracle.agreed import LONG, MIN, H, S, classes, energy, facts, line, power
from oracle.intervals import Settings
from oracle.worlds import BASE_MS, inventory, reading


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


@pytest.mark.parametrize("made", [lambda *points: line("gpu0", *points), lambda *points: power("gpu0", *points)])
def test_1_3_over_more_than_400_days_nothing_is_spread(made: Callable[..., list[dict]]) -> None:
    days = 400 * 24 * H
    assert facts(made((H - days, 1000), (H, 2000)), limits=Settings()) != []
    assert facts(made((H - 1 - days, 1000), (H, 2000)), limits=Settings()) == []


def test_1_3_what_lies_beside_such_a_gap_stands_as_if_a_new_life_had_begun() -> None:
    """Though the device could not have drawn it: there is no interval to be dropped as implausible."""
    readings = line("gpu0", (-400 * 24 * H - 1, 1000), (0, 2000), (S, 2000))
    (row,) = facts(readings, limits=Settings(), devices=(inventory("gpu0", most=0),))
    assert (row["energy_mj"], row["flags"], row["coverage"]) == (0, None, S / H)


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


SMALL = inventory("gpu0", most=1000)  # draws 1,500 mJ a second at the most


def flags(readings: list[dict], seconds: int) -> list[str | None]:
    """The flags of each second from 0 on; a dash where there is no row."""
    rows = {r["start_ms"] - BASE_MS: r["flags"] for r in facts(readings, cuts=tuple(i * S for i in range(1, seconds + 1)), devices=(SMALL,))}
    return [rows.get(i * S, "-") for i in range(seconds)]


def test_1_5_what_is_dropped_flags_the_intervals_beside_it() -> None:
    readings = line("gpu0", (0, 0), (S, 100), (2 * S, 200), (3 * S, 9000), (4 * S, 9100), (5 * S, 9200))
    assert flags(readings, 5) == [None, "implausible", "-", "implausible", None]


def test_1_5_of_several_dropped_in_a_row_the_intervals_before_and_after_them_all_are_flagged() -> None:
    readings = power("gpu0", *[(i * S, mw) for i, mw in enumerate((100, 100, 9000, 9000, 9000, 100, 100, 100))])
    assert flags(readings, 7) == ["implausible", "-", "-", "-", "-", "implausible", None]


def test_1_5_what_lies_between_two_that_are_dropped_is_flagged() -> None:
    assert flags(line("gpu0", (0, 0), (S, 9000), (2 * S, 9001), (3 * S, 20_000)), 3) == ["-", "implausible", "-"]


def test_1_5_where_the_counter_fell_the_flag_goes_no_further() -> None:
    assert flags(line("gpu0", (0, 0), (S, 100), (2 * S, 9000), (3 * S, 50), (4 * S, 60)), 4) == ["implausible", "-", "-", None]


def test_1_5_neither_another_series_nor_another_device_is_flagged() -> None:
    readings = line("gpu0", (0, 0), (S, 9000)) + line("gpu0", (S, 0), (2 * S, 10), epoch="f") + line("gpu1", (0, 0), (2 * S, 10))
    assert flags([r for r in readings if r["device"] == "gpu0"], 2) == ["-", None]
    assert {r["flags"] for r in facts(readings, devices=(SMALL,))} == {None}


def test_1_5_only_the_hours_that_a_dropped_interval_touches_are_flagged() -> None:
    def by_hour(*at: tuple[int, int]) -> list[tuple[int, str | None]]:
        rows = facts(line("gpu0", *at), hours=(-2, -1, 0, 1, 2), devices=(SMALL,))
        return [((r["start_ms"] - BASE_MS) // H, r["flags"]) for r in rows]

    leap = 10**12
    assert by_hour((-H - S, 0), (-2 * S, 10), (-S, leap), (S, leap + 10)) == [(-2, None), (-1, "implausible"), (0, None)]
    # dropped from hour -1 to hour 1, of which hour 0 has no row at all
    assert by_hour((-H - S, 0), (-S, 10), (H + S, leap), (2 * H + S, leap + 10)) == [(-2, None), (-1, "implausible"), (1, "implausible"), (2, None)]
    # what ends and begins on the hour is in other hours than what is dropped between
    assert by_hour((-H, 0), (0, 10), (H, leap), (2 * H, leap + 10)) == [(-1, None), (1, None)]
    # between two that are dropped: flagged at both ends, and not in the hour between
    assert by_hour((-H - S, 0), (-H + S, leap), (2 * H - S, leap + 10), (2 * H + S, 2 * leap)) == [(-1, "implausible"), (0, None), (1, "implausible")]


def test_1_5_where_nothing_is_left_beside_what_is_dropped_there_is_no_row() -> None:
    assert facts(line("gpu0", (0, 0), (S, 9000)), devices=(SMALL,)) == []


def test_1_6_a_flag_stays_with_what_is_left_of_the_interval_and_goes_where_nothing_is() -> None:
    readings = power("gpu0", (0, 1000), (4 * S, 1000), (5 * S, 9000), (6 * S, 9000))
    part = line("gpu0", (S, 0), (2 * S, 7), method="estimated")
    assert flags(readings + part, 6) == ["implausible,overlap", "overlap", "implausible,overlap", "implausible,overlap", "-", "-"]
    whole = line("gpu0", (-S, 0), (4 * S, 7), method="estimated")
    assert flags(readings + whole, 6) == ["overlap"] * 4 + ["-"] * 2


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
