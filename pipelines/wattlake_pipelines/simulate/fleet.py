"""The machines: where they stand, what is in them, when they live and when their readings are lost."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from wattlake_contracts.layout import DAY_MS
from wattlake_pipelines.simulate.options import GAPS, LIVES, Options

_MINUTE_MS = 60_000
#: A crash needs that much time around it, so that every life has readings.
_MARGIN_MS = 15 * _MINUTE_MS
#: One node in so many has no wall sensor, and one in so many a GPU without a counter.
WALL_MISSING_EVERY, COUNTERLESS_EVERY = 4, 3


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a data file of this package."""
    return tuple(csv.DictReader(io.StringIO((files(__package__) / name).read_text(encoding="utf-8"))))


@dataclass(frozen=True)
class Hardware:
    """One model of hardware: its name, its power idle and at most, in W."""

    sku: str
    idle_w: float
    max_w: float


def hardware(role: str) -> Hardware:
    """The model that plays a role: gpu, cpu, dram or node."""
    row = next(r for r in table("hardware.csv") if r["role"] == role)
    return Hardware(row["sku"], float(row["idle_w"]), float(row["max_w"]))


@dataclass(frozen=True)
class Device:
    """A device as readings name it."""

    name: str
    kind: str
    domain: str
    method: str
    boundary: str


@dataclass(frozen=True)
class Life:
    """A node from boot to crash: [start_ms, end_ms); number counts from 0."""

    number: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Gap:
    """Readings that were lost: of one device (its index), or of all."""

    start_ms: int
    end_ms: int
    device: int | None


@dataclass(frozen=True)
class Node:
    """A machine. inventory: whether anyone ever said what and where it is."""

    index: int
    name: str
    site: str
    inventory: bool
    devices: tuple[Device, ...]
    lives: tuple[Life, ...]
    gaps: tuple[Gap, ...]

    @property
    def wall(self) -> int | None:
        """The index of the wall sensor, which is the last device, if there is one."""
        return len(self.devices) - 1 if self.devices[-1].kind == "node" else None


def fleet(options: Options) -> list[Node]:
    """Every node of a simulation. The last one of two or more has no inventory."""
    sites = [row["site"] for row in table("sites.csv")]
    made = []
    for i in range(options.nodes):
        lives = _lives(options, i)
        devices = _devices(options, i)
        made.append(Node(
            i, f"sim-node-{i:04d}", sites[i % len(sites)], options.nodes == 1 or i < options.nodes - 1,
            devices, lives, _gaps(options, i, lives, len(devices)),
        ))
    return made


def _devices(options: Options, index: int) -> tuple[Device, ...]:
    counterless = 0 if index % COUNTERLESS_EVERY == 1 else None
    devices = [
        Device(f"gpu{g}", "gpu", f"nvml-{g}", "integrated" if g == counterless else "counter", "component") for g in range(options.gpus)
    ]
    devices += [Device(f"cpu-package-{p}", "cpu", f"package-{p}", "counter", "component") for p in range(2)]
    devices += [Device(f"dram-{p}", "dram", f"dram-{p}", "counter", "component") for p in range(2)]
    if index % WALL_MISSING_EVERY != WALL_MISSING_EVERY - 1:
        devices.append(Device("wall", "node", "bmc", "integrated", "node_ac"))
    return tuple(devices)


def _lives(options: Options, index: int) -> tuple[Life, ...]:
    """Crashes come as a Poisson process; each is followed by 5 to 30 minutes of darkness."""
    random = options.random(LIVES, index)
    length = options.end_ms - options.start_ms
    at = np.sort(random.integers(0, length, random.poisson(options.failures * length / DAY_MS)))
    dark = random.integers(5 * _MINUTE_MS, 30 * _MINUTE_MS, len(at))
    lives: list[Life] = []
    start = options.start_ms
    for crash, off in zip((at + options.start_ms).tolist(), dark.tolist(), strict=True):
        if crash - start >= _MARGIN_MS and options.end_ms - crash - off >= _MARGIN_MS:
            lives.append(Life(len(lives), start, crash))
            start = crash + off
    return (*lives, Life(len(lives), start, options.end_ms))


def _gaps(options: Options, index: int, lives: tuple[Life, ...], devices: int) -> tuple[Gap, ...]:
    """Per node and day: 2 short gaps of all devices, half a long one (6 to 20 min), 2 of one device.

    None touches the first or last minutes of a life, so that what was counted is never cut short.
    """
    if not options.gaps:
        return ()
    random = options.random(GAPS, index)
    days = (options.end_ms - options.start_ms) / DAY_MS
    gaps: list[Gap] = []
    for rate, shortest_s, longest_s, single in ((2.0, 20, 240, False), (0.5, 360, 1200, False), (2.0, 20, 900, True)):
        for _ in range(int(random.poisson(rate * days))):
            start = int(random.integers(options.start_ms, options.end_ms))
            end = start + int(random.integers(shortest_s, longest_s)) * 1000
            device = int(random.integers(devices)) if single else None
            if any(life.start_ms + 2 * _MINUTE_MS <= start and end <= life.end_ms - 2 * _MINUTE_MS for life in lives):
                gaps.append(Gap(start, end, device))
    return tuple(sorted(gaps, key=lambda g: (g.start_ms, g.end_ms)))
