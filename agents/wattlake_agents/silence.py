"""For how long nothing has happened, by the clock that nobody sets: the time of day may be set back or forward meanwhile."""

from __future__ import annotations

import msgspec

from wattlake_agents import process


class Silences(msgspec.Struct):
    """Milliseconds, as of a sign of life, since each was last seen to change, or since the start. acked: what the brokers acknowledged.

    shipped: the shipper's own sign of life.
    """

    reading_ms: int
    sync_ms: int
    acked_ms: int
    shipped_ms: int
    lost_records_ms: int
    lost_rows_ms: int


class Listening:
    """Sees values change."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[object, float]] = {}

    def silent_ms(self, name: str, value: object) -> int:
        """How long a value has been what it is: as long as it is asked for, as often as it is."""
        up_s = process.up_s()
        before = self._heard.get(name)
        if before is None or before[0] != value:
            self._heard[name] = before = (value, up_s)
        return round(1000 * (up_s - before[1]))
