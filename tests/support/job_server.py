"""A real Flink for tests: one that the whole run shares. A plugin of pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker import READY_S, Shared, of_the_run
from wattlake_pipelines.dev.flink import Flink


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    """A Flink, running, shared by all tests of the run; `flink.options` are Beam's options that have a pipeline run on it."""
    folder = of_the_run(tmp_path_factory) / "shared-flink"
    shared, made = Shared(folder), Flink(folder / "flink")
    shared.enter(lambda: made.start(READY_S))
    yield made
    shared.leave(made.stop)
