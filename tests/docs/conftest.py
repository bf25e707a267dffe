"""The command line, to be held against the pages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pages import ROOT


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def wattlake() -> Path:
    """The installed command."""
    return Path(sys.executable).with_name("wattlake")


@pytest.fixture(scope="session")
def commands_script() -> ModuleType:
    """docs/commands.py as a module."""
    spec = importlib.util.spec_from_file_location("commands_page", ROOT / "docs" / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
