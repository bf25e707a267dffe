"""A disk below the agent's spool that accepts nothing for a while: an agent says so, keeps what it reads, and goes on once the disk is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from at_work import until
from topics import Topics
from wattlake_pipelines.dev.kafka import Kafka

#: What fails at once: flushing a record; flushing it and cutting off what it left; telling readers of it, and keeping what has been shipped.
_FAULTS = ("fdatasync .wlog", "fdatasync .wlog\nftruncate .wlog\n", "pwrite durable\nrename shipped\n")


@pytest.mark.slow
def test_a_spool_whose_flushes_fail_loses_and_doubles_nothing(kafka: Kafka, topic_prefix: str, world: Callable[..., Any], failing_calls: Path,
                                                             tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    here = world(Topics(kafka.address, topic_prefix))
    agent = here.agent(environment={"LD_PRELOAD": str(failing_calls), "FAILING_CALLS": str(armed)})
    here.follow()
    for fault in _FAULTS:
        armed.write_text(fault)
        until(lambda: agent.beat()["pending_records"] >= 2, "records wait in memory")
        written = agent.beat()["records"]
        assert "Input/output error" in agent.beat()["write_error"]
        until(lambda: agent.beat()["pending_records"] >= 4, "more wait")
        assert "the last write failed" in agent.status()[1]
        assert agent.beat()["records"] == written, "none is told as accepted"
        if "ftruncate" in fault:
            # what waited in its memory was never accepted; nothing else may go with it
            agent.kill()
            agent.start()
        armed.write_text("")
        until(lambda: agent.beat()["pid"] == agent.process.pid and agent.beat()["records"] and not agent.beat()["write_error"], "it writes again")
    here.alive()
    until(lambda: agent.status()[0]["state"] == "healthy", "it is healthy again")
    assert agent.status()[0]["rows_lost"] == 0
    here.settle()
