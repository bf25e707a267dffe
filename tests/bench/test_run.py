"""`python bench/run.py`: it runs, and its results have the shape that others read. How fast things are is no matter of tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_quick_run_writes_one_result_per_figure(tmp_path: Path) -> None:
    pytest.importorskip("codecarbon", reason="the peer of the agent's bench is in the group `bench`")
    out = tmp_path / "results.json"
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "run.py"), "--quick", "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    for result in results:
        assert list(result) == ["name", "value", "unit", "against", "ratio", "goal", "holds"]
        assert result["value"] >= 0
        assert result["ratio"] > 0
        assert result["unit"]
        assert result["against"]
        assert result["holds"] in {True, False, None}
    names = [r["name"] for r in results]
    assert len(set(names)) == len(names)
    assert {"landing, per core", "attribution, per core", "a stored reading", "agent's memory", "wattlake agent --help"} <= set(names)
    assert all(name in done.stdout for name in names)
