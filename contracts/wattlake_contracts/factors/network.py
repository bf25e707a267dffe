"""Average allocation of network energy to bytes, by medium and year."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from wattlake_contracts.factors.factor import Factor, Line, read_factors
from wattlake_contracts.kinds import MEDIA

FILE = "network.csv"
#: 1 kWh = 3.6e9 mJ and 1 GB = 1e9 bytes, so that kWh/GB x 3.6 = mJ per byte.
MJ_PER_BYTE = 3.6e9 / 1e9


@dataclass(frozen=True, kw_only=True)
class NetworkFactor(Factor):
    """Energy per byte of one medium, in kWh/GB (1 GB = 1e9 bytes).

    An average allocation: a network draws nearly the same without the bytes, so the figure says
    what share they bear, not what is saved by not sending them.
    """

    medium: str

    @property
    def mj_per_byte(self) -> tuple[float, float | None, float | None]:
        """(value, low, high) in mJ per byte."""
        low = None if self.low is None else self.low * MJ_PER_BYTE
        high = None if self.high is None else self.high * MJ_PER_BYTE
        return self.value * MJ_PER_BYTE, low, high


def _make(line: Line) -> NetworkFactor:
    return NetworkFactor(medium=line.choice("medium", MEDIA), **vars(line.common(("kWh/GB",))))


@cache
def network_factors() -> tuple[NetworkFactor, ...]:
    """Every row of the file."""
    return read_factors(FILE, _make)


def network_factor(medium: str, ts_ms: int) -> NetworkFactor | None:
    """The medium's factor at an instant; None if no row is about it."""
    return next((f for f in network_factors() if f.medium == medium and f.holds(ts_ms)), None)
