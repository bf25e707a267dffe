"""What the faults happen to: agents, a follower and its lake on a log of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from at_work import Agent, Follower, until
from oracles import check_alive, check_conserved
from topics import Topics


class World:
    """Processes on topics. environment: by which they come in."""

    def __init__(self, folder: Path, topics: Topics, environment: dict[str, str] | None = None) -> None:
        self.folder, self.topics, self.lake = folder, topics, folder / "lake"
        self.environment = {"WATTLAKE_KAFKA_PREFIX": topics.prefix, **(environment or {})}
        self.agents: list[Agent] = []
        self.follower = Follower(self.lake, topics.log.address, self.environment)

    def agent(self, node: str = "n1", log: str | None = None, **options: Any) -> Agent:
        """A new agent, started."""
        environment = {**self.environment, **options.pop("environment", {})}
        one = Agent(self.folder, node, log or self.topics.log.address, environment, **options)
        self.agents.append(one)
        one.start()
        return one

    def follow(self) -> None:
        """Start the follower, and wait until something has landed."""
        self.follower.start()
        until(lambda: not self.follower.runs() or " rounds, " in self.follower.said.read_text(), "something lands", 120)
        assert self.follower.runs(), self.follower.said.read_text()

    def alive(self, within_s: float = 30) -> float:
        """Liveness, of every agent."""
        return max(check_alive(self.lake, agent.node, within_s) for agent in self.agents)

    def settle(self) -> None:
        """Stop all in good order and check conservation."""
        for agent in self.agents:
            assert agent.stop() == 0, agent.said.read_text()[-3000:]
        assert self.follower.stop() == 0, self.follower.said.read_text()[-3000:]
        check_conserved(self.lake, self.topics, [agent.spool for agent in self.agents], self.folder)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a World; nothing of it is left at the test's end."""
    with ExitStack() as made:
        def make(topics: Topics, environment: dict[str, str] | None = None) -> World:
            one = World(tmp_path, topics, environment)
            made.callback(lambda: [process.end() for process in (*one.agents, one.follower)])
            return one

        yield make
