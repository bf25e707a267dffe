"""From raw counters to counters that only rise: wraps resolved, false readings left out, each life of a counter named."""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import NamedTuple

from wattlake_agents.epochs import Life, Seen
from wattlake_agents.sensors.sensor import Device

#: No package, memory or platform domain draws more; it is the bound where a device states no limit.
_BOUND_MW = 1_000_000
#: The stated limit is for the long run; for an instant a device may draw this much of it, in percent.
_TRANSIENT = 150

#: The clock may be slewed by that much; a larger step back begins an epoch.
_STEP_BACK_MS = 1000

#: A reading may be that much older than its time says.
_SLACK_MS = 1000

#: So many readings that fit nothing are held back. Three in a row that rise beyond the bound say that the bound is wrong: a false
#: reading is followed by a true one, which falls.
_MOST_HELD = 3


class Accepted(NamedTuple):
    """A reading that is believed: the counter's energy in its epoch at an instant, and the power read beside it."""

    epoch: str
    ts_ms: int
    total_uj: int
    power_mw: int | None


class Counter:
    """One device's counter over the lives of its hardware.

    device: how it is read. kept: its life as it was kept in this same boot of the machine, or None.
    Only a counter of the hardware is carried on; a sum of power starts anew with the agent.

    A value is believed at once if it rises by no more than the device can draw in that time: 1.5
    times its power limit, 1 kW if it states none. Any other (a fall, a wrap, a leap) is held back
    until the next ones tell what it was:

    - the counter goes on from the last believed value: what was held fits in between (a wrap), or
      was false and is left out;
    - two held values fit each other: a lasting fall or leap, and a new epoch begins with the first
      of them. If that fits the last value but one, the last one was the false one, and the epoch goes on;
    - three rise beyond the bound: the device draws more than it states, and the bound is raised.
    """

    __slots__ = ("_before", "_bound_mw", "_held", "_last", "_wrap_uj", "device", "epoch", "left_out")

    def __init__(self, device: Device, kept: Life | None = None) -> None:
        self.describe(device)
        self.epoch = ""
        #: readings that were false: gaps
        self.left_out = 0
        self._last: Seen | None = None
        self._before: Seen | None = None
        self._held: list[Seen] = []
        if kept is not None and device.method == "counter" and kept.identity == device.identity:
            self.epoch, self._last, self._before, self._held = kept.epoch, kept.last, kept.before, list(kept.held)

    def describe(self, device: Device) -> None:
        """Take the device's description, e.g. with another power limit."""
        self.device = device
        self._wrap_uj = device.wrap_uj
        self._bound_mw = _TRANSIENT * device.max_power_mw // 100 if device.max_power_mw else _BOUND_MW

    @property
    def total_uj(self) -> int:
        """The last believed value within the epoch, in µJ; 0 before the first."""
        return self._last.total_uj if self._last is not None else 0

    @property
    def ts_ms(self) -> int:
        """The instant of the last believed value, in epoch ms; 0 before the first."""
        return self._last.ts_ms if self._last is not None else 0

    def step_uj(self, ts_ms: int, raw_uj: int) -> int | None:
        """The energy in µJ from the last believed value to this one, a wrap resolved; None if it cannot be that."""
        last, now = self._last, Seen(ts_ms, raw_uj)
        return self._rise_uj(last, now) if last is not None and ts_ms > last.ts_ms and self._fits(last, now) else None

    def add(self, ts_ms: int, raw_uj: int, power_mw: int | None = None) -> list[Accepted]:
        """Take a raw value in; the readings that are believed now, by ascending time, this one or some held before it.

        None of them: it is held back, or its time is not after the last one's. A new epoch begins
        with the first value ever, with the first of two values that confirm a lasting fall or leap,
        when the pause was so long that the counter may have wrapped twice, and when the clock was
        set back.
        """
        now = Seen(ts_ms, raw_uj, 0, power_mw)
        last = self._last
        if last is None:
            return [self._begin(now)]
        step_ms = ts_ms - (self._held[-1] if self._held else last).ts_ms
        if step_ms <= 0:
            return [] if step_ms >= -_STEP_BACK_MS else [self._begin(now)]
        if not self._held and raw_uj >= last.raw_uj and self._fits(last, now):
            return [self._go_on(now)]
        return self._judge(last, now)

    def _judge(self, last: Seen, now: Seen) -> list[Accepted]:
        """The rules for a value that does not simply go on from the last one, or comes when some are held."""
        held = self._held
        if held and self._fits(last, now):
            return self._between(held, now)
        for at in reversed(range(len(held))):
            if self._fits(held[at], now):
                self.left_out += len(held) - 1
                return self._lasting([held[at], now])
        if self._may_have_wrapped_twice(last, now):
            return [self._begin(now)]
        held.append(now)
        if len(held) < _MOST_HELD:
            return []
        if all(a.raw_uj < b.raw_uj for a, b in pairwise(held)):
            self._bound_mw = max(self._bound_mw, *(-((a.raw_uj - b.raw_uj) // (b.ts_ms - a.ts_ms)) for a, b in pairwise(held)))
            return self._lasting(held)
        self.left_out += 1
        del held[0]
        return []

    def _between(self, held: list[Seen], now: Seen) -> list[Accepted]:
        """The counter goes on from the last value to this one, through what is held and fits in between."""
        self._held = []
        found = []
        for value in held:
            if self._last is not None and self._fits(self._last, value) and self._fits(value, now):
                found.append(self._go_on(value))
            else:
                self.left_out += 1
        return [*found, self._go_on(now)]

    def _lasting(self, line: list[Seen]) -> list[Accepted]:
        """These held values follow each other: they go on from the last one, from the one before it, or begin an epoch."""
        self._held = []
        first, *rest = line
        if self._last is not None and self._fits(self._last, first):
            begun = self._go_on(first)
        elif self._last_was_high(first):
            # it was sent already; accounting leaves out what is out of line with both its neighbours
            self._last = self._before
            begun = self._go_on(first)
        else:
            begun = self._begin(first)
        return [begun, *(self._go_on(value) for value in rest)]

    def _last_was_high(self, value: Seen) -> bool:
        """Whether a value goes on from the last one but one, and the last one lies above both."""
        before, last = self._before, self._last
        return (before is not None and last is not None and self._fits(before, value)
                and before.total_uj + self._rise_uj(before, value) < last.total_uj)

    def _fits(self, a: Seen, b: Seen) -> bool:
        """Whether the device may have counted from a to b: it drew no more than it can, and wrapped once at most."""
        if self._may_have_wrapped_twice(a, b):
            return False
        # mW x ms = µJ
        return 0 <= self._rise_uj(a, b) <= (b.ts_ms - a.ts_ms + _SLACK_MS) * self._bound_mw

    def _rise_uj(self, a: Seen, b: Seen) -> int:
        rise = b.raw_uj - a.raw_uj
        return rise + self._wrap_uj if rise < 0 and self._wrap_uj is not None else rise

    def _may_have_wrapped_twice(self, a: Seen, b: Seen) -> bool:
        return self._wrap_uj is not None and (b.ts_ms - a.ts_ms + _SLACK_MS) * self._bound_mw >= self._wrap_uj

    def _begin(self, value: Seen) -> Accepted:
        self.left_out += len(self._held)
        self.epoch, self._held, self._before = secrets.token_hex(6), [], None
        self._last = value._replace(total_uj=value.raw_uj)
        return Accepted(self.epoch, value.ts_ms, value.raw_uj, value.power_mw)

    def _go_on(self, value: Seen) -> Accepted:
        last = self._last
        assert last is not None
        self._before, self._last = last, value._replace(total_uj=last.total_uj + self._rise_uj(last, value))
        return Accepted(self.epoch, value.ts_ms, self._last.total_uj, value.power_mw)

    def life(self) -> Life | None:
        """What to keep for the next start; None for a counter that ends with the agent, or was never read."""
        if self.device.method != "counter" or self._last is None:
            return None
        return Life(self.epoch, self.device.identity, self._last, self._before, tuple(self._held))
