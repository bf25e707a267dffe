"""What the faults' tests hold against a lake: that a record which no spool knows of any more is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from at_work import Agent
from oracles import Identity, check_whole, holes


def life(boot: str, *numbers: int) -> set[Identity]:
    return {("n1", boot, number) for number in numbers}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """One that was never started."""
    return Agent(tmp_path, "n1", "kafka:127.0.0.1:1", {})


def said(records: int, **changed: Any) -> dict[str, Any]:
    return {"records": records, "lost_records": 0, "lost_rows": 0, "stopped_ms": 0, **changed}


def test_a_life_lacks_what_is_missing_before_its_last_record() -> None:
    assert holes(life("a", 0, 1, 2) | life("b", 0)) == set()
    assert holes(life("a", 0, 3) | life("b", 1)) == life("a", 1, 2) | life("b", 0)


def test_a_life_that_was_killed_may_have_written_more_than_it_said_and_one_that_was_stopped_has_not(agent: Agent) -> None:
    agent.lives = {"a": said(2), "b": said(2, stopped_ms=1)}
    check_whole(life("a", 0, 1, 2) | life("b", 0, 1), [agent])
    for landed in (life("a", 0) | life("b", 0, 1), life("a", 0, 1) | life("b", 0), life("a", 0, 1) | life("b", 0, 1, 2), life("b", 0, 1)):
        with pytest.raises(AssertionError, match="have landed"):
            check_whole(landed, [agent])


def test_a_hole_and_what_an_agent_gave_up_are_losses(agent: Agent) -> None:
    agent.lives = {"a": said(2)}
    with pytest.raises(AssertionError, match="missing between others"):
        check_whole(life("a", 0, 1, 3), [agent])
    for told in ("lost_records", "lost_rows"):
        agent.lives = {"a": said(2, **{told: 1})}
        with pytest.raises(AssertionError, match="has lost something"):
            check_whole(life("a", 0, 1), [agent])
