"""How fast `wattlake land` is: the file log → checked, deduplicated, sorted Parquet, committed and fsynced."""

from __future__ import annotations

import shutil
from pathlib import Path

from figures import Figure, Spent, alone, middle, spending
from fleet import land_log, write_log

from wattlake_pipelines.lake.committer import Committer

#: Readings per second of CPU time.
GOAL = 3e6


def bench(folder: Path, quick: bool) -> list[Figure]:
    """Land the same log into new lakes: the median of three, the first one (imports, caches) left out."""
    log = write_log(folder, quick)
    runs: list[Spent] = []
    rows = 0
    for number in range(2 if quick else 4):
        lake = folder / f"landing-{number}"
        with Committer(lake) as committer, spending() as spent:
            made = land_log(log, committer)
        if number:
            runs.append(spent())
        if rows and made.rows != rows:
            raise AssertionError(f"{made.rows} rows landed, {rows} the time before")
        rows = made.rows
        shutil.rmtree(lake)
    took = middle(runs)
    per_core = rows / took.cpu_s
    return [
        Figure("landing, per core", per_core, "readings/CPU-s", f"the goal of {GOAL:,.0f}",
               per_core / GOAL, ">= 3 M readings/s per core", per_core >= GOAL),
        Figure("landing, as the clock has it", rows / took.wall_s, "readings/s", f"the goal of {GOAL:,.0f}",
               rows / took.wall_s / GOAL, "none: others share this machine", None),
    ]


if __name__ == "__main__":
    alone(bench)
