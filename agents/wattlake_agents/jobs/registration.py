"""Jobs registered with the agent: one file each in its state folder, which any user may write."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from urllib.parse import quote

import msgspec

from wattlake_agents.state import JOBS, replace
from wattlake_contracts.errors import UsageError, WattlakeError

#: More than that is no registration.
MOST_BYTES = 65_536
#: The agent is another user, and must be able to read it.
_MODE = 0o644


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """A job on this node. rows: its rows of kind jobs, one per device that it holds.

    boot_id: the boot of the machine in which it was made; in another one it is void. pid: the
    process it ends with, 0 if none. ended: the rows are the last word, to be passed on and forgotten.
    """

    rows: list[dict[str, object]]
    boot_id: str = ""
    pid: int = 0
    ended: bool = False


def path_of(state: Path, job: str, suffix: str = "") -> Path:
    """The file of a job; UsageError if its id is too long to be a file's name."""
    name = quote(job, safe="@=+,:")
    if not job or len(name) > 200:
        raise UsageError("a job id has 1 to 200 letters", subject=job[:50], next_step="give the job a shorter id")
    # a name that begins with a dot is a file being written
    return state / JOBS / f"{name.replace('.', '%2E', 1) if name.startswith('.') else name}{suffix}.json"


def write(path: Path, registration: Registration, *, fresh: bool = False) -> None:
    """Put the file in place. UsageError if it should be fresh and is not, WattlakeError if the folder cannot be written, or no agent would read so much."""
    raw = msgspec.json.encode(registration)
    if len(raw) > MOST_BYTES:
        raise WattlakeError(f"takes {len(raw)} bytes, and the agent reads no job of more than {MOST_BYTES}", subject=path.stem,
                            next_step="shorten its texts, name fewer devices, or use `wattlake job run`")
    try:
        if not fresh:
            replace(path, raw, _MODE)
            return
        part = path.with_name(f".{secrets.token_hex(8)}")
        try:
            part.write_bytes(raw)
            part.chmod(_MODE)
            os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UsageError("is already registered", subject=path.stem, next_step="stop it first, or give another --job") from error
    except OSError as error:
        raise WattlakeError(f"cannot register the job with the agent: {error.strerror}", subject=str(path.parent),
                            next_step="start the agent first (it makes the folder), or set agent.state_dir as it has it") from error


def load(path: Path) -> Registration | None:
    """The registration in a file, or None if it is none. Any user may have put anything there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MOST_BYTES:
            return None
        return msgspec.json.decode(os.read(descriptor, MOST_BYTES), type=Registration)
    except (OSError, msgspec.MsgspecError):
        return None
    finally:
        os.close(descriptor)
