"""Probing this machine: the agent's state folder, its sensors, and the folder that records are written to."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wattlake_agents.doctor.finding import Finding, failed, not_tried, ok
from wattlake_agents.log.standing import spool_backlog
from wattlake_agents.state import state_dir
from wattlake_contracts.amount import amount
from wattlake_contracts.config import Config
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.log_address import SPOOL_DIR

STATE, SENSORS, SIGNING = "state folder", "sensors", "signing key"


def state(config: Config) -> Finding:
    """Whether the agent could keep its state."""
    folder = state_dir(config.agent)
    if problem := _unwritable(folder):
        return failed(STATE, str(folder), problem.what, f"{problem.step}set agent.state_dir (WATTLAKE_AGENT_STATE_DIR) to another")
    return ok(STATE, str(folder), "can be written" if folder.is_dir() else "is not there yet, and can be made")


def sensors(config: Config) -> Iterator[Finding]:
    """What this machine can measure, as `wattlake agent once` finds it."""
    from wattlake_agents.once import look

    try:
        found = look(config.agent)
    except WattlakeError as error:
        yield failed(SENSORS, "agent.readers", error.what, error.next_step)
        return
    for problem in found.problems:
        yield failed(SENSORS, problem.subject, problem.what, problem.next_step)
    by_reader: dict[str, list[str]] = {}
    for row in found.rows:
        by_reader.setdefault(str(row[8]), []).append(str(row[0]))
    for reader, devices in by_reader.items():
        yield ok(SENSORS, reader, ", ".join(devices))
    for reason in found.absent:
        reader, _, why = reason.partition(": ")
        yield not_tried(SENSORS, reader, f"not here: {' '.join(why.split())}")
    if not found.rows and not found.problems:
        yield failed(SENSORS, "this machine", "nothing can be measured", "measure it from outside: wattlake import readings FILE")


def signing(config: Config) -> Iterator[Finding]:
    """Whether records can be signed, where that is wanted."""
    from wattlake_contracts.kafkalog.signing import public_text, signer_of

    try:
        signer = signer_of(config.kafka)
    except WattlakeError as error:
        yield failed(SIGNING, error.subject or config.kafka.signing_key_file, error.what, error.next_step)
        return
    if signer is not None:
        yield ok(SIGNING, config.kafka.signing_key_file, f"its public key is {public_text(signer.public)}")


def writing(config: Config, root: Path, *, spool: bool) -> Finding:
    """Whether records can be written down here, and in a spool what waits. spool: the log is on Kafka."""
    probe = "spool" if spool else "log"
    if problem := _unwritable(root):
        return failed(probe, str(root), problem.what, problem.step + (f"set {SPOOL_DIR} to another" if spool else "give another --log"))
    above = _nearest(root)
    free_mib = shutil.disk_usage(above).free // 2**20
    waiting, size = spool_backlog(root)
    limit_mib = config.agent.spool_max_mib
    parts = [f"{size / 2**20:.1f} MiB of at most {limit_mib}" if spool else "can be written" if root.is_dir() else "is not there yet, and can be made"]
    if spool:
        parts.append(f"{amount(waiting, 'record', 'are')} not on Kafka yet")
    parts.append(f"{free_mib} MiB free on the disk")
    room_mib = limit_mib - size // 2**20
    step = f"there is no room for all {limit_mib} MiB: free some, or set agent.spool_max_mib lower" if free_mib < room_mib else ""
    if free_mib < 1:
        return failed(probe, str(root), ", ".join(parts), "free some of the disk: nothing can be written down")
    return ok(probe, str(root), ", ".join(parts), step)


class _Problem(NamedTuple):
    """what: why nothing can be written in a folder. step: what may be done about it there, with the `or` before another folder."""

    what: str
    step: str


def _unwritable(folder: Path) -> _Problem | None:
    """Why nothing can be written in a folder, which need not exist yet; None if it can. What is made to find out is deleted at once."""
    above = _nearest(folder)
    if not above.is_dir():
        return _Problem(f"{above} is a file where a folder must be", "move it away, or ")
    trial = above / f".doctor-{os.getpid()}"
    try:
        if above != folder.absolute():
            # what may be written in may yet have no folders made in it, as /proc
            trial.mkdir()
            trial.rmdir()
            return None
        try:
            with trial.open("xb") as file:
                file.write(b"\0" * 4096)
                file.flush()
                os.fsync(file.fileno())
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        what = f"cannot be made in {above}" if above != folder.absolute() else "cannot be written"
        step = ("free some of the disk, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mount it for writing, or " if error.errno == errno.EROFS
                else "run as its owner, or " if isinstance(error, PermissionError) else "")
        return _Problem(f"{what}: {error.strerror}", step)
    return None


def _nearest(folder: Path) -> Path:
    """The folder itself, or what is there of the way to it."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
