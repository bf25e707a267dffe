"""How shipping does, as it is told to others."""

from __future__ import annotations

import msgspec

from wattlake_contracts.amount import amount

#: So long an acknowledgement may take.
_QUIET_MS = 10_000


class HeldTopic(msgspec.Struct):
    """A topic that takes no records. since_ms: epoch ms, of the oldest record that waits for it. records: how many do. why: and what to do, in words."""

    topic: str
    since_ms: int
    records: int
    why: str


class ShippingState(msgspec.Struct):
    """How shipping does, at beat_ms. Instants in epoch ms, 0 for never or none.

    state: `idle`, `shipping`, `holds back` (some topics take nothing, all else flows) or `cannot ship`. backlog: records written and not
    acknowledged, and about how many bytes they are. refused: records that no topic takes, set aside. damaged: records that could not be read.
    unknown: records that wait for a version that knows their kind, and those kinds. held: topics that take nothing now; their records are in the backlog too.
    What has a default an agent of an earlier version may not say.
    """

    beat_ms: int
    log: str
    state: str
    backlog_records: int
    backlog_bytes: int
    oldest_unacked_ms: int
    acked_records: int
    damaged_records: int
    refused_records: int
    rebuilt: int
    last_ack_ms: int
    error: str
    unknown_records: int = 0
    unknown_kinds: str = ""
    held: list[HeldTopic] = []
    in_flight_bytes: int = 0

    @property
    def silent_since_ms(self) -> int:
        """Since when the brokers have acknowledged nothing though records waited; 0 while they do. What was just sent is no silence."""
        since_ms = max(self.last_ack_ms, self.oldest_unacked_ms) if self.backlog_records else 0
        return since_ms if self.state == "cannot ship" or self.beat_ms - since_ms > _QUIET_MS else 0


def held_said(held: list[HeldTopic]) -> str:
    """Which topics hold records back, and why, on one line; '' if none does."""
    return "; ".join(f"{amount(one.records, 'record', 'wait')} for {one.topic}, and only {'this' if one.records == 1 else 'these'}: {one.why}" for one in held)
