"""The command in a home of its own, and what is put on a log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is found."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATTLAKE_")}
    return {**clean, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "COLUMNS": "200"}


@pytest.fixture
def call(wattlake: Path, home: dict[str, str], topic_prefix: str, tmp_path: Path) -> Call:
    """`wattlake` with topics that no other test has; more: variables that go before."""
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([wattlake, *arguments], env={**home, "WATTLAKE_KAFKA_PREFIX": topic_prefix, **more}, cwd=tmp_path,
                              capture_output=True, text=True, timeout=60)

    return run
