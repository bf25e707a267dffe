"""Whether a device's energy counter and its power tell the same story."""

from __future__ import annotations

#: Beyond this share of the counter's rise the two diverge.
LIMIT = 0.05
#: Fewer readings than this say too little: power is a snapshot, the counter a sum.
_FEWEST = 10


class PowerCheck:
    """Compares, window by window, the rise of a counter with the trapezoid over the power read beside it."""

    __slots__ = ("_counter_uj", "_epoch", "_power_mw", "_readings", "_ts_ms", "_twice_uj", "_uj")

    def __init__(self) -> None:
        self._epoch = ""
        self._ts_ms = self._power_mw = self._uj = 0
        self._clear()

    def _clear(self) -> None:
        self._twice_uj = self._counter_uj = self._readings = 0

    def add(self, epoch: str, ts_ms: int, energy_uj: int, power_mw: int) -> None:
        """Take a counter and the power at the same instant."""
        if epoch == self._epoch:
            # 1 mW x 1 ms = 1 µJ
            self._twice_uj += (power_mw + self._power_mw) * (ts_ms - self._ts_ms)
            self._counter_uj += energy_uj - self._uj
            self._readings += 1
        self._epoch, self._ts_ms, self._uj, self._power_mw = epoch, ts_ms, energy_uj, power_mw

    def close(self) -> tuple[float, int, int] | None:
        """(difference over the counter's rise, rise in mJ, integrated power in mJ) of the window, and begin the next.

        None if there are too few readings or the counter stood still.
        """
        readings, counter_uj, power_uj = self._readings, self._counter_uj, self._twice_uj // 2
        self._clear()
        if readings < _FEWEST or counter_uj <= 0:
            return None
        return (power_uj - counter_uj) / counter_uj, counter_uj // 1000, power_uj // 1000
