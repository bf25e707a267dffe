"""Ctrl-C held back while something must not be left half known."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[None]:
    """What is done within is ended before Ctrl-C is heard, however often it comes; then its handler is called, once.

    Blocking the signal would not do: the kernel would give it to another thread, and Python to this one.
    """
    handler = signal.getsignal(signal.SIGINT)
    # handlers run in the main thread only; without one Ctrl-C ends the process as SIGKILL does, or does nothing
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
