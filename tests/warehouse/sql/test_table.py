"""Results as a person reads them."""

from __future__ import annotations

import pytest

from wattlake_warehouse.sql.table import RECORDS, SHORTENED, lines, shown


@pytest.mark.parametrize(("value", "said"), [
    (None, "-"), (0.0, "0"), (1.0, "1.00"), (0.123456789, "0.1235"), (1e-9, "1e-09"), (1234567.891, "1,234,567.89"), (1e300, "1e+300"),
    (-1e300, "-1e+300"), (12345678901234567890, "12345678901234567890"), (True, "True"), ("a\nb\x1b", "a\\nb\\x1b"), ("nan", "nan")])
def test_a_value_has_a_sensible_number_of_digits(value: object, said: str) -> None:
    assert shown(value) == said


def test_a_line_feed_in_a_name_does_not_break_the_table() -> None:
    assert lines(["a\nb", "c"], [[1, "x"]]) == ([r"a\nb  c", "----  -", "   1  x"], "")


def test_without_a_terminal_nothing_is_cut() -> None:
    (head, _, row), hint = lines([f"c{i}" for i in range(100)], [["x" * 50] * 100])
    assert (len(row), hint) == (100 * 50 + 99 * 2, "")
    assert head.startswith("c0  ")


def test_long_texts_give_way_to_the_terminal_and_numbers_do_not() -> None:
    printed, hint = lines(["name", "energy_kwh", "doc"], [["footprint_by_day", 123456.789, "d" * 200]], 60)
    assert hint == SHORTENED
    assert printed[2] == "footprint_by_day  123,456.79  " + "d" * 29 + "…"
    assert max(map(len, printed)) == 60


def test_two_long_texts_share_what_there_is() -> None:
    printed, _ = lines(["a", "b"], [["x" * 90, "y" * 80]], 62)
    assert printed[2] == "x" * 29 + "…  " + "y" * 29 + "…"


def test_what_is_too_wide_comes_as_a_record_per_row() -> None:
    columns = [f"column_{i}" for i in range(30)]
    printed, hint = lines(columns, [[1.5] * 30, [None] * 30], 80)
    assert hint == RECORDS
    assert printed[:3] == ["-- 1 --", "column_0   1.50", "column_1   1.50"]
    assert printed[31:33] == ["-- 2 --", "column_0   -"]


def test_no_rows_too_wide_for_the_terminal_still_name_the_columns() -> None:
    printed, hint = lines([f"column_{i}" for i in range(30)], [], 80)
    assert hint == RECORDS
    assert printed == [f"column_{i}" for i in range(30)]
