"""The doctor in a home of its own, asked for what it found."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]
Doctor = Callable[..., "Diagnosis"]


class Diagnosis:
    """What the doctor said. (state, detail, next step) by probe; of several subjects the last one."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.done, self.code = done, done.returncode
        self.rows: list[dict[str, Any]] = json.loads(done.stdout)
        self.by_probe = {row["probe"]: row for row in self.rows}

    def state(self, probe: str) -> str:
        """Of a probe."""
        return str(self.by_probe[probe]["state"])

    def failed(self) -> dict[str, str]:
        """The detail of each probe that failed."""
        return {row["probe"]: row["detail"] for row in self.rows if row["state"] == "failed"}


@pytest.fixture
def home(machine: Any, state: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is found, with a machine that has one CPU."""
    machine.zone("intel-rapl:0", "package-0")
    clean = {name: value for name, value in machine.environment(state).items() if name not in os.environ or not name.startswith("WATTLAKE_")}
    return {**clean, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "WATTLAKE_AGENT_READERS": "rapl"}


@pytest.fixture
def call(wattlake: Path, home: dict[str, str], topic_prefix: str, tmp_path: Path) -> Call:
    """`wattlake` with topics that no other test has; more: variables that go before."""
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, *arguments], env={**home, "WATTLAKE_KAFKA_PREFIX": topic_prefix, **more}, cwd=tmp_path,
                              capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def doctor(call: Call) -> Doctor:
    """`wattlake doctor` as JSON."""
    def run(*arguments: str, **more: str) -> Diagnosis:
        done = call("doctor", *arguments, "--format", "json", **more)
        assert "Traceback" not in done.stderr
        return Diagnosis(done)

    return run
