"""How a day's work is cut up."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakes import dump, rows, run
from wattlake_pipelines.account import account, day_elements
from wattlake_pipelines.account.dirty import Dirty
from wattlake_pipelines.account.element import DayElement
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.write import simulate


@pytest.mark.parametrize("stretches", [1, 3, 24])
def test_hours_are_held_in_memory_together_up_to_a_number_of_readings_and_the_facts_are_the_same(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stretches: int) -> None:
    simulate(tmp_path / "log", Options(nodes=2, gpus=2, days=1.0, interval_ms=60_000, seed=5))
    run(tmp_path / "whole", tmp_path / "log")
    [(readings,)] = rows(tmp_path / "whole", "SELECT count(*) FROM lake.raw_readings")
    assert isinstance(readings, int)
    made: list[DayElement] = []

    def kept(committer: Committer, staging: Path, dirty: Dirty) -> list[DayElement]:
        made.extend(found := day_elements.day_elements(committer, staging, dirty))
        return found

    monkeypatch.setattr(account, "day_elements", kept)
    monkeypatch.setattr(day_elements, "ROWS_AT_ONCE", -(-readings // stretches))
    run(tmp_path / "cut", tmp_path / "log")
    assert dump(tmp_path / "cut") == dump(tmp_path / "whole")
    assert [len(element.stretches) for element in made] == [stretches]
