"""Running `wattlake import` and reading what it left on the log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from wattlake_agents.command import app
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.record import Record, Stored
from wattlake_pipelines.decode import decode


def records(log: Path) -> list[Record]:
    """All records of a log, partition by partition; a damaged one fails the test."""
    found = []
    for partition in partitions(log) if log.is_dir() else []:
        for item in read(log, partition, *bounds(log, partition)):
            assert isinstance(item, Stored)
            found.append(item.record)
    return found


def rows(log: Path, kind: str) -> list[dict[str, Any]]:
    """All rows of a kind on a log, without the columns that are not given."""
    tables = [decode(r).table for r in records(log) if r.meta.kind == kind]
    listed = pa.concat_tables(tables).to_pylist() if tables else []
    return [{k: v for k, v in row.items() if v is not None} for row in listed]


@dataclass
class Ran:
    """What a call of the command gave."""

    code: int
    out: str
    err: str
    log: Path
    summary: list[dict[str, Any]] = field(default_factory=list)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The rows of a kind that are now on the log."""
        return rows(self.log, kind)

    def records(self) -> list[Record]:
        """The records that are now on the log."""
        return records(self.log)


Import = Callable[..., Ran]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def run_import(log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Import:
    """`wattlake import …` in this process: the same app, and the exit code that main would give."""

    def run(kind: str, *files: Path | str, options: Sequence[str] = ()) -> Ran:
        arguments = ["import", kind, *map(str, files), "--log", f"file:{log}", "--format", "json", *options]
        monkeypatch.setattr(sys, "argv", ["wattlake", *arguments])
        code, told = 0, ""
        try:
            app(arguments, prog_name="wattlake")
        except SystemExit as stop:
            code = int(stop.code or 0)
        except WattlakeError as error:
            code, told = error.exit_code, str(error)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err + told, log, json.loads(captured.out) if captured.out.strip() else [])

    return run


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`wattlake …` in a process of its own."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        code = "from wattlake_agents.command import main; main()"
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120, **options)

    return run


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """A CSV file of the lines given."""

    def write(*lines: str, name: str = "in.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
