"""Libraries that come between a process and its kernel (LD_PRELOAD), compiled once per worker of a run.

A plugin of pytest.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lacking import lacks


def _compiled(name: str, folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        lacks("needs a C compiler, and there is none")
    made = folder / f"{name}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), str(Path(__file__).with_name(f"{name}.c")), "-ldl"], check=True)
    return made


@pytest.fixture(scope="session")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets the disk below a catalogue fail."""
    return _compiled("faulty_disk", tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def wrong_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that sets a process's clock wrong, by WRONG_CLOCK_S seconds or by what a file says."""
    return _compiled("wrong_clock", tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def failing_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets chosen calls on chosen files fail."""
    return _compiled("failing_calls", tmp_path_factory.mktemp("shim"))
