"""The folder of a demo: made, recognised, cleaned, and held by one demo at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wattlake_contracts.errors import UsageError, WattlakeError

#: What tells a demo's folder from any other.
MARKER = ".wattlake-demo"
#: All that a demo puts into its folder. What else lies there is the user's and stays.
MADE = ("wattlake.toml", "log", "lake", "state", "work", "logs", "checks", "report.html")


@dataclass(frozen=True)
class Folder:
    """Where a demo keeps its things."""

    root: Path

    @property
    def config(self) -> Path:
        """Its configuration, for going on with it afterwards."""
        return self.root / "wattlake.toml"

    @property
    def log(self) -> Path:
        """The file log."""
        return self.root / "log"

    @property
    def lake(self) -> Path:
        """The lake."""
        return self.root / "lake"

    @property
    def state(self) -> Path:
        """The agent's state."""
        return self.root / "state"

    @property
    def work(self) -> Path:
        """Data and weights of the model."""
        return self.root / "work"

    @property
    def logs(self) -> Path:
        """What each step printed."""
        return self.root / "logs"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"


@contextmanager
def held(out: Path) -> Iterator[Folder]:
    """The folder, empty of an earlier demo's things, and nobody else's until the block ends.

    UsageError if something else lies there. WattlakeError if a demo is at work in it, or if it cannot be written.
    """
    root = out.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / MARKER).is_file() and any(root.iterdir()):
            raise UsageError("is not empty, and no demo made it", subject=str(root), next_step="give another --out")
        marker = os.open(root / MARKER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WattlakeError(f"cannot be written: {error.strerror}", subject=str(root), next_step="give another --out") from error
    try:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            busy = WattlakeError("another demo is at work in it", subject=str(root), next_step="wait for it, or give another --out")
            raise busy from error
        try:
            folder = Folder(root)
            _clean(root)
            for path in (folder.state, folder.work, folder.logs):
                path.mkdir()
        except OSError as error:
            raise WattlakeError(f"cannot be made anew: {error.strerror}", subject=str(error.filename or root),
                                next_step="delete it, or give another --out") from error
        yield folder
    finally:
        os.close(marker)


def _clean(root: Path) -> None:
    for name in MADE:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
