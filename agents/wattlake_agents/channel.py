"""What the agent holds of one device between two flushes."""

from __future__ import annotations

from wattlake_agents.counter import Accepted, Counter
from wattlake_agents.divergence import LIMIT, PowerCheck
from wattlake_agents.epochs import Life
from wattlake_agents.message import Run
from wattlake_agents.sensors.sensor import Device, Reading, SensorError

#: A device whose readings fail so often in a row counts as lost.
LOST_AFTER = 5
#: Readings kept of a device while nothing is flushed; beyond it the oldest half goes.
MOST_READINGS = 100_000


class Channel:
    """One device: its counter, the readings not flushed yet, whether it is lost.

    Filled by the reader's thread and emptied by the flush; the reader's lock guards both.
    """

    __slots__ = ("_diverges", "_failed", "_last", "check", "counter", "dropped", "last_ts_ms", "lost", "power_mw", "runs", "shown_uj")

    def __init__(self, device: Device, kept: Life | None = None) -> None:
        self.counter = Counter(device, kept)
        self.runs: list[Run] = []
        self.check: PowerCheck | None = None
        self.lost = False
        self.dropped = 0
        #: when the last believed reading was taken
        self.last_ts_ms = 0
        #: mean power between the last two readings
        self.power_mw: float | None = None
        #: the greatest energy of this epoch: a page of counters must not show one that falls
        self.shown_uj = 0
        self._last: Accepted | None = None
        self._failed = 0
        self._diverges = False

    @property
    def device(self) -> Device:
        return self.counter.device

    def take(self, reading: Reading) -> bool:
        """Take a reading in; whether the device was lost until now."""
        for accepted in self.counter.add(reading.ts_ms, reading.raw_uj, reading.power_mw):
            self._keep(accepted)
        self._failed = 0
        was_lost, self.lost = self.lost, False
        return was_lost

    def _keep(self, now: Accepted) -> None:
        last = self._last
        if last is not None and last.epoch == now.epoch and now.ts_ms > last.ts_ms:
            self.power_mw = max(0, now.total_uj - last.total_uj) / (now.ts_ms - last.ts_ms)
            self.shown_uj = max(self.shown_uj, now.total_uj)
        else:
            self.shown_uj = now.total_uj
        self._last, self.last_ts_ms = now, now.ts_ms
        if not self.runs or self.runs[-1].epoch != now.epoch:
            self.runs.append(Run(self.device, now.epoch))
        run = self.runs[-1]
        if len(run.ts_ms) >= MOST_READINGS:
            half = MOST_READINGS // 2
            del run.ts_ms[:half], run.energy_mj[:half]
            self.dropped += half
        run.ts_ms.append(now.ts_ms)
        run.energy_mj.append(now.total_uj // 1000)
        if now.power_mw is not None:
            if self.check is None:
                self.check = PowerCheck()
            self.check.add(now.epoch, now.ts_ms, now.total_uj, now.power_mw)

    def miss(self, error: SensorError) -> bool:
        """Note a failed reading: a gap. Whether the device is lost from now on."""
        self._failed += 1
        self.power_mw = None
        if self.lost or not (error.gone or self._failed >= LOST_AFTER):
            return False
        self.lost = True
        return True

    def drain(self) -> tuple[list[Run], str | None]:
        """(readings since the last drain, a divergence in words if one begins)."""
        runs, self.runs = self.runs, []
        found = self.check.close() if self.check is not None else None
        if found is None:
            return runs, None
        share, counter_mj, power_mj = found
        diverges, self._diverges = self._diverges, abs(share) > LIMIT
        if diverges or not self._diverges:
            return runs, None
        return runs, f"counter {counter_mj / 1000:.1f} J, power integrated {power_mj / 1000:.1f} J: {share:+.1%}; the counter is used"
