"""Thermal design power of CPUs and GPUs, by their name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from wattlake_contracts.factors.factor import Factor, Line, read_factors

FILE = "tdp.csv"


@dataclass(frozen=True, kw_only=True)
class Tdp(Factor):
    """The design power of one package or board, in W.

    name_pattern: a regular expression, sought without regard to case in the model name of
    /proc/cpuinfo or in the name that NVML gives. low, high: the span of a family; None for one model.
    """

    name_pattern: str
    device_kind: str


def _make(line: Line) -> Tdp:
    pattern = line.text("name_pattern")
    try:
        re.compile(pattern)
    except re.error as error:
        raise line.wrong(f"name_pattern {pattern!r} is no regular expression: {error}") from error
    return Tdp(name_pattern=pattern, device_kind=line.choice("device_kind", ("cpu", "gpu")), **vars(line.common(("W",))))


@cache
def tdps() -> tuple[Tdp, ...]:
    """Every row of the file."""
    return read_factors(FILE, _make)


def tdp_for(name: str, device_kind: str) -> Tdp | None:
    """The row for a model name: of those that fit, the one with the longest pattern.

    device_kind: cpu or gpu; for these there is always one, at worst the default with its wide band.
    None for another kind of device.
    """
    fitting = [t for t in tdps() if t.device_kind == device_kind and re.search(t.name_pattern, name, re.IGNORECASE)]
    return max(fitting, key=lambda t: len(t.name_pattern), default=None)
