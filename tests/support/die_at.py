"""A process that lands and accounts, and is killed by SIGKILL at a named step of its nth commit.

python die_at.py LAKE LOG STEP NTH
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from lakes import run

if __name__ == "__main__":
    lake, log, step, nth = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    reached = 0

    def on_step(name: str) -> None:
        """Die by the kernel's hand, as by an operator's: no handler, no cleaning up."""
        global reached  # noqa: PLW0603 - one counter of one short script
        if name == step:
            reached += 1
            if reached == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    run(lake, log, on_step=on_step)
