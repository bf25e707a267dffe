"""From raw counters to counters that only rise: wraps resolved, each life of a counter named."""

from __future__ import annotations

import secrets

import msgspec

from wattlake_agents.sensors.sensor import Device

#: No package, memory or platform domain draws more; where a zone states no limit, this bounds how
#: soon its counter may wrap. It only decides when a pause is too long to tell one wrap from two.
_BOUND_MW = 1_000_000

#: The clock may be slewed by that much; a larger step back begins an epoch.
_STEP_BACK_MS = 1000


#: A reading may be that much older than its time says.
_SLACK_MS = 1000


class Life(msgspec.Struct):
    """What is kept of a hardware counter over restarts of the agent."""

    epoch: str
    identity: str
    raw_uj: int
    total_uj: int
    ts_ms: int


class Counter:
    """One device's counter over the lives of its hardware.

    device: how it is read. kept: its life as it was kept in this same boot of the machine, or None.
    Only a counter of the hardware is carried on; a sum of power starts anew with the agent.
    """

    __slots__ = ("_bound_mw", "_fresh", "_wrap_uj", "device", "epoch", "raw_uj", "total_uj", "ts_ms")

    def __init__(self, device: Device, kept: Life | None = None) -> None:
        self.device = device
        self._wrap_uj = device.wrap_uj
        self._bound_mw = 2 * device.max_power_mw if device.max_power_mw else _BOUND_MW
        self._fresh = True
        self.epoch = ""
        self.raw_uj = self.total_uj = self.ts_ms = 0
        if kept is not None and device.method == "counter" and kept.identity == device.identity:
            self.epoch, self.raw_uj, self.total_uj, self.ts_ms = kept.epoch, kept.raw_uj, kept.total_uj, kept.ts_ms
            self._fresh = False

    def add(self, ts_ms: int, raw_uj: int) -> bool:
        """Take a raw value; whether it is to be kept. False: its time is not after the last one's.

        A new epoch begins with the first value ever, when the counter fell and no wrap
        explains it, when the pause was so long that it may have wrapped twice, and when the clock
        was set back.
        """
        step_ms = ts_ms - self.ts_ms
        if not self._fresh and -_STEP_BACK_MS <= step_ms <= 0:
            return False
        rise = raw_uj - self.raw_uj
        if self._wrap_uj is not None:
            # mW x ms = µJ
            most_uj = (step_ms + _SLACK_MS) * self._bound_mw
            ambiguous = most_uj >= self._wrap_uj
            if rise < 0:
                rise += self._wrap_uj
                ambiguous = ambiguous or not 0 <= rise <= most_uj
        else:
            ambiguous = rise < 0
        if self._fresh or ambiguous or step_ms < 0:
            self.epoch, self.total_uj, self._fresh = secrets.token_hex(6), raw_uj, False
        else:
            self.total_uj += rise
        self.raw_uj, self.ts_ms = raw_uj, ts_ms
        return True

    def life(self) -> Life | None:
        """What to keep for the next start; None for a counter that ends with the agent, or was never read."""
        if self.device.method != "counter" or self._fresh:
            return None
        return Life(self.epoch, self.device.identity, self.raw_uj, self.total_uj, self.ts_ms)


class Lives(msgspec.Struct):
    """All counters of a node as they were when last written down."""

    boot_id: str
    counters: dict[str, Life]


def decode(raw: bytes | None, boot_id: str) -> dict[str, Life]:
    """Device -> its life, if the bytes are those of this boot of the machine; else nothing."""
    if raw is None:
        return {}
    try:
        lives = msgspec.json.decode(raw, type=Lives)
    except msgspec.MsgspecError:
        return {}
    return lives.counters if lives.boot_id == boot_id else {}


def encode(counters: dict[str, Life], boot_id: str) -> bytes:
    """The inverse of decode."""
    return msgspec.json.encode(Lives(boot_id, counters))
