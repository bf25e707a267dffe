"""A job as a context manager, for use from Python."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType
from typing import Any

from wattlake_agents.contract_options import stored
from wattlake_agents.jobs import row
from wattlake_agents.jobs.identity import job_id
from wattlake_agents.jobs.listener import Listener
from wattlake_agents.jobs.place import limit_bytes, place
from wattlake_agents.jobs.pseudonym import user_name
from wattlake_agents.jobs.teller import Teller
from wattlake_contracts.config import load
from wattlake_contracts.errors import UsageError, WattlakeError
from wattlake_contracts.kinds import JOBS

_OWN = ("job", "node", "start_ms", "end_ms", "device", "status")
_INPUTS = {name: column for name, (column, _) in JOBS.inputs.items() if column.name not in _OWN}


class job:  # noqa: N801  # read as a verb: with wattlake_agents.job(...)
    """Account the energy used within a `with` block to a job.

    The columns of kind jobs are its keywords, as in an import file (model, phase, team, share,
    tokens, …). job: the id, the same on every node; device: a device or several, e.g. "gpu0"
    (default: the whole node); node and log: as configured, else as the agent that runs here has them,
    and a warning where it has others. The status is ok, failed if the block raises, cancelled if it is
    interrupted. UsageError for a column that there is not; a log that cannot be written and a device
    that the agent of this node does not read are warnings, never errors.

        with wattlake_agents.job(model="bert", phase="train", team="nlp") as run:
            ...
            run.update(tokens=seen)
    """

    def __init__(self, *, job: str | None = None, device: str | list[str] | None = None, node: str | None = None,
                 config: str | None = None, log: str | None = None, **columns: Any) -> None:
        settings = load(config)
        told = place(settings, node, log)
        fields = _checked(columns)
        try:
            fields["user"] = user_name(settings.agent, columns.get("user"))
        except WattlakeError as error:
            fields.pop("user", None)
            _warn(f"the job is recorded without its user: {error}")
        self.id = job_id(None if job is None else str(job))
        devices = [device] if isinstance(device, str) else list(device or [])
        rows = row.opened(self.id, told.node, row.now_ms(), devices, fields)
        for doubt in filter(None, (*told.doubts, Listener(settings.agent, told.node).unread(devices))):
            _warn(doubt)
        self._teller = Teller(settings.agent, told.root, told.node, rows, _warn, limit_bytes(settings, log))
        self._late: dict[str, object] = {}
        self._over = threading.Event()
        self._renewing: threading.Thread | None = None

    def update(self, **columns: Any) -> None:
        """Say what is known only now; it is written when the block ends."""
        self._late.update(_checked(columns))

    def __enter__(self) -> job:
        at = row.now_ms()
        self._teller.rows = [{**r, "start_ms": at, "event_ms": at} for r in self._teller.rows]
        self._teller.start()
        self._renewing = threading.Thread(target=self._renew, name="wattlake-job", daemon=True)
        self._renewing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
        if kind is None:
            status = "ok"
        elif issubclass(kind, SystemExit):
            code = error.code if isinstance(error, SystemExit) else 1
            status = row.status_of(code if isinstance(code, int) else 0 if code is None else 1)
        else:
            status = "cancelled" if issubclass(kind, KeyboardInterrupt) else "failed"
        self._teller.end(status, self._late)

    def _renew(self) -> None:
        while not self._over.wait(row.RENEW_S):
            self._teller.renew()


def _checked(columns: dict[str, Any]) -> dict[str, object]:
    checked: dict[str, object] = {}
    for name, value in columns.items():
        column = _INPUTS.get(name)
        if column is None:
            raise UsageError(f"{name!r} is no column of a job", next_step=f"use {', '.join(_INPUTS)}")
        checked[column.name] = stored(column, value, name)
    if (reason := row.fault(checked)) is not None:
        raise UsageError(reason)
    return checked


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=3)
