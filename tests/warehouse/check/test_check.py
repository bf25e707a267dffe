"""`wattlake check` on a real lake: sound books pass, broken ones fail, and it says which."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lakes import run
from logs import Log
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.lake.committer import Committer
from wattlake_warehouse.check.gate import CHECKED_LAYERS, contract_gate, gates

HOUR = 3_600_000
T0 = 1_760_000_400_000 // HOUR * HOUR


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of two hours of one GPU with a site and a grid."""
    log = Log(tmp_path / "log")
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + m * 60_000, "energy_mj": m * 9_000_000,
                          "method": "counter", "boundary": "component", "simulated": False} for m in range(121)])
    log.put("nodes", [{"node": "n", "site": "s", "valid_from_ms": T0}])
    log.put("sites", [{"site": "s", "zone": "Z", "pue": 1.2}])
    log.put("grid", [{"zone": "Z", "start_ms": T0, "end_ms": T0 + 3 * HOUR, "direct_g_per_kwh": 100.0}])
    run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def _check(lake: Path, *more: str) -> tuple[int, list[dict[str, object]], str]:
    done = subprocess.run([sys.executable, "-c", "from wattlake_agents.command import main; main()", "check", "--lake", str(lake),
                           "--docs", str(lake.parent / "docs"), "--format", "json", *more], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else [], done.stderr


def test_every_column_of_every_fact_and_dimension_is_held_against_its_contract() -> None:
    checked = {g.name for g in gates()}
    assert {t.name for t in TABLES.values() if t.layer in CHECKED_LAYERS} <= checked
    gate = contract_gate(TABLES["fact_energy"])
    required = {c.name for c in TABLES["fact_energy"].columns if c.required}
    assert {r.columns[0] for r in gate.rules if r.form == "not_null"} == required
    assert any(r.form == "unique" for r in gate.rules)


@pytest.mark.slow
def test_sound_books_pass_and_leave_data_docs(lake: Path) -> None:
    code, broken, said = _check(lake)
    assert code == 0, said
    assert [b for b in broken if b["blocking"]] == []
    assert (lake.parent / "docs" / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html").is_file()


@pytest.mark.slow
def test_a_joule_on_no_class_fails_the_gate_and_is_named(lake: Path) -> None:
    with Committer(lake) as committer:
        committer.query("UPDATE lake.fact_energy SET measured_mj = measured_mj + 1 WHERE start_ms = (SELECT min(start_ms) FROM lake.fact_energy)")
    code, broken, _ = _check(lake)
    assert code == 3
    assert [(b["gate"], b["columns"], b["unexpected"]) for b in broken if b["blocking"]] == [("closure", "classes_difference_mj", 1)]


@pytest.mark.slow
def test_a_row_that_counts_twice_fails_the_gate(lake: Path) -> None:
    with Committer(lake) as committer:
        committer.query("INSERT INTO lake.fact_emissions SELECT * FROM lake.fact_emissions WHERE start_ms = (SELECT min(start_ms) FROM lake.fact_emissions)")
    code, broken, _ = _check(lake)
    assert code == 3
    assert {"fact_emissions", "emissions_follow_energy"} <= {b["gate"] for b in broken if b["blocking"]}
