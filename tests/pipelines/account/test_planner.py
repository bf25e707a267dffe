"""What is found dirty is enough: accounting bit by bit gives the facts of accounting once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books import at_once_and_bit_by_bit
from worlds import Told, worlds


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(2, 5), st.integers(0, 99))
def test_bit_by_bit_in_any_order_gives_the_facts_of_all_at_once(told: list[Told], steps: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        whole, piecemeal = at_once_and_bit_by_bit(Path(name), told, steps, seed)
        assert piecemeal.facts() == whole.facts()
