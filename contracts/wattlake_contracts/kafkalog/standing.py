"""How shipping does, as it is told to others."""

from __future__ import annotations

import msgspec


class HeldTopic(msgspec.Struct):
    """A topic that takes no records. since_ms: epoch ms, of the oldest record that waits for it. records: how many do. why: and what to do, in words."""

    topic: str
    since_ms: int
    records: int
    why: str


class ShippingState(msgspec.Struct):
    """How shipping does, at beat_ms. Instants in epoch ms, 0 for never; backlog: written and not acknowledged.

    state: `idle`, `shipping`, `holds back` (some topics take nothing, all else flows) or `cannot ship`.
    unknown: records that wait for a version that knows their kind, and those kinds. held: topics that take nothing now; their records are in the backlog too.
    """

    beat_ms: int
    log: str
    state: str
    backlog_records: int
    backlog_bytes: int
    oldest_unacked_ms: int
    in_flight_bytes: int
    acked_records: int
    damaged_records: int
    refused_records: int
    rebuilt: int
    last_ack_ms: int
    error: str
    unknown_records: int
    unknown_kinds: str
    held: list[HeldTopic]


def held_said(held: list[HeldTopic]) -> str:
    """Which topics hold records back, and why, on one line; '' if none does."""
    return "; ".join(f"{one.records} records wait for {one.topic}, and only these: {one.why}" for one in held)
