"""How many bytes may go now, so that they go at a steady rate."""

from __future__ import annotations


class Pace:
    """A bucket that fills at rate_bytes_s and holds one second of it. None: no limit."""

    def __init__(self, rate_bytes_s: float | None, now_s: float) -> None:
        self._rate, self._left, self._at = rate_bytes_s, rate_bytes_s or 0.0, now_s

    def open(self, now_s: float) -> bool:
        """Whether something may go."""
        if self._rate is None:
            return True
        self._left = min(self._rate, self._left + (now_s - self._at) * self._rate)
        self._at = now_s
        return self._left > 0

    def spend(self, size_bytes: int) -> None:
        """So many went; more than there was is made up for by waiting."""
        self._left -= size_bytes
