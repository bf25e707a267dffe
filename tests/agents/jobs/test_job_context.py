"""`with wattlake_agents.job(...)`, and what a job is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattlake_agents
from wattlake_contracts.errors import UsageError


@pytest.fixture(autouse=True)
def environment(machine: Any, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.environment(state, WATTLAKE_LOG=f"file:{tmp_path / 'log'}").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_a_block_is_a_job_and_says_at_its_end_what_it_learnt(tmp_path: Path, log_book: Any) -> None:
    doubt = pytest.warns(RuntimeWarning, match="no agent runs")
    with doubt, wattlake_agents.job(job="j1", model="bert", phase="train", share=0.25, device="gpu0", user="ann") as run:
        run.update(tokens=300, quality_metric="loss", quality_value=-1.5)
    first, last = log_book(tmp_path / "log").rows("jobs")
    assert (first["job"], first["device"], first["share_ppm"], first["model"]) == ("j1", "gpu0", 250_000, "bert")
    assert (last["status"], last["tokens"], last["quality_value"], last["user"]) == ("ok", 300, -1.5, "ann")


@pytest.mark.parametrize(("error", "status"), [(ValueError(), "failed"), (KeyboardInterrupt(), "cancelled"), (SystemExit(0), "ok"),
                                               (SystemExit(2), "failed"), (SystemExit("no"), "failed")])
def test_the_status_follows_from_what_ends_the_block(tmp_path: Path, log_book: Any, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), wattlake_agents.job(model="m"):
        raise error
    assert log_book(tmp_path / "log").rows("jobs")[-1]["status"] == status


@pytest.mark.parametrize(("columns", "says"), [
    ({"modle": "x"}, "'modle' is no column of a job"), ({"phase": "x"}, "^phase: 'x' is not one of"), ({"share": 2}, "^share: 2 is out of range"),
    ({"share": float("nan")}, "^share: 'nan' is no number"), ({"tokens": 1.5}, "^tokens: 1.5 is no whole number"),
    ({"team": "(none)"}, r"^team: '\(none\)' may not begin with \("), ({"job": "(idle)"}, r"^--job: '\(idle\)' may not begin with \("),
    ({"tokens": True}, "^tokens: 'True' is no number"), ({"base_model": 5}, "^base_model must be of type string"),
])
def test_a_wrong_column_is_named(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        wattlake_agents.job(**columns)


def test_numbers_of_any_library_are_taken(tmp_path: Path, log_book: Any) -> None:
    with wattlake_agents.job(job=4711, tokens=np.int64(5), examples=1e9, flop=np.float32(2.0), share=np.float64(0.5)):  # type: ignore[arg-type]
        pass
    last = log_book(tmp_path / "log").rows("jobs")[-1]
    assert (last["job"], last["tokens"], last["examples"], last["flop"], last["share_ppm"]) == ("4711", 5, 10**9, 2.0, 500_000)


def test_a_log_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    ran = False
    with pytest.warns(RuntimeWarning, match="not recorded"), wattlake_agents.job(model="m"):
        ran = True
    assert ran
