"""Each sentence of docs/accounting.md, section 5, rows, by an example worked out by hand.

The number in a test's name is the section (and the rule). What stands here holds for the oracle and for the kernel.
"""

from __future__ import annotations

from oracle.agreed import HALF, MIN, WALL, H, S, by_job, facts, hour, line, power
from oracle.intervals import Settings
from oracle.worlds import BASE_MS, job, reading


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
