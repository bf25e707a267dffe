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
from wattlake_warehouse.check.cli import line
from wattlake_warehouse.check.expectations import Outcome
from wattlake_warehouse.check.gate import CHECKED_LAYERS, contract_gate, gates, key_gate
from wattlake_warehouse.lake import open_lake

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
    assert {f"{t.name}_key" for t in TABLES.values() if t.layer in CHECKED_LAYERS} <= checked


@pytest.mark.parametrize("place", ["a file", "a file/in it", "/proc/wattlake", "/proc/self"])
def test_docs_that_cannot_be_written_are_told_of_at_once(lake: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    code, found, said = _check(lake, "--docs", str(tmp_path / place))
    assert (code, found) == (1, [])
    assert f"{tmp_path / place}: the Data Docs cannot be written there: " in said
    assert said.splitlines()[-1].strip() == "next: give a folder of your own with --docs"


@pytest.mark.slow
def test_sound_books_pass_and_leave_data_docs(lake: Path) -> None:
    code, broken, said = _check(lake)
    assert code == 0, said
    assert [b for b in broken if b["blocking"]] == []
    assert (lake.parent / "docs" / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html").is_file()


@pytest.fixture
def changing_lake(tmp_path: Path) -> Path:
    """A lake of an hour in which a device's boundary and kind change, on a day in which a machine's model changes."""
    log = Log(tmp_path / "log")
    # a device is one thing in each cell, and a job's edges cut cells
    log.put("jobs", [{"job": "j", "node": "n", "start_ms": T0 + 600_000, "end_ms": T0 + 1_500_000, "event_ms": T0 + 1_500_000}])
    log.put("readings", [{"node": "n", "device": "x", "device_kind": "node" if m < 30 else "other", "epoch": "e", "ts_ms": T0 + m * 60_000,
                          "energy_mj": m * 9_000_000, "method": "counter", "boundary": "node_dc" if m < 20 else "component", "simulated": False}
                         for m in range(61)])
    log.put("nodes", [{"node": "n", "site": "s", "sku": "old", "valid_from_ms": T0 - 3 * HOUR, "valid_to_ms": T0 - HOUR},
                      {"node": "n", "site": "s", "sku": "new", "valid_from_ms": T0 - HOUR},
                      {"node": "n", "site": "s", "device": "x", "device_sku": "card", "valid_from_ms": T0 - 2 * HOUR, "acquired_on_ms": T0 - 2 * HOUR,
                       "valid_to_ms": T0},
                      {"node": "n", "site": "s", "device": "x", "device_sku": "card", "valid_from_ms": T0}])
    log.put("embodied", [{"sku": "old", "embodied_ug": 10**12, "life_years": 5.0}, {"sku": "new", "embodied_ug": 2 * 10**12, "life_years": 5.0},
                         {"sku": "card", "embodied_ug": 10**11, "life_years": 5.0}])
    run(tmp_path / "lake", log.root)
    return tmp_path / "lake"


def test_rows_of_one_hour_or_day_that_differ_in_what_they_are_have_keys_of_their_own(changing_lake: Path) -> None:
    with open_lake(changing_lake) as connection:
        by_line = connection.execute("SELECT line, boundary, device_kind FROM fact_energy WHERE start_ms = ? ORDER BY ALL", [T0]).fetchall()
        assert by_line == [("job_active", "component", "node"), ("unattributed", "component", "node"), ("unattributed", "component", "other"),
                           ("unattributed", "node_dc", "node")]
        by_item = connection.execute("SELECT device, count(*), count(DISTINCT version), count(DISTINCT basis) FROM fact_embodied "
                                     "WHERE job IS NULL GROUP BY device ORDER BY device NULLS FIRST")
        assert by_item.fetchall() == [(None, 2, 2, 1), ("x", 2, 1, 2)]
        for name in ("fact_energy", "fact_emissions", "fact_embodied"):
            assert connection.execute(key_gate(TABLES[name]).query).fetchall() == []


@pytest.mark.slow
def test_a_boundary_that_changes_within_an_hour_and_a_model_within_a_day_break_no_rule(changing_lake: Path) -> None:
    code, broken, said = _check(changing_lake)
    assert code == 0, said
    assert [b for b in broken if b["blocking"]] == []


def test_a_row_that_is_there_twice_is_named_by_its_key_wherever_it_lies_in_the_table(changing_lake: Path) -> None:
    with Committer(changing_lake) as committer:
        committer.query("INSERT INTO lake.fact_embodied SELECT * FROM lake.fact_embodied WHERE device IS NULL AND job IS NULL ORDER BY version LIMIT 1")
    with open_lake(changing_lake) as connection:
        ((key, rows),) = connection.execute(key_gate(TABLES["fact_embodied"]).query).fetchall()
    assert rows == 2
    assert key.startswith("start_ms=")
    assert "node=n, device=NULL, line=unattributed, job=NULL, version=" in key


@pytest.mark.slow
def test_a_joule_on_no_class_fails_the_gate_and_is_named(lake: Path) -> None:
    with Committer(lake) as committer:
        committer.query("UPDATE lake.fact_energy SET measured_mj = measured_mj + 1 WHERE start_ms = (SELECT min(start_ms) FROM lake.fact_energy)")
    code, broken, _ = _check(lake)
    assert code == 3
    assert [(b["gate"], b["columns"], b["unexpected"]) for b in broken if b["blocking"]] == [("closure", "classes_difference_mj", 1)]


@pytest.mark.slow
def test_facts_that_close_but_are_not_what_was_counted_fail_the_gate(lake: Path) -> None:
    with Committer(lake) as committer:
        for table, more in (("fact_energy", ", measured_mj = measured_mj + 1000"), ("fact_emissions", "")):
            committer.query(f"UPDATE lake.{table} SET energy_mj = energy_mj + 1000{more} WHERE start_ms = {T0}")
    code, broken, _ = _check(lake)
    assert code == 3
    assert [(b["gate"], b["columns"], b["example"]) for b in broken if b["blocking"]] == [("counters", "unexplained", "n gpu0: 1000 mJ")]


@pytest.mark.slow
def test_a_row_that_counts_twice_fails_the_gate(lake: Path) -> None:
    with Committer(lake) as committer:
        committer.query("INSERT INTO lake.fact_emissions SELECT * FROM lake.fact_emissions WHERE start_ms = (SELECT min(start_ms) FROM lake.fact_emissions)")
    code, broken, _ = _check(lake)
    assert code == 3
    assert [(b["gate"], b["columns"], b["unexpected"]) for b in broken if b["blocking"]] == [
        ("fact_emissions_key", "repeated_key", 1), ("emissions_follow_energy", "rows_difference", 1), ("emissions_follow_energy", "energy_difference_mj", 1)]
    assert "node=n, device=gpu0" in str(next(b["example"] for b in broken if b["gate"] == "fact_emissions_key"))


def test_jobs_in_which_nothing_was_read_and_jobs_that_held_too_much_are_warned_of(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.put("readings", [{"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + m * 60_000, "energy_mj": m * 9_000_000,
                          "method": "counter", "boundary": "component", "simulated": False} for device in ("gpu0", "gpu1") for m in range(61)])
    part = {"start_ms": T0 + 600_000, "end_ms": T0 + 1_200_000, "event_ms": T0 + 1_200_000}
    log.put("jobs", [{"job": "outer", "node": "n", **part}, {"job": "inner", "node": "n", "device": "gpu0", **part},
                     {"job": "typo", "node": "n", "device": "gpu9", **part}, {"job": "away", "node": "m", **part},
                     {"job": "later", "node": "n", "start_ms": T0 + 2 * HOUR, "end_ms": T0 + 3 * HOUR, "event_ms": T0 + 3 * HOUR},
                     # half of it was read
                     {"job": "spread", "node": "n", "device": "gpu1", **part, "share_ppm": 1}, {"job": "spread", "node": "m", "device": "gpu1", **part}])
    run(tmp_path / "lake", log.root)
    with open_lake(tmp_path / "lake") as connection:
        found = {gate.name: [row[0] for row in connection.execute(f"SELECT {gate.rules[0].columns[0]} FROM ({gate.query}) ORDER BY ALL").fetchall()]
                 for gate in gates() if gate.name in {"jobs_without_energy", "oversubscribed"}}
        energy = dict(connection.execute("SELECT job, energy_kwh FROM footprint_by_job WHERE line = 'job_active'").fetchall())
    assert found["jobs_without_energy"] == [
        "away on m: no reading of the machine", "later on n: no reading in its time", "spread on m gpu1: no reading of the machine",
        "typo on n gpu9: no reading of the device"]
    assert found["oversubscribed"] == ["n gpu0: inner, outer", "n gpu1: outer, spread"]
    assert {job for job, kwh in energy.items() if kwh is None} == {"away", "later", "typo"}
    assert energy["spread"] is not None


def test_counters_that_were_told_otherwise_at_one_instant_are_warned_of(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    reading = {"device_kind": "gpu", "epoch": "e", "method": "counter", "boundary": "component", "simulated": False}
    log.put("readings", [{**reading, "node": "n", "device": device, "ts_ms": T0 + m * 60_000, "energy_mj": m * 9_000_000}
                         for device in ("gpu0", "gpu1") for m in range(121)])
    served = {"model": "m", "epoch": "e", "tokens_in": 5, "tokens_out": 5}
    log.put("serving", [{**served, "ts_ms": T0 + m * 60_000, "requests": m} for m in range(61)])
    # the same again is no conflict
    log.put("readings", [{**reading, "node": "n", "device": "gpu1", "ts_ms": T0 + 60_000, "energy_mj": 9_000_000}], boot="again")
    log.put("readings", [{**reading, "node": "n", "device": "gpu0", "ts_ms": T0 + 30 * 60_000, "energy_mj": 30 * 9_000_000 - 5}], boot="again")
    log.put("serving", [{**served, "ts_ms": T0, "requests": 0}, {**served, "ts_ms": T0 + 60_000, "requests": 7}], boot="again")
    run(tmp_path / "lake", log.root)
    (gate,) = [g for g in gates() if g.name == "conflicts"]
    assert [(r.form, r.columns, r.blocking) for r in gate.rules] == [("none", ("told_twice",), False)]
    with open_lake(tmp_path / "lake") as connection:
        found = connection.execute(gate.query).fetchall()
    at = "2025-10-09 09:00"
    assert found == [(f"n gpu0: in 1 hour from {at}",), (f"serving of m: at 1 instant from {at[:-2]}01",)]


def test_a_long_example_is_cut_in_a_table_and_whole_elsewhere() -> None:
    def shown(example: str | None, form: str) -> object:
        return line(Outcome("g", "c", "none", True, False, 1, 1, example, "why"), form)[7]

    long = "start_ms=1, " + "node=n, " * 50
    assert (shown(long, "json"), shown(long, "csv")) == (long, long)
    cut = str(shown(long, "table"))
    assert len(cut) == 60
    assert long.startswith(cut.removesuffix("…"))
    assert [shown(e, "table") for e in ("n gpu0: 5 mJ", "two\nlines", None)] == ["n gpu0: 5 mJ", "two lines", None]
