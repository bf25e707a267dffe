"""A figure corrected, and the correction taken back: by files, as a user has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIRST_MS, HOUR_MS = 1_714_521_600_000, 3_600_000  # 2024-05-01T00:00:00Z


def _grams(world: Any, file: Path, *options: str) -> tuple[float, str]:
    """(grams of the lake once the file is imported, what import said)."""
    done = world.command("import", "grid", file, "--log", f"file:{world.log}", *options)
    assert done.returncode == 0, done.stderr
    world.account()
    (row,) = world.sql("SELECT sum(location_ug)::BIGINT AS ug FROM fact_emissions")
    return row["ug"] / 1e6, done.stderr


def test_a_correction_can_be_taken_back(world: Any) -> None:
    world.load("readings", ("node", "device", "ts", "energy_j"), [("n", "wall", FIRST_MS, 0), ("n", "wall", FIRST_MS + HOUR_MS, 3_600_000)])
    world.load("nodes", ("node", "site"), [("n", "s")])
    world.load("sites", ("site", "zone", "pue"), [("s", "Z", 1)])
    columns = ("zone", "start", "end", "direct_g_per_kwh")
    right = world.write("right.csv", columns, [("Z", FIRST_MS, FIRST_MS + HOUR_MS, 300)])
    wrong = world.write("wrong.csv", columns, [("Z", FIRST_MS, FIRST_MS + HOUR_MS, 999)])
    assert _grams(world, right)[0] == 300
    assert _grams(world, wrong)[0] == 999
    grams, said = _grams(world, right)
    assert grams == 999  # the same file counts once
    assert "1 of 1 row of grid already imported, each counted once" in said
    assert "--again" in said
    grams, said = _grams(world, right, "--again")
    assert grams == 300
    assert "1 of 1 row of grid imported" in said


def test_a_job_without_an_end_ends_at_its_start_and_lease_until_its_end_is_told(world: Any) -> None:
    columns = ("job", "node", "start", "end", "model")
    world.load("readings", ("node", "device", "ts", "energy_j"), [("n", "wall", FIRST_MS, 0), ("n", "wall", FIRST_MS + HOUR_MS, 3_600_000)])
    world.load("jobs", columns, [("j", "n", FIRST_MS, None, "m")])
    world.account()
    held = "SELECT sum(energy_mj)::BIGINT AS mj FROM fact_energy WHERE job = 'j'"
    assert world.sql(held) == [{"mj": 180_000_000}]
    assert world.sql("SELECT end_ms - start_ms AS ms, open FROM dim_jobs") == [{"ms": 180_000, "open": True}]
    world.load("jobs", columns, [("j", "n", FIRST_MS, FIRST_MS + 1_200_000, "m")])
    world.account()
    assert world.sql(held) == [{"mj": 1_200_000_000}]
