"""The folder of a server: one that is ours and no other, with what must not change while the server's data lives."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wattlake_contracts.errors import UsageError, WattlakeError

_LOCK = "lock"


class ServerFolder:
    """A folder by the server's name (`kafka`); what tells it from any other is the file NAME.json in it."""

    def __init__(self, path: Path, name: str) -> None:
        # absolute, for the processes have working folders of their own
        self.path, self.name = path.absolute(), name

    @property
    def state_file(self) -> Path:
        """The file with what the server was made with."""
        return self.path / f"{self.name}.json"

    def read(self) -> dict[str, Any] | None:
        """What the server was made with; None if there is none. UsageError if something else lies in the folder."""
        try:
            made: dict[str, Any] = json.loads(self.state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.path.is_dir() and any(entry.name != _LOCK for entry in self.path.iterdir()):
                raise UsageError(f"is not empty, and holds no {self.name} of `wattlake dev`", subject=str(self.path),
                                 next_step="give another --dir") from None
            return None
        except ValueError as error:
            raise WattlakeError(f"cannot be read: {error}", subject=str(self.state_file), next_step="delete the folder: all of it can be made again") from error
        return made

    def write(self, state: Mapping[str, Any]) -> None:
        """Write down what the server was made with."""
        write_private(self.state_file, json.dumps(state))

    @contextmanager
    def alone(self) -> Iterator[dict[str, Any] | None]:
        """One start or stop at a time; gives what the server was made with, perhaps by who was here before."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise WattlakeError(f"cannot be written: {error.strerror}", subject=str(self.path), next_step="give another --dir") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def delete(self) -> None:
        """Delete all of it. UsageError if it is none of ours."""
        if self.read() is not None:
            shutil.rmtree(self.path)


def how_to_delete(kafka: Path) -> str:
    """The command that deletes a Kafka's folder, to be told to its user: without its --dir it would be another one's."""
    return f"`wattlake dev kafka stop --delete --dir {shlex.quote(str(kafka))}`"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
