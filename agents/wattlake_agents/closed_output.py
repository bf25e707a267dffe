"""When who reads this command's output goes away, as `| head` does once it has what it wants."""

from __future__ import annotations

import os
import select
import signal
import sys

#: What a shell sees of a command that SIGPIPE ended, as it ends other tools. The signal itself is left ignored, as Python has it: a
#: broker that hangs up must not end an agent.
CLOSED = 128 + signal.SIGPIPE


def closed() -> bool:
    """Whether nobody reads stdout or stderr any more; then nothing more is written to it. A pipe that broke may be another's: a broker's, a child's."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue  # closed from the beginning
        asked = select.poll()
        asked.register(descriptor, select.POLLOUT)
        if any(event & select.POLLERR for _, event in asked.poll(0)):
            # Python's own end would write there what is left, and tell of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            gone = True
    return gone
