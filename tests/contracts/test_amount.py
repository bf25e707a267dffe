"""Numbers of things in words."""

from __future__ import annotations

import pytest

from wattlake_contracts.amount import amount


@pytest.mark.parametrize(("count", "noun", "verb", "says"), [
    (0, "row", "", "0 rows"), (1, "row", "", "1 row"), (2000, "row", "", "2,000 rows"),
    (1, "record", "are", "1 record is"), (2, "record", "are", "2 records are"),
    (1, "record", "wait", "1 record waits"), (0, "record", "wait", "0 records wait"),
    (1, "file", "have", "1 file has"), (1, "row", "were", "1 row was"),
])
def test_the_words_fit_the_number(count: int, noun: str, verb: str, says: str) -> None:
    assert amount(count, noun, verb) == says
