"""How long a command takes to answer: `wattlake agent --help`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from figures import Figure, Spent, alone, middle, spending

#: Seconds.
GOAL = 0.5


def bench(_folder: Path, quick: bool) -> list[Figure]:
    """The command as installed, in a new process each time, beside an empty Python."""
    command = _time([str(Path(sys.executable).with_name("wattlake")), "agent", "--help"], 3 if quick else 9)
    empty = _time([sys.executable, "-c", ""], 3 if quick else 9)
    # processor time, as the clock shows what else runs on this machine; alone on one the two agree
    return [Figure("wattlake agent --help", command.cpu_s, "CPU-s", f"an empty Python, {empty.cpu_s:.3f} ({command.wall_s:.2f} s by the clock)",
                   empty.cpu_s / command.cpu_s, f"<= {GOAL} s", command.cpu_s <= GOAL)]


def _time(command: list[str], times: int) -> Spent:
    runs = []
    for _ in range(times):
        with spending() as spent:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        runs.append(spent())
    return middle(runs)


if __name__ == "__main__":
    alone(bench)
