"""What a bench finds, how it is shown, and how time is taken."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One result. against: the peer or limit it is held against, with its figure. ratio: how many times better than that.

    goal: what ratio or value is asked for, in words. holds: whether it is met; None: no goal, the figure is for information.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: str
    holds: bool | None


@dataclass(frozen=True)
class Spent:
    """What a stretch of work took. cpu_s: user and system time of this process, its threads and its finished children."""

    wall_s: float
    cpu_s: float


@contextmanager
def spending() -> Iterator[Callable[[], Spent]]:
    """Take the time of a block: the function given tells it afterwards."""
    wall, before = time.perf_counter(), _cpu_s()
    found: list[Spent] = []
    yield lambda: found[0]
    found.append(Spent(time.perf_counter() - wall, _cpu_s() - before))


def _cpu_s() -> float:
    """Of this process and its finished children, finer than the ticks of os.times."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def middle(runs: list[Spent]) -> Spent:
    """The medians of several runs."""
    return Spent(median(r.wall_s for r in runs), median(r.cpu_s for r in runs))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes when the bench is done."""
    folder = Path(tempfile.mkdtemp(prefix="wattlake-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(figures: list[Figure]) -> None:
    """Print results as a table on stdout."""
    rows = [("figure", "value", "unit", "against", "ratio", "goal", "holds")]
    rows += [(f.name, f"{f.value:,.3g}" if f.value < 1000 else f"{f.value:,.0f}", f.unit, f.against, f"{f.ratio:.2f}", f.goal,
              "-" if f.holds is None else "yes" if f.holds else "NO") for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def alone(bench: Callable[[Path, bool], list[Figure]]) -> None:
    """Run one bench as a script: `python bench/NAME.py [--quick]`."""
    with scratch() as folder:
        show(bench(folder, "--quick" in sys.argv[1:]))
