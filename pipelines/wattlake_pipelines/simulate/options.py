"""What a simulation is asked for; the same options give the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np

from wattlake_contracts.column import EARLIEST_MS, LATEST_MS
from wattlake_contracts.errors import UsageError
from wattlake_contracts.layout import DAY_MS, HOUR_MS

#: 2025-03-03 00:00 UTC, a Monday: fixed, so that a simulation without --start repeats too.
DEFAULT_START_MS = 1_740_960_000_000
_LONGEST_HOURS = 3660 * 24


@dataclass(frozen=True)
class Options:
    """A simulated fleet.

    nodes, gpus: machines, and GPUs in each. days: length, whole hours, may be a fraction of a day.
    seed: everything drawn depends on it. start_ms: UTC, a whole hour. interval_ms: between two
    readings. gaps: whether readings are lost and messages arrive late. failures: crashes per node
    and day. renew_ms: between two renewals of an open job. UsageError if one makes no sense.
    """

    nodes: int = 4
    days: float = 1.0
    seed: int = 1
    start_ms: int = DEFAULT_START_MS
    interval_ms: int = 1000
    gpus: int = 8
    gaps: bool = True
    failures: float = 0.1
    renew_ms: int = 60_000

    def __post_init__(self) -> None:
        wrong = [
            (self.nodes < 1 or self.nodes > 100_000, "--nodes must be from 1 to 100000"),
            (not 1 <= self.hours <= _LONGEST_HOURS, "--days must be from an hour (0.042) to ten years (3660)"),
            (self.seed < 0, "--seed must not be negative"),
            (self.interval_ms < 100, "--interval must be at least 0.1 s"),
            (self.interval_ms > HOUR_MS, "--interval must be at most an hour"),
            (self.gpus < 1 or self.gpus > 64, "--gpus must be from 1 to 64"),
            (self.failures < 0 or self.failures > 24, "--failures must be from 0 to 24 a day"),
            (not 1000 <= self.renew_ms <= DAY_MS, "--renew must be from 1 s to a day"),
            (self.start_ms % HOUR_MS != 0, "--start must be a whole hour"),
            (self.start_ms < EARLIEST_MS or self.end_ms > LATEST_MS, "--start and the end must be between 2000 and 2200"),
        ]
        for failed, message in wrong:
            if failed:
                raise UsageError(message, next_step="see `wattlake simulate --help`")

    @property
    def hours(self) -> int:
        """The length in whole hours."""
        return round(self.days * DAY_MS / HOUR_MS)

    @property
    def end_ms(self) -> int:
        """The end of the simulated time, not in it."""
        return self.start_ms + self.hours * HOUR_MS

    def random(self, *where: int) -> np.random.Generator:
        """The stream of random numbers of one place (purpose, node, hour …), whatever was drawn elsewhere."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, *where))))

    def name(self, *where: object) -> str:
        """A name of 16 hexadecimal digits for one place; other options give others."""
        return hashlib.blake2b(repr((self._content, where)).encode(), digest_size=8).hexdigest()

    @cached_property
    def _content(self) -> tuple[object, ...]:
        return astuple(self)


#: The purposes that random streams are drawn for, so that no two share one.
LIVES, GAPS, JOBS, POWER, GRID, LATE, SERVING, JITTER = range(8)
