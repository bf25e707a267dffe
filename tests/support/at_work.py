"""Real processes of the command: an agent that ships to Kafka and a follower that lands what comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from wattlake_pipelines.dev.ports import free_ports

WATTLAKE = str(Path(sys.executable).with_name("wattlake"))


#: Fresh data lands within so many seconds after the faults stop.
LIVE_S = 30.0


class TooLongError(AssertionError):
    """Something has not happened in time. The machine may have been busy: CI tries such a test once more, and shows both tries."""


class NotLiveError(AssertionError):
    """Fresh data has not landed in the seconds that are promised after the faults stopped. That is a failure, and CI does not try it once more."""


def until(condition: Callable[[], object], what: str, seconds: float = 60, error: type[AssertionError] = TooLongError,
          every_s: float = 0.1) -> float:
    """Wait until something holds, and look every_s; give how many seconds it took. error: is raised if it does not in time."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began >= seconds:
            raise error(f"not within {seconds:g} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - began


def until_live(condition: Callable[[], object], what: str) -> float:
    """Wait until what is fresh has landed, now that the faults have stopped; give how many seconds it took, and tell them."""
    took_s = until(condition, what, LIVE_S, NotLiveError, 0.25)
    print(f"{what} after {took_s:.1f} s")
    return took_s


class _Process:
    """A command that is started, and what it says."""

    def __init__(self, folder: Path, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WATTLAKE_")}
        self.environment = {**clean, "HOME": str(folder), **environment}
        self.said = folder / f"{name}.said"
        self._arguments, self._folder, self._begun = arguments, folder, 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says is added to what it said before."""
        with self.said.open("ab") as said:
            self._begun = said.tell()
            self.process = subprocess.Popen([WATTLAKE, *self._arguments], env=self.environment, cwd=self._folder, stdout=said, stderr=said)

    def says(self) -> str:
        """What it has said since it was last started."""
        return self.said.read_bytes()[self._begun :].decode()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        assert self.process.poll() is None, self.said.read_text()[-3000:]
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def stop(self, seconds: float = 90) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def runs(self) -> bool:
        """Whether it is there."""
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Let nothing of it be left."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Agent(_Process):
    """`wattlake agent run` of a node: this machine's processors by the model, ten readings a second, a record each flush_s.

    lives: what each of its lives, by its boot, last said of itself.
    """

    def __init__(self, folder: Path, node: str, log: str, environment: Mapping[str, str], *, spool: Path | None = None, name: str = "",
                 flush_s: float = 1) -> None:
        name = name or node
        self.lives: dict[str, dict[str, Any]] = {}
        self.node, self.spool, self._state = node, spool or folder / f"spool-{name}", folder / f"state-{name}"
        (folder / "no-sys").mkdir(exist_ok=True)
        self.page = f"127.0.0.1:{free_ports(1)[0]}"
        super().__init__(folder, name, ["agent", "run", "--log", log, "--node", node, "--interval", "0.1", "--flush", f"{flush_s:g}"], {
            "WATTLAKE_AGENT_READERS": "cpu_model", "WATTLAKE_AGENT_SYS_ROOT": str(folder / "no-sys"), "WATTLAKE_AGENT_METRICS": self.page,
            "WATTLAKE_AGENT_STATE_DIR": str(self._state), "WATTLAKE_KAFKA_SPOOL_DIR": str(self.spool), **environment})

    def kill(self) -> None:
        """SIGKILL; what it had said is kept."""
        super().kill()
        with suppress(FileNotFoundError):  # it had said nothing yet
            self.beat()

    def stop(self, seconds: float = 90) -> int:
        """SIGTERM; its exit status. What it said at its end is kept."""
        status = super().stop(seconds)
        self.beat()
        return status

    def status(self) -> tuple[dict[str, Any], str]:
        """(what `agent status` prints, what it complains of)."""
        asked = subprocess.run([WATTLAKE, "agent", "status", "--format", "json"], env=self.environment, capture_output=True, text=True, cwd=self._folder)
        found = json.loads(asked.stdout)
        shown: dict[str, Any] = {row["name"]: row["value"] for row in found} if isinstance(found, list) and "name" in found[0] else found[0]
        return shown, asked.stderr

    def beat(self) -> dict[str, Any]:
        """What it has last said of itself."""
        said: dict[str, Any] = json.loads((self._state / "agent.json").read_text())
        self.lives[said["boot"]] = said
        return said

    def metrics(self) -> str:
        """Its page."""
        with urlopen(f"http://{self.page}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


class Follower(_Process):
    """`wattlake run --follow`."""

    def __init__(self, lake: Path, log: str, environment: Mapping[str, str], *, beam: Sequence[str] = ()) -> None:
        self.lake = lake
        lake.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(lake.parent, "follower", ["run", "--follow", "--every", "1", "--log", log, "--lake", str(lake), "--", *beam], environment)
