"""The agent within a demo: what it can measure, where it stands, and that it wrote all that it read."""

from __future__ import annotations

from typing import Any

import pytest

from wattlake_agents.demo import accounting
from wattlake_agents.demo.plan import Step, carry_out
from wattlake_agents.demo.settings import NODE, SITE, STORE
from wattlake_agents.demo.stage import Stage, StepError


@pytest.fixture
def on(stage: Stage, machine: Any) -> Stage:
    """The stage on a fake machine."""
    stage.environment |= {"WATTLAKE_AGENT_SYS_ROOT": str(machine.sys), "WATTLAKE_AGENT_PROC_ROOT": str(machine.proc)}
    return stage


def test_the_agent_starts_in_its_place_reads_and_stops(on: Stage, machine: Any, log_book: Any) -> None:
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    steps = [Step(work.__name__, work.__name__, work) for work in (accounting.look, accounting.place, accounting.begin, accounting.finish)]
    carry_out(on, tuple(steps))
    assert not on.estimated
    book = log_book(on.folder.log)
    assert {row["device"] for row in book.rows("readings")} == {"cpu-package-0"}
    assert len({row["ts_ms"] for row in book.rows("readings")}) >= 3
    assert {(row["site"], row["zone"], row["pue"], row["source"], row["estimated"]) for row in book.rows("sites")} == {
        (site, "WORLD", 1.5, "a test", False) for site in (SITE, STORE)}
    assert {(row["node"], row.get("site")) for row in book.rows("nodes") if row["event"] == "inventory" and not row.get("device")} == {(NODE, SITE)}


def test_what_is_only_estimated_is_called_so(on: Stage, machine: Any) -> None:
    machine.cpus()
    assert "estimated from CPU load" in accounting.look(on)
    assert on.estimated


def test_a_machine_that_can_measure_nothing_says_so(on: Stage) -> None:
    with pytest.raises(StepError, match="nothing can be measured on this machine"):
        accounting.look(on)


def test_a_log_that_cannot_be_written_is_named(stage: Stage) -> None:
    stage.folder.log.write_text("a file where a folder should be")
    with pytest.raises(StepError, match="the log cannot be written: Not a directory"):
        accounting.place(stage)
