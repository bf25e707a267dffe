"""What this process costs."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGESIZE")


def up_s() -> float:
    """Seconds since the machine was started, sleep included: what no setting of a clock moves."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def machine_boot() -> str:
    """What tells this life of the machine from others; '' where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def cpu_s() -> float:
    """CPU seconds of all threads so far."""
    return time.process_time()


def pid_namespace() -> int:
    """What tells the namespace of this process's id from others, such as a container's; 0 where the kernel does not say."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def rss_bytes() -> int:
    """Resident memory, 0 where the kernel does not say (it is not Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
