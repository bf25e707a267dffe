"""Real Kafka for tests: one that the whole run shares, and others that a test may kill.

A plugin of pytest: tests ask for `kafka` (shared, so use `topic_prefix` and do it no harm) or for `own_kafka` (a function that
starts one).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from wattlake_pipelines.dev.kafka import Kafka

#: A machine that runs other tests too takes long to start a broker, or to start it again after it was killed.
READY_S = 120.0


class Shared:
    """Something that the workers of a run start once and use together; who leaves last stops it.

    Each user holds a shared lock on a file, which the kernel gives back if it dies: nobody waits for a worker that was killed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # exclusive while one comes or goes
        self._door = os.open(folder / "door", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def enter(self, start: Callable[[], None]) -> None:
        """Use it, after starting it if it is not there."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            start()
            fcntl.flock(self._users, fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)

    def leave(self, stop: Callable[[], object]) -> None:
        """Use it no longer; stop it if nobody does."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # others go on with it
        else:
            stop()
        finally:
            os.close(self._users)
            os.close(self._door)


def of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the workers of a run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka of one broker, running, shared by all tests of the run."""
    folder = of_the_run(tmp_path_factory) / "shared-kafka"
    shared, made = Shared(folder), Kafka(folder / "kafka")
    shared.enter(lambda: made.start(READY_S))
    yield made
    shared.leave(made.stop)


@pytest.fixture
def topic_prefix() -> str:
    """What no other test's topics begin with."""
    return f"t{uuid4().hex[:12]}."


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Callable[..., Kafka]]:
    """Starts a Kafka of the test's own, as wattlake_pipelines.dev.kafka.Kafka takes its options; none is left at the test's end."""
    with ExitStack() as made:
        def start(**options: Any) -> Kafka:
            one = Kafka(tmp_path / f"kafka-{uuid4().hex[:6]}", **options)
            made.callback(lambda: [broker.kill() for broker in one.brokers])
            one.start(READY_S)
            return one

        yield start
