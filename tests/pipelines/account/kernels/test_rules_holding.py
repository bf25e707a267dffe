"""Each sentence of docs/accounting.md, section 4, who held it, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
"""

from __future__ import annotations

import pytest

from oracle.agreed import HALF, WALL, H, S, by_job, classes, facts, hour
from oracle.worlds import job, reading


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
