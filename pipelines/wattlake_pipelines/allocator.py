"""Where the pipelines take their memory from: allocators that give back what a round has left, so that a long backlog takes no more than a short one."""

from __future__ import annotations

import ctypes
import os

_ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
_ARENAS = "MALLOC_ARENA_MAX"
#: glibc keeps up to eight arenas for each core, each with the holes of its own (mallopt(3); the number of the parameter is M_ARENA_MAX of malloc.h).
_M_ARENA_MAX, _ARENAS_AT_MOST = -8, 2


def choose_allocators() -> None:
    """Have Arrow use the C library's allocator, and that few arenas. Before pyarrow is imported, which looks once; what the user has set stands.

    Arrow's own choice, mimalloc, keeps the pages of threads that have ended: landing a day's backlog and accounting for it took a third more with it.
    """
    os.environ.setdefault(_ARROW_POOL, "system")
    if _ARENAS not in os.environ:
        # for the processes of a runner; this one has looked already
        os.environ[_ARENAS] = str(_ARENAS_AT_MOST)
        # others than glibc have no such call, and no such arenas
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS_AT_MOST)
