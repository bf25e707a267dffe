"""Telling of one job: to the log, and where that cannot be written, to the agent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wattlake_agents.jobs import row
from wattlake_agents.jobs.announcer import Announcer, TooMuchTextError
from wattlake_agents.jobs.listener import Listener
from wattlake_agents.jobs.registration import Registration, path_of, write
from wattlake_agents.state import boot_id, state_dir
from wattlake_contracts.config import AgentConfig
from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES


class Teller:
    """Writes start, renewals and end of a job, and never raises: a job must not fail for its bookkeeping.

    rows: the job's open rows. warn: takes a line for the user when its words get lost, or may be.
    limit_bytes: the largest record that the log takes. Where the log cannot be written, the job is registered with the agent, which then speaks for it;
    what the log does not take is only told, for it takes it from no agent either.
    """

    def __init__(self, config: AgentConfig, log: Path, node: str, rows: list[dict[str, object]], warn: Callable[[str], None],
                 limit_bytes: int = MAX_RECORD_BYTES) -> None:
        self.rows = rows
        self._config, self._log, self._node = config, log, node
        self._announcer = Announcer(log, node, limit_bytes=limit_bytes)
        self._handover = path_of(state_dir(config), str(rows[0]["job"]), f".{os.getpid()}")
        self._boot_id = boot_id(Path(config.proc_root))
        self._warn = warn
        self._handed_over = self._refused = False

    def start(self) -> None:
        """Say that it began."""
        self._tell(self.rows, ended=False)

    def renew(self) -> None:
        """Say that it goes on; the agent does it for a job handed over to it."""
        if not self._handed_over:
            self._tell(row.renewed(self.rows), ended=False)

    def end(self, status: str, fields: dict[str, object] | None = None) -> None:
        """Say that it ended, how, and what is known only now."""
        self._tell(row.ended(self.rows, status, fields), ended=True)

    def _tell(self, rows: list[dict[str, object]], *, ended: bool) -> None:
        if not self._handed_over:
            try:
                self._announcer.write("jobs", rows)
            except TooMuchTextError as error:
                if not self._refused:
                    self._warn(f"{'the job has ended, and that' if ended else 'the job runs, but'} is not recorded: {error}")
                self._refused = True
                return
            except WattlakeError as error:
                reason = error
            else:
                return
        try:
            write(self._handover, Registration(rows, self._boot_id, pid=0 if ended else os.getpid(), ended=ended))
        except WattlakeError as second:
            if self._handed_over:
                self._warn(f"the job's end is not recorded: {second}")
            else:
                self._warn(f"the job runs, but is not recorded: {reason}")
        else:
            if not self._handed_over and (doubt := Listener(self._config, self._node).unheard(self._log)) is not None:
                self._warn(f"{reason.subject}: {reason.what}; {doubt}")
            self._handed_over = True
