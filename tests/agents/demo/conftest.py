"""A demo's folder and stage, for trying its parts one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattlake_agents.demo.folder import Folder, held
from wattlake_agents.demo.settings import environment, settings, toml
from wattlake_agents.demo.stage import Stage


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with held(tmp_path / "demo") as made:
        yield made


@pytest.fixture
def stage(folder: Folder) -> Iterator[Stage]:
    table = settings(folder, "a test")
    folder.config.write_text(toml(table))
    made = Stage(folder, environment(folder, table, os.environ), "WORLD", 1.5, "a test", True, folder.logs / "test.log")
    yield made
    made.end_all()
