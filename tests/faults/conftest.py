"""What the faults happen to: agents, a follower and its lake on a log of the test's own. Lets them import tests/oracle too, as the package `oracle`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from at_work import Agent, Follower, NotLiveError, until
from oracles import check_alive, check_conserved, check_whole, seen
from topics import Topics

TESTS = str(Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.append(TESTS)


class World:
    """Processes on topics. environment: by which they come in. followers: of a lake each, the first one's is `lake`."""

    def __init__(self, folder: Path, topics: Topics, environment: dict[str, str] | None = None) -> None:
        self.folder, self.topics, self.lake = folder, topics, folder / "lake"
        self.environment = {"WATTLAKE_KAFKA_PREFIX": topics.prefix, **(environment or {})}
        self.agents: list[Agent] = []
        self.follower = Follower(self.lake, topics.log.address, self.environment)
        self.followers = [self.follower]

    def agent(self, node: str = "n1", log: str | None = None, **options: Any) -> Agent:
        """A new agent, started."""
        environment = {**self.environment, **options.pop("environment", {})}
        one = Agent(self.folder, node, log or self.topics.log.address, environment, **options)
        self.agents.append(one)
        one.start()
        return one

    def beside(self, name: str, log: str, environment: dict[str, str]) -> Follower:
        """One more follower, with a lake of its own."""
        one = Follower(self.folder / name / "lake", log, {**self.environment, **environment})
        self.followers.append(one)
        return one

    def follow(self) -> None:
        """Start the followers, and wait until something has landed."""
        for follower in self.followers:
            follower.start()
        for follower in self.followers:
            until(lambda: not follower.runs() or " rejected" in follower.says(), "something lands", 120)  # noqa: B023
            assert follower.runs(), follower.said.read_text()

    def alive(self) -> float:
        """Liveness, of every agent in every lake."""
        try:
            return check_alive([follower.lake for follower in self.followers], [agent.node for agent in self.agents])
        except NotLiveError as error:
            for process in (*self.agents, *self.followers):
                error.add_note(f"{process.said}:\n{process.said.read_text()[-2000:]}")
            raise

    def stop(self) -> None:
        """Stop all in good order."""
        for process in (*self.agents, *self.followers):
            assert process.stop() == 0, process.said.read_text()[-3000:]

    def settle(self, *logs: Path, loses: bool = False) -> None:
        """Stop all in good order and check conservation. logs: file logs that were shipped too, each life of whose writers is numbered from 0.

        loses: agents give something up by intent, so that what they wrote need not all have landed.
        """
        self.stop()
        check_conserved(self.lake, self.topics, [*(agent.spool for agent in self.agents), *logs], self.folder,
                        others=[follower.lake for follower in self.followers[1:]])
        if not loses:
            check_whole(seen(self.lake), self.agents)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a World; nothing of it is left at the test's end."""
    with ExitStack() as made:
        def make(topics: Topics, environment: dict[str, str] | None = None) -> World:
            one = World(tmp_path, topics, environment)
            made.callback(lambda: [process.end() for process in (*one.agents, *one.followers)])
            return one

        yield make
