"""One of Beam's Python workers (`python -m wattlake_pipelines.dev.worker ADDRESS ID`); it lives no longer than who started it.

Its standard input is a pipe on which nothing is ever sent. The kernel closes it when the process at the other end is gone, be it
by SIGKILL, and also if that was before this one had begun.
"""

from __future__ import annotations

import os
import sys
import threading


def end_with_the_pool(end: int) -> None:
    """End this process when nobody holds the other end of a pipe any more."""
    while os.read(end, 1):
        pass
    # at once: what it was at work on has nobody left to take it
    os._exit(1)


def main(control: str, worker_id: str) -> None:
    """Work for the job server at an address, under the name that it has given, until it says that there is no more."""
    # before Beam is imported, which takes seconds; and what is run here does not read this pipe
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with_the_pool, args=(pipe,), daemon=True).start()

    from apache_beam.runners.worker.sdk_worker import SdkHarness

    SdkHarness(control, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
