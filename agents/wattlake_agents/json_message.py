"""Rows of a JSON kind as payloads, each small enough for one record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec


def json_payloads(rows: Sequence[dict[str, object]], fits: Callable[[bytes], bool]) -> Iterator[tuple[bytes, int]]:
    """(JSON array, rows) of all rows, in their order, halved until each fits. A single row is given whether it does or not."""
    payload = msgspec.json.encode(rows)
    if len(rows) <= 1 or fits(payload):
        if rows:
            yield payload, len(rows)
        return
    half = len(rows) // 2
    yield from json_payloads(rows[:half], fits)
    yield from json_payloads(rows[half:], fits)
