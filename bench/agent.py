"""What watching costs: the agent beside CodeCarbon, both reading this machine once a second for the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, alone

#: MB of resident memory, and ms of CPU time in each second beyond what the driver takes.
RSS_GOAL_MB, CPU_GOAL_MS = 64, 1.0

_CODECARBON = """
import sys, time
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="DEU", measure_power_secs=1, save_to_file=False, log_level="critical", allow_multiple_runs=True)
tracker.start()
print("ready", flush=True)
time.sleep(float(sys.argv[1]))
tracker.stop()
"""
#: The agent's own readers, read as often as it does and nothing done with what they say: the driver's share.
_DRIVER = """
import sys, time
from wattlake_agents.sensors.registry import open_sensors
from wattlake_agents.sensors.sensor import NoSensor
from wattlake_contracts.config import AgentConfig
sensors = []
for sensor in open_sensors(AgentConfig()):
    try:
        sensor.discover(), sensor.read()
    except NoSensor:
        continue
    sensors.append(sensor)
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    for sensor in sensors:
        sensor.read()
    time.sleep(1)
"""


@dataclass(frozen=True)
class Cost:
    """cpu_ms: per second, once started. rss_mb: the most that was resident, in 10^6 bytes."""

    cpu_ms: float
    rss_mb: float


def bench(folder: Path, quick: bool) -> list[Figure]:
    """All three at the same time, so that they meet the same machine."""
    seconds = 8.0 if quick else 60.0
    agent = [str(Path(sys.executable).with_name("wattlake")), "agent", "run", "--log", f"file:{folder / 'agent-log'}", "--interval", "1"]
    environment = {**os.environ, "WATTLAKE_AGENT_STATE_DIR": str(folder / "state"), "WATTLAKE_AGENT_METRICS": "127.0.0.1:0"}
    peer = [sys.executable, "-c", _CODECARBON, str(seconds + 120)]
    driver = [sys.executable, "-c", _DRIVER, str(seconds + 120)]
    own, theirs, bare = _watch((agent, peer, driver), environment, seconds, folder)
    beyond = max(own.cpu_ms - bare.cpu_ms, 0.0)
    return [
        Figure("agent's CPU beyond the driver", beyond, "ms/s", f"the limit of {CPU_GOAL_MS} (driver {bare.cpu_ms:.2f})", CPU_GOAL_MS / max(beyond, 0.01),
               f"<= {CPU_GOAL_MS:g} ms in each second at 1 Hz", beyond <= CPU_GOAL_MS),
        Figure("agent's CPU in all", own.cpu_ms, "ms/s", f"CodeCarbon, {theirs.cpu_ms:.1f}",
               theirs.cpu_ms / max(own.cpu_ms, 0.01), "less than CodeCarbon", own.cpu_ms < theirs.cpu_ms),
        Figure("agent's memory", own.rss_mb, "MB", f"CodeCarbon, {theirs.rss_mb:.0f}",
               theirs.rss_mb / own.rss_mb, f"<= {RSS_GOAL_MB} MB", own.rss_mb <= RSS_GOAL_MB),
    ]


def _watch(commands: Sequence[list[str]], environment: dict[str, str], seconds: float, folder: Path) -> list[Cost]:
    """Start the commands, let them settle, and take what they spend in `seconds`."""
    started = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"command-{number}.log").open("wb") as errors:
                started.append(subprocess.Popen(command, env=environment, stdout=errors, stderr=errors))
        _settle(folder, len(commands), seconds)
        began, before = time.monotonic(), [_cpu_s(p.pid) for p in started]
        time.sleep(seconds)
        costs = [Cost((_cpu_s(p.pid) - b) / (time.monotonic() - began) * 1000, _peak_rss_mb(p.pid)) for p, b in zip(started, before, strict=True)]
        for process, command in zip(started, commands, strict=True):
            if process.poll() is not None:
                raise AssertionError(f"{command[0]} ended with {process.returncode}; see {folder}")
        return costs
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _settle(folder: Path, count: int, seconds: float) -> None:
    """Wait until every command has said something, and its start is over."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not all((folder / f"command-{n}.log").stat().st_size for n in range(count)):
        time.sleep(0.2)
    time.sleep(min(5.0, seconds / 2))


def _cpu_s(pid: int) -> float:
    """CPU time of a process and all threads that it ever had, in ns resolution (clock_getcpuclockid(3)); ticks of 10 ms are too coarse."""
    return time.clock_gettime((~pid << 3) | 2)


def _peak_rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    alone(bench)
