"""The agent's small files: where they lie, written whole or not at all."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from wattlake_contracts.config import AgentConfig
from wattlake_contracts.errors import UsageError, WattlakeError

HEARTBEAT = "agent.json"
EPOCHS = "epochs.json"
INVENTORY = "inventory.json"
JOBS = "jobs"
LOCK = "agent.lock"
#: As part of a partition's name.
_NODE = re.compile(r"[A-Za-z0-9_.@=-]{1,180}")


def state_dir(config: AgentConfig) -> Path:
    """The folder where the agent and the job commands meet; it need not exist yet."""
    if config.state_dir:
        return Path(config.state_dir)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "wattlake" if runtime else Path("/run/wattlake")


def make_state_dir(folder: Path) -> None:
    """Make it, with a jobs folder where every user may register a job of theirs, and list nobody else's.

    WattlakeError if it cannot be written.
    """
    jobs = folder / JOBS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not jobs.is_dir():
            jobs.mkdir()
            jobs.chmod(0o1733)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as error:
        raise unusable(error, folder) from error


def unusable(error: OSError, folder: Path) -> WattlakeError:
    """Why the state folder cannot be written, as its user is told."""
    return WattlakeError(f"cannot keep the agent's state: {error.strerror}", subject=str(folder),
                         next_step="run as its owner, or set agent.state_dir (WATTLAKE_AGENT_STATE_DIR) to another")


def node_name(config: AgentConfig, given: str | None = None) -> str:
    """The node's name: as given, else configured, else the host name. UsageError if one that was told cannot name a part of the log."""
    told = given or config.node
    if told and not _NODE.fullmatch(told):
        raise UsageError(f"{told!r} cannot name a node", next_step="use letters, digits and . _ - @ =, at most 180, in "
                         + ("its name" if given else "agent.node (WATTLAKE_AGENT_NODE)"))
    return told or socket.gethostname()


def boot_id(proc_root: Path) -> str:
    """What names this boot of the machine; empty where the kernel does not say."""
    return (read(proc_root / "sys/kernel/random/boot_id") or b"").decode(errors="replace").strip()


def read(path: Path) -> bytes | None:
    """A file's bytes, or None if it is not there or not readable."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def replace(path: Path, raw: bytes, mode: int | None = None) -> None:
    """Put a file in the place of the old one in one step. OSError is passed on.

    mode: its permissions whatever the umask; None: by the umask.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(raw)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
