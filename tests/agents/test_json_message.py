"""Rows of JSON as payloads that fit."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from wattlake_agents.json_message import json_payloads


@given(sizes=st.lists(st.integers(0, 60), max_size=20), limit_bytes=st.integers(0, 300))
def test_all_rows_come_in_their_order_and_no_payload_is_too_large_but_of_a_single_row(sizes: list[int], limit_bytes: int) -> None:
    rows: list[dict[str, object]] = [{"number": number, "text": "x" * size} for number, size in enumerate(sizes)]
    found = list(json_payloads(rows, lambda payload: len(payload) <= limit_bytes))
    assert [row for payload, _ in found for row in json.loads(payload)] == rows
    assert [len(json.loads(payload)) for payload, _ in found] == [count for _, count in found]
    assert all(count == 1 or len(payload) <= limit_bytes for payload, count in found)
    assert all(count > 0 for _, count in found)
