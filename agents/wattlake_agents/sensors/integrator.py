"""Power summed up into a counter, where the hardware does not count energy itself."""

from __future__ import annotations

#: A pause between two powers longer than this is not bridged: what was drawn in it is unknown.
LONGEST_STEP_NS = 60 * 10**9


class Integrator:
    """Trapezoid rule over (instant, power), in exact integers.

    The sum starts at 0 with the first power. After a pause longer than LONGEST_STEP_NS it starts at
    0 again, which whoever reads it sees as a restarted counter.
    """

    __slots__ = ("_at_ns", "_power_mw", "_twice_pj")

    def __init__(self) -> None:
        self._at_ns: int | None = None
        self._power_mw = 0
        self._twice_pj = 0

    def add(self, at_ns: int, power_mw: int) -> int:
        """Take a power in mW at an instant of a steady clock; give the energy so far in µJ."""
        if self._at_ns is not None:
            step_ns = at_ns - self._at_ns
            if step_ns > LONGEST_STEP_NS:
                self._twice_pj = 0
            else:
                # 1 mW x 1 ns = 1 pJ; the halving of the trapezoid is put off to the end
                self._twice_pj += (self._power_mw + power_mw) * step_ns
        self._at_ns, self._power_mw = at_ns, power_mw
        return self._twice_pj // 2_000_000
