"""Which version holds at each instant: worked examples of docs/accounting.md, section 6."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from wattlake_pipelines.account.kernels.in_force import in_force

EVER, NEVER = -(2**62), 2**62
SCHEMA = pa.schema([
    ("site", pa.string()), ("valid_from_ms", pa.int64()), ("valid_to_ms", pa.int64()), ("known_from_ms", pa.int64()),
    ("version", pa.string()), ("shipped", pa.bool_()), ("pue", pa.float64()),
])


def row(version, start=None, end=None, *, known=0, shipped=False, site="s", pue=1.0):
    return {"site": site, "valid_from_ms": start, "valid_to_ms": end, "known_from_ms": known,
            "version": version, "shipped": shipped, "pue": pue}


def held(*rows):
    """(site, start, end, version) of each segment."""
    table = in_force(pa.Table.from_pylist(list(rows), SCHEMA), ["site"], "valid_from_ms", "valid_to_ms")
    return [(r["site"], r["start_ms"], r["end_ms"], r["version"]) for r in table.to_pylist()]


def test_a_row_without_bounds_holds_for_ever_and_keeps_its_payload():
    table = in_force(pa.Table.from_pylist([row("a", pue=1.4)], SCHEMA), ["site"], "valid_from_ms", "valid_to_ms")
    assert table.column_names == ["site", "start_ms", "end_ms", "pue", "version"]
    assert table.to_pylist() == [{"site": "s", "start_ms": EVER, "end_ms": NEVER, "pue": 1.4, "version": "a"}]


def test_a_later_version_replaces_only_the_stretch_that_it_covers():
    assert held(row("old", 0, 100, known=1), row("new", 30, 50, known=2)) == [
        ("s", 0, 30, "old"), ("s", 30, 50, "new"), ("s", 50, 100, "old"),
    ]


def test_an_earlier_version_fills_what_the_later_one_leaves():
    assert held(row("new", 30, 50, known=2), row("old", 40, 60, known=1)) == [("s", 30, 50, "new"), ("s", 50, 60, "old")]


def test_a_shipped_figure_gives_way_to_any_other_however_late_it_is_known():
    assert held(row("shipped", 0, 100, known=9, shipped=True), row("own", 20, 40, known=1)) == [
        ("s", 0, 20, "shipped"), ("s", 20, 40, "own"), ("s", 40, 100, "shipped"),
    ]


def test_of_rows_known_at_once_the_one_that_starts_later_holds():
    assert held(row("z2024", 0), row("a2025", 100)) == [("s", 0, 100, "z2024"), ("s", 100, NEVER, "a2025")]


def test_of_rows_known_at_once_with_one_start_the_shorter_holds_then_the_greater_hash():
    assert held(row("z", 0, 100), row("a", 0, 10), row("b", 0, 10)) == [("s", 0, 10, "b"), ("s", 10, 100, "z")]


def test_what_is_told_again_after_something_else_holds_again():
    rows = [row("a", 0, 10, known=1), row("b", 0, 10, known=5), row("a", 0, 10, known=9)]
    assert held(*rows) == [("s", 0, 10, "a")]
    assert held(*rows[:2], rows[0]) == [("s", 0, 10, "b")]


def test_the_same_figure_for_another_time_is_not_the_same_content():
    moves = [row("hall-1", 0, known=1), row("hall-2", 10, known=2), row("hall-1", 20, known=3)]
    assert held(*moves) == [("s", 0, 10, "hall-1"), ("s", 10, 20, "hall-2"), ("s", 20, NEVER, "hall-1")]


def test_neighbouring_segments_of_one_version_are_one_and_gaps_stay():
    assert held(row("a", 0, 10), row("a", 10, 20, known=1), row("a", 25, 30)) == [("s", 0, 20, "a"), ("s", 25, 30, "a")]


def test_keys_do_not_mix_and_a_null_key_is_one_of_its_own():
    assert held(row("a", 0, 10), row("b", 5, 15, site=None), row("c", 5, 15, site="t")) == [
        (None, 5, 15, "b"), ("s", 0, 10, "a"), ("t", 5, 15, "c"),
    ]


def test_a_row_that_ends_before_it_starts_never_holds_and_no_rows_make_no_segments():
    assert held(row("a", 10, 10), row("b", 10, 5)) == []
    assert held() == []


def test_the_order_of_rows_does_not_matter():
    rows = [row(v, s, e, known=k, shipped=h) for v, s, e, k, h in
            [("a", 0, 9, 1, False), ("b", 3, None, 1, False), ("c", None, 5, 7, True), ("d", 4, 6, 0, False), ("a", 0, 9, 0, False)]]
    assert held(*rows) == held(*reversed(rows))


def test_years_of_five_minute_periods_that_all_run_on_for_ever_are_no_quadratic_work():
    """2 x 10^10 overlaps: done pair by pair this would never end, so that it ends is the test."""
    rows, step = 200_000, 300_000
    start = np.arange(rows) * step
    table = pa.table({
        "site": ["s"] * rows, "valid_from_ms": start, "valid_to_ms": pa.nulls(rows, pa.int64()), "known_from_ms": start,
        "version": [f"{i:06}" for i in range(rows)], "shipped": [False] * rows,
    })
    result = in_force(table, ["site"], "valid_from_ms", "valid_to_ms")
    assert result["start_ms"].to_pylist() == start.tolist()
    assert result["end_ms"].to_pylist() == [*start[1:].tolist(), NEVER]
