"""Whether an agent on this machine hears of a job and reads its devices, so that its user is told in time."""

from __future__ import annotations

import os
from pathlib import Path

from wattlake_agents.health import Heartbeat, asked_ms, load, running
from wattlake_agents.state import HEARTBEAT, state_dir
from wattlake_contracts.config import AgentConfig


class Listener:
    """The agent of this machine, as its sign of life has it.

    config: where its state folder is. node: the node that the job runs on.
    """

    def __init__(self, config: AgentConfig, node: str) -> None:
        folder = state_dir(config)
        beat = load(folder)
        self._folder, self._node = folder, node
        #: its sign of life, None if no agent runs or it cannot be told
        self.agent: Heartbeat | None = beat if beat is not None and running(beat, asked_ms(beat)) else None
        #: whether that there is none is certain
        self.absent = self.agent is None and not (beat is None and (folder / HEARTBEAT).exists())

    def unread(self, devices: list[str]) -> str | None:
        """What to say of devices that the agent does not read, and which it reads; None if there is nothing to say."""
        if not devices:
            return None
        if self.absent:
            return (f"{self._nobody}, so nothing tells whether there is {', '.join(devices)}: "
                    "the job has energy only if readings of it come in otherwise")
        if self.agent is None or self.agent.node != self._node:
            return None  # what another node has is not known here
        here = [device for reader in self.agent.readers for device in reader.devices]
        lacking = [device for device in devices if device not in here]
        if not lacking:
            return None
        return (f"the agent of {self._node} reads no {', '.join(lacking)}; it reads {', '.join(here) or 'nothing'}: "
                "the job has energy only if readings of it come in otherwise")

    def unheard(self, log: Path) -> str | None:
        """Why word left for the agent may not come into that log; None if it will."""
        if self.absent:
            return f"{self._nobody}: the job is recorded only if one starts before the machine restarts"
        if self.agent is None:
            return None
        if self.agent.node != self._node:
            return f"the agent here is of node {self.agent.node} and records no job of {self._node}"
        if self.agent.write_error:
            return f"the agent cannot write either ({self.agent.write_error}): the job is recorded only once it can"
        if os.path.realpath(self.agent.log) != os.path.realpath(log):
            return f"the agent records the job in its own log, {self.agent.log}"
        return None

    def unkept(self) -> str | None:
        """Why a job that was only started does not stay open; None if an agent keeps it so."""
        return f"{self._nobody}: the job ends three minutes after its start, unless one starts by then" if self.absent else None

    @property
    def _nobody(self) -> str:
        return f"no agent runs with the state folder {self._folder}"
