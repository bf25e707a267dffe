"""Under which node and in which log a job or a transfer is recorded: those of the agent that runs here, unless told otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from wattlake_agents import process
from wattlake_agents.health import Heartbeat, asked_ms, load, running
from wattlake_agents.state import node_name, state_dir
from wattlake_contracts.config import Config
from wattlake_contracts.kafkalog.claim import shipped
from wattlake_contracts.log_address import FileLog, KafkaLog, log_address, record_limit, spool_root

_AS_AGENT = "[default: as configured, else as the agent that runs here has it"
NodeOption = Annotated[str | None, typer.Option("--node", help=f"Name of this node {_AS_AGENT}, else the host name].", metavar="NAME")]
WriterOption = Annotated[str | None, typer.Option("--writer", help=f"Name of this node {_AS_AGENT}, else the host name].", metavar="NAME")]


class Place(NamedTuple):
    """node: the node's name. root: the folder to write to, a file log or a spool.

    The doubts: what to say where they are not the agent's, or nothing ships the spool.
    """

    node: str
    root: Path
    node_doubt: str | None
    log_doubt: str | None

    @property
    def doubts(self) -> list[str]:
        """What there is to say, a line each."""
        return [doubt for doubt in (self.node_doubt, self.log_doubt) if doubt]


def place(settings: Config, node: str | None, log: str | None) -> Place:
    """Where to record: what an option says, else the configuration, else the running agent's heartbeat, else the defaults.

    UsageError for a name or an address that is none.
    """
    agent = _agent(settings)
    name, of_node = _node(settings, node, agent)
    root, of_log = _folder(settings, log, agent)
    return Place(name, root, of_node, of_log)


def folder(settings: Config, log: str | None) -> tuple[Path, str | None]:
    """The folder to write to, and what to say where it is not the agent's, or nothing ships it."""
    return _folder(settings, log, _agent(settings))


def limit_bytes(settings: Config, log: str | None) -> int:
    """The largest record that goes on from that folder."""
    agent = _agent(settings)
    shipping = agent.shipping if agent is not None and not log and not settings.log else None
    return record_limit(log_address(settings, shipping.log if shipping is not None else log), settings.kafka)


def _agent(settings: Config) -> Heartbeat | None:
    """The agent that runs here; None if there is none, or it cannot be told."""
    beat = load(state_dir(settings.agent))
    return beat if beat is not None and running(beat, asked_ms(beat)) else None


def _node(settings: Config, option: str | None, agent: Heartbeat | None) -> tuple[str, str | None]:
    if agent is None:
        return node_name(settings.agent, option), None
    if not option and not settings.agent.node:
        return agent.node, None
    name = node_name(settings.agent, option)
    if name == agent.node:
        return name, None
    leave, told = ("--node", "--node") if option else ("agent.node", "the configured agent.node")
    return name, (f"{told} is {name}, but the agent that runs here has the node {agent.node}: none of what it reads is accounted to {name}; "
                  f"leave {leave} out, or start the agent with --node {name}")


def _folder(settings: Config, option: str | None, agent: Heartbeat | None) -> tuple[Path, str | None]:
    if agent is None:
        root = spool_root(settings, option)
        return root, _unshipped(log_address(settings, option), root)
    if not option and not settings.log:
        return Path(agent.log) if _lies_here(agent) else spool_root(settings), None
    root = spool_root(settings, option)
    address = log_address(settings, option)
    if _same(address, root, agent):
        return root, None
    unshipped = _unshipped(address, root)
    leave, told = ("--log", "--log") if option else ("log", "the configured log")
    return root, (f"{told} is {option or settings.log}, but the agent that runs here writes to {_address(agent)}: what is recorded meets its readings "
                  f"only if one lake takes from both; leave {leave} out, or start the agent with --log {option or settings.log}"
                  f"{'; ' if unshipped else ''}{unshipped or ''}")


def _unshipped(address: FileLog | KafkaLog, root: Path) -> str | None:
    """What to say of a spool from which nothing ships; None where something does, that cannot be told, or the log is a folder."""
    if not isinstance(address, KafkaLog) or shipped(root) is not False:
        return None
    return (f"no agent ships from the spool {root} to {address}: what is recorded lies there until one does; "
            f"start one on this machine with `wattlake agent run --log {address}`")


def _address(agent: Heartbeat) -> str:
    return agent.shipping.log if agent.shipping is not None else f"file:{agent.log}"


def _same(told: FileLog | KafkaLog, root: Path, agent: Heartbeat) -> bool:
    """Whether what is written to the folder comes to where the agent's readings go."""
    if isinstance(told, KafkaLog):
        ships_to = agent.shipping.log.removeprefix("kafka:").split(",") if agent.shipping is not None else []
        return bool(set(told.servers) & set(ships_to)) and _is(root, agent)
    return _is(root, agent)


def _is(root: Path, agent: Heartbeat) -> bool:
    """Whether a folder is the agent's, as far as that can be told: in another container it has another path."""
    return os.path.realpath(root) == os.path.realpath(agent.log) or not _here(agent)


def _here(agent: Heartbeat) -> bool:
    return not agent.pid_namespace or agent.pid_namespace == process.pid_namespace()


def _lies_here(agent: Heartbeat) -> bool:
    """Whether the agent's log has the same path here; another container's has it only if it is mounted so."""
    if _here(agent):
        return True
    try:
        return (Path(agent.log) / f"agent.{agent.node}").is_dir()
    except OSError:
        return False
