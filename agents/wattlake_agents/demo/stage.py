"""What the steps of a demo share: its folder, its choices, and how a command is run with a log of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattlake_agents.demo import process
from wattlake_agents.demo.folder import Folder
from wattlake_contracts.errors import WattlakeError


class StepError(WattlakeError):
    """A step failed. log: the file that says more."""

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(what, next_step=f"see its log: {log}")
        self.log = log


@dataclass
class Stage:
    """folder: where everything lies. environment: what its processes see. zone, pue: what stands for this machine's place,
    and pue_given: whether the user said so. log: the step's log. estimated: whether all energy here comes from a model.
    running: what must be ended in any case."""

    folder: Folder
    environment: dict[str, str]
    zone: str
    pue: float
    pue_source: str
    pue_given: bool
    log: Path
    estimated: bool = False
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def call(self, *command: str, expect: Sequence[int] = (0,)) -> str:
        """Run a command to its end; its stdout. StepError if its exit code is not one of those expected."""
        child = self.start(command, stdout=subprocess.PIPE)
        out, _ = child.communicate()
        # an error is told on stderr, which is in the log already
        last_word = self._last_word()
        with self.log.open("a", encoding="utf-8") as log:
            log.write(out)
            log.write(f"exit code {child.returncode}\n")
        if child.returncode not in expect:
            raise StepError(f"`{process.shown(command)}` ended with exit code {child.returncode}: {last_word}", self.log)
        return out

    def wattlake(self, *arguments: str, expect: Sequence[int] = (0,)) -> str:
        """Run a `wattlake` command to its end; its stdout."""
        return self.call(*process.wattlake(*arguments), expect=expect)

    def start(self, command: Sequence[str], stdout: int | None = None) -> subprocess.Popen[str]:
        """Start a command in the demo's folder and environment."""
        return process.start(command, self.environment, self.folder.root, self.log, stdout)

    def keep_running(self, name: str, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command that goes on until `end`."""
        self.running[name] = self.start(command)
        return self.running[name]

    def end(self, name: str) -> None:
        """End what was kept running. StepError if it does not end cleanly."""
        child = self.running.pop(name)
        ended_before = child.poll() is not None
        code = process.stop(child)
        if code or ended_before:
            when = "before its time, " if ended_before else ""
            raise StepError(f"the {name} ended {when}with exit code {code}: {self._last_word()}", self.log)

    def end_all(self) -> None:
        """End whatever still runs, the latest first."""
        while self.running:
            process.stop(self.running.popitem()[1])

    def result(self, name: str) -> dict[str, Any]:
        """What a part of the workload wrote down."""
        found = json.loads((self.folder.work / name).read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    def _last_word(self) -> str:
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        said = [line for line in lines if line and not line.startswith(("$ ", "exit code ", "next: "))]
        return said[-1] if said else "it said nothing"
