"""A process that lands and accounts, or does upkeep, and has something happen to it when it reaches a named step for the nth time.

python die_at.py LAKE LOG STEP NTH [WHAT]           LOG: "-" for upkeep. WHAT: KILL (SIGKILL, the default), STOP (SIGSTOP), or a file that it is to make
python die_at.py --command STEP NTH WHAT ARGUMENTS  the command `wattlake` itself, with those arguments
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lakes import run
from wattlake_pipelines.lake import committer as committing
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain


def at(step: str, nth: int, what: str) -> Callable[[str], None]:
    """What hears of steps, and dies or stands still by the kernel's hand, as by an operator's: no handler, no cleaning up."""
    reached = 0

    def on_step(name: str) -> None:
        nonlocal reached
        if name == step:
            reached += 1
            if reached == nth:
                if what in {"KILL", "STOP"}:
                    os.kill(os.getpid(), getattr(signal, f"SIG{what}"))
                else:
                    Path(what).touch()

    return on_step


def _command(step: str, nth: str, what: str, *arguments: str) -> None:
    from wattlake_agents.command import main

    # the command names no steps to anybody: its committer is made to
    committing.Committer = functools.partial(Committer, on_step=at(step, int(nth), what))  # type: ignore[misc,assignment]
    sys.argv = ["wattlake", *arguments]
    main()


def _library(lake: str, log: str, step: str, nth: str, what: str = "KILL") -> None:
    on_step = at(step, int(nth), what)
    if log == "-":
        with Committer(Path(lake), on_step=on_step) as committer:
            maintain(committer, keep_days=0)
    else:
        run(Path(lake), Path(log), on_step=on_step)


if __name__ == "__main__":
    if sys.argv[1] == "--command":
        _command(*sys.argv[2:])
    else:
        _library(*sys.argv[1:])
