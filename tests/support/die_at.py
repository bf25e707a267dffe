"""A process that lands and accounts, or does upkeep, and has something happen to it when it reaches a named step for the nth time.

python die_at.py LAKE LOG STEP NTH [WHAT]      LOG: "-" for upkeep. WHAT: KILL (SIGKILL, the default), STOP (SIGSTOP), or a file that it is to make
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from lakes import run
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.maintain import maintain

if __name__ == "__main__":
    lake, log, step, nth = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    what = sys.argv[5] if len(sys.argv) > 5 else "KILL"
    reached = 0

    def on_step(name: str) -> None:
        """Die or stand still by the kernel's hand, as by an operator's: no handler, no cleaning up."""
        global reached  # noqa: PLW0603 - one counter of one short script
        if name == step:
            reached += 1
            if reached == nth:
                if what in {"KILL", "STOP"}:
                    os.kill(os.getpid(), getattr(signal, f"SIG{what}"))
                else:
                    Path(what).touch()

    if log == "-":
        with Committer(lake, on_step=on_step) as committer:
            maintain(committer, keep_days=0)
    else:
        run(lake, Path(log), on_step=on_step)
