"""Runs the real command line, each world in a folder of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

WATTLAKE = Path(sys.executable).with_name("wattlake")


class World:
    """A log and a lake in a folder of their own, and the command that fills and asks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log, self.lake = folder / "log", folder / "lake"

    def command(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `wattlake ARGUMENTS` away from any configuration of this machine; whatever comes of it."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WATTLAKE_")}
        clean |= {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "data-home"), "NO_COLOR": "1"}
        return subprocess.run([str(WATTLAKE), *map(str, arguments)], cwd=cwd or self.folder, env=clean,
                              capture_output=True, text=True, timeout=550)

    def try_import(self, kind: str, *files: Path) -> subprocess.CompletedProcess[str]:
        """`wattlake import KIND FILE…`, whatever comes of it."""
        return self.command("import", kind, *files, "--log", f"file:{self.log}")

    def try_run(self) -> subprocess.CompletedProcess[str]:
        """`wattlake run`, whatever comes of it."""
        return self.command("run", "--log", f"file:{self.log}", "--lake", self.lake, "--format", "json")

    def write(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
        """A CSV file; None is an empty cell."""
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(["" if v is None else v for v in row] for row in rows)
        return path

    def load(self, kind: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Import these rows; all of them must be taken."""
        done = self.try_import(kind, self.write(f"{kind}-{len(list(self.folder.glob('*.csv')))}.csv", columns, rows))
        assert done.returncode == 0, done.stderr

    def account(self) -> dict[str, Any]:
        """`wattlake run`, which must reject nothing; what it says it did."""
        done = self.try_run()
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)[0]
        return said

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows that `wattlake sql` prints for a query."""
        done = self.command("sql", query, "--lake", self.lake, "--format", "json", "--limit", "100000")
        assert done.returncode == 0, done.stderr
        assert "cut at" not in done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world."""
    return World(tmp_path)


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An empty world that the tests of one module share: filled once, then only asked."""
    return World(tmp_path_factory.mktemp("world"))
