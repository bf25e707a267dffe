"""What users get wrong: each time the command says what, on which input and what to do next, and nothing is lost."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lacking import lacks

# tests are imported by file, so a neighbour is found by its folder
sys.path.insert(0, str(Path(__file__).parent))
from small_disk import Disk

READINGS = ("node", "device", "ts", "energy_j")
FIRST_MS = 1_714_521_600_000  # 2024-05-01T00:00:00Z
MINUTE_MS = 60_000
OK, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 4


def refused(done: CompletedProcess[str], code: int, *words: str) -> None:
    """The command ended with this code, told these words and a next step, and printed no data and no traceback."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    for word in (*words, "next:"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "--debug" not in done.stderr  # that is the advice where nobody foresaw the error


def counter(node: str, joules: list[float], device: str = "wall") -> list[tuple[object, ...]]:
    """A counter read once a minute."""
    return [(node, device, FIRST_MS + MINUTE_MS * i, j) for i, j in enumerate(joules)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Makes small disks."""
    made: list[Disk] = []

    def make(size: str) -> Disk:
        try:
            made.append(Disk(tmp_path / f"disk{len(made)}", size))
        except OSError as error:
            lacks(f"cannot mount a small disk here: {error}")
        return made[-1]

    yield make
    for one in made:
        one.remove()


# files that cannot be imported at all


def test_a_file_that_is_not_there(world: Any) -> None:
    refused(world.try_import("readings", world.folder / "absent.csv"), FAILED, "absent.csv", "No such file")
    assert not world.log.exists()


def test_an_empty_file(world: Any) -> None:
    (world.folder / "empty.csv").touch()
    refused(world.try_import("readings", world.folder / "empty.csv"), FAILED, "empty.csv", "is empty")
    assert not world.log.exists()


def test_a_file_with_a_header_and_nothing_else(world: Any) -> None:
    refused(world.try_import("readings", world.write("header.csv", READINGS, [])), FAILED, "header.csv", "no rows")


def test_a_column_that_does_not_exist(world: Any) -> None:
    path = world.write("unit.csv", ("node", "device", "ts", "energy_kj"), counter("n", [1, 2]))
    refused(world.try_import("readings", path), FAILED, "unit.csv", "unknown column 'energy_kj'", "did you mean energy_j")
    assert not world.log.exists()


def test_a_column_that_is_missing(world: Any) -> None:
    path = world.write("short.csv", ("node", "ts", "energy_j"), [("n", FIRST_MS, 1)])
    refused(world.try_import("readings", path), FAILED, "short.csv", "lacks the column device")


def test_one_bad_file_among_good_ones_imports_none(world: Any) -> None:
    good = world.write("good.csv", READINGS, counter("n", [1, 2]))
    refused(world.try_import("readings", good, world.folder / "absent.csv"), FAILED, "absent.csv")
    assert not world.log.exists()


def test_a_kind_that_does_not_exist(world: Any) -> None:
    path = world.write("good.csv", READINGS, counter("n", [1, 2]))
    refused(world.try_import("reading", path), USAGE, "reading", "did you mean readings")


# configuration and places


def test_a_configuration_key_that_does_not_exist(world: Any) -> None:
    (world.folder / "mine.toml").write_text("[pipelines]\nshard = 3\n", encoding="utf-8")
    done = world.command("run", "--config", "mine.toml", "--log", f"file:{world.log}", "--lake", world.lake)
    refused(done, USAGE, "mine.toml", "shard", "did you mean shards?", "may stand shards, long_gap_s, round_mib")
    assert not world.lake.exists()


def test_a_log_that_is_not_there(world: Any) -> None:
    refused(world.try_run(), FAILED, str(world.log), "no log")
    assert not world.lake.exists()


def test_a_lake_that_is_not_there(world: Any) -> None:
    refused(world.command("sql", "FROM fact_energy", "--lake", world.lake), FAILED, str(world.lake), "no lake")


# rows that cannot be used, in a file that can

BAD = {
    2: ("n", "wall", "2024-05-01T00:00:30", 100, "has no zone"),
    3: ("n", "wall", "2024-05-01T00:00:31Z", -7, "below the minimum"),
    4: ("n", "wall", "2024-05-01T00:00:32Z", "NaN", "not a finite number"),
    5: ("n", "wall", "2024-05-01T00:00:33Z", "inf", "not a finite number"),
    6: ("n", "wall", "2024-05-01T00:00:34Z", "1e300", "too large"),
    7: ("n", "wall", "2024-05-01T00:00:35Z", "9007199254741", "above the maximum"),
    8: ("n", "wall", "2024-05-01T00:00:36Z", "1,5", "decimal comma"),
    9: ("n", "wall", "last Tuesday", 100, "no time"),
    10: (None, "wall", "2024-05-01T00:00:37Z", 100, "node"),
    11: ("n", "wall", "2024-05-01T00:00:38Z", "a lot", "no number"),
}


@pytest.fixture(scope="module")
def mixed(module_world: Any) -> tuple[Any, CompletedProcess[str], CompletedProcess[str], CompletedProcess[str]]:
    """A world of good and bad rows, and what the commands said: import readings, import jobs, run."""
    readings = module_world.write("mixed.csv", READINGS, [
        *(row[:4] for row in BAD.values()),
        # one reading out of line, then a lasting fall: the counter began again
        *counter("n", [100, 104, 2, 112, 113]), *counter("fell", [100, 110, 3, 8, 9])])
    jobs = module_world.write("jobs.csv", ("job", "node", "start", "end"), [
        ("upside-down", "n", FIRST_MS + 2 * MINUTE_MS, FIRST_MS), ("good", "n", FIRST_MS, FIRST_MS + 3 * MINUTE_MS)])
    return module_world, module_world.try_import("readings", readings), module_world.try_import("jobs", jobs), module_world.try_run()


def test_bad_rows_are_told_with_their_line_and_the_rest_is_taken(mixed: Any) -> None:
    _, readings, jobs, _ = mixed
    assert readings.returncode == jobs.returncode == INCOMPLETE
    assert f"10 of {10 + len(BAD)} rows of readings imported, {len(BAD)} rejected" in readings.stderr
    for line, row in list(BAD.items())[:5]:
        [told] = [text for text in readings.stderr.splitlines() if f"mixed.csv:{line}:" in text]
        assert row[-1] in told
    assert "jobs.csv:2:" in jobs.stderr
    assert "the end must be after the start" in jobs.stderr


def test_landing_ends_incomplete_and_keeps_every_bad_row_with_its_reason(mixed: Any) -> None:
    world, *_, run = mixed
    assert run.returncode == INCOMPLETE
    assert "wattlake sql" in run.stderr
    kept = {r["place"]: r for r in world.sql("FROM rejects")}
    assert kept.keys() == {*(f"mixed.csv:{line}" for line in BAD), "jobs.csv:2"}
    for line, row in BAD.items():
        reject = kept[f"mixed.csv:{line}"]
        assert row[-1] in reject["reason"]
        assert all(str(cell) in reject["body"] for cell in row[:4] if cell is not None)
    assert "upside-down" in kept["jobs.csv:2"]["body"]


def test_a_counter_that_falls_loses_no_other_energy(mixed: Any) -> None:
    world, *_ = mixed
    rows = {r["node"]: r for r in world.sql("""
        SELECT node, sum(energy_mj)::BIGINT AS energy_mj, string_agg(DISTINCT flags) AS flags FROM fact_energy GROUP BY node""")}
    # the reading out of line is left out, and the others say what was used
    assert rows["n"]["energy_mj"] == 13_000
    assert rows["n"]["flags"] == "outlier"
    # the fall itself counts for nothing; before and after it the counter is believed
    assert rows["fell"]["energy_mj"] == 10_000 + 6_000


def test_a_job_told_rightly_is_accounted_beside_one_told_wrongly(mixed: Any) -> None:
    world, *_ = mixed
    assert world.sql("SELECT job, sum(energy_mj)::BIGINT AS energy_mj FROM fact_energy WHERE job IS NOT NULL GROUP BY job") == [
        {"job": "good", "energy_mj": 12_000}]


def test_a_lake_of_a_newer_version_is_left_alone(mixed: Any, tmp_path: Path) -> None:
    world, *_ = mixed
    newer = shutil.copytree(world.lake, tmp_path / "newer")

    def ask(sql: str) -> Any:
        with closing(sqlite3.connect(newer / "catalogue.sqlite")) as database, database:
            return database.execute(sql).fetchall()

    ask("UPDATE wattlake_meta SET value = '99' WHERE key = 'lake_version'")
    before = ask("SELECT count(*) FROM ducklake_snapshot")
    for done in (world.command("run", "--log", f"file:{world.log}", "--lake", newer), world.command("sql", "FROM commits", "--lake", newer)):
        refused(done, FAILED, str(newer), "newer Wattlake", "99", "upgrade")
    assert ask("SELECT count(*) FROM ducklake_snapshot") == before
    assert ask("SELECT value FROM wattlake_meta WHERE key = 'epoch'") == _epoch(world.lake)


def _epoch(lake: Path) -> Any:
    with closing(sqlite3.connect(lake / "catalogue.sqlite")) as database:
        return database.execute("SELECT value FROM wattlake_meta WHERE key = 'epoch'").fetchall()


# what is not known yet


@pytest.mark.slow
def test_what_is_unknown_is_null_with_its_reason_and_filled_when_it_becomes_known(world: Any) -> None:
    asked = "SELECT DISTINCT basis, energy_mj, overhead_mj, location_ug, overhead_location_ug FROM fact_emissions"

    def now() -> dict[str, Any]:
        world.account()
        [row] = world.sql(asked)
        return dict(row)

    world.load("readings", READINGS, counter("n", [0, 1800, 3600]))
    nothing = {"energy_mj": 3_600_000, "overhead_mj": None, "location_ug": None, "overhead_location_ug": None}
    assert now() == {"basis": "unknown node", **nothing}
    world.load("nodes", ("node", "site"), [("n", "hall")])
    assert now() == {"basis": "unknown site", **nothing}
    world.load("sites", ("site", "zone", "pue"), [("hall", "nowhere", "1.5")])
    assert now() == {"basis": "no grid figure", **nothing, "overhead_mj": 1_800_000}
    world.load("grid", ("zone", "start", "end", "direct_g_per_kwh"), [("nowhere", FIRST_MS, FIRST_MS + 60 * MINUTE_MS, 250)])
    # 3.6 kJ are 1 Wh, at 250 g/kWh 0.25 g
    assert now() == {"basis": "hourly", "energy_mj": 3_600_000, "overhead_mj": 1_800_000, "location_ug": 250_000,
                     "overhead_location_ug": 125_000}


# disks


def test_a_log_on_a_read_only_disk(world: Any, disk: Callable[[str], Disk]) -> None:
    there = disk("1m")
    there.read_only()
    path = world.write("good.csv", READINGS, counter("n", [1, 2]))
    done = world.command("import", "readings", path, "--log", f"file:{there.folder / 'log'}")
    refused(done, FAILED, str(there.folder / "log"), "ead-only file system", "--log")


@pytest.mark.slow
def test_a_lake_on_a_read_only_disk_can_be_asked_and_not_written(world: Any, disk: Callable[[str], Disk]) -> None:
    there = disk("64m")
    world.lake = there.folder / "lake"
    world.load("readings", READINGS, counter("n", [1, 2]))
    world.account()
    world.load("readings", READINGS, counter("m", [1, 2]))
    there.read_only()
    refused(world.try_run(), FAILED, str(world.lake), "ead-only")
    assert world.sql("SELECT DISTINCT node FROM fact_energy") == [{"node": "n"}]
    fresh = world.command("run", "--log", f"file:{world.log}", "--lake", there.folder / "other")
    refused(fresh, FAILED, str(there.folder / "other"), "ead-only")
    there.resize("64m")  # remounts it for writing
    world.account()
    assert world.sql("SELECT DISTINCT node FROM fact_energy ORDER BY node") == [{"node": "m"}, {"node": "n"}]


def noise(rows: int) -> list[tuple[str, str, int, str]]:
    """A counter that no compression makes small, read four times a second."""
    rng, total, found = random.Random(7), 0, []
    for i in range(rows):
        found.append(("n", "wall", FIRST_MS + 250 * i, f"{total // 1000}.{total % 1000:03}"))
        total += rng.randrange(2**34)
    return found


def whole(world: Any, rows: list[tuple[str, str, int, str]]) -> None:
    """Every reading is in the lake once, and all of the counter in the facts."""
    assert world.sql("SELECT count(*) AS rows, count(DISTINCT ts_ms) AS instants FROM raw_readings") == [{"rows": len(rows), "instants": len(rows)}]
    assert world.sql("SELECT sum(energy_mj)::BIGINT AS energy_mj FROM fact_energy") == [{"energy_mj": int(rows[-1][-1].replace(".", ""))}]


@pytest.mark.slow
def test_a_full_disk_under_the_log_loses_nothing(world: Any, disk: Callable[[str], Disk]) -> None:
    there = disk("1m")
    world.log = there.folder / "log"
    rows = noise(60_000)
    path = world.write("many.csv", READINGS, rows)
    refused(world.try_import("readings", path), FAILED, str(world.log), "No space left", "make room")
    there.resize("64m")
    again = world.try_import("readings", path)
    assert again.returncode == OK, again.stderr
    world.account()
    whole(world, rows)


@pytest.mark.slow
def test_a_full_disk_under_the_lake_loses_nothing(world: Any, disk: Callable[[str], Disk]) -> None:
    there = disk("64k")
    world.lake = there.folder / "lake"
    rows = noise(200_000)
    world.load("readings", READINGS, rows)
    refused(world.try_run(), FAILED, str(there.folder), "make room")  # no room for a lake
    there.resize("1100k")
    refused(world.try_run(), FAILED, str(there.folder), "make room")  # no room for the readings
    there.resize("256m")
    world.account()
    whole(world, rows)


@pytest.mark.slow
def test_a_lake_on_a_disk_without_a_byte_left_says_so_and_can_still_be_tidied_up(world: Any, disk: Callable[[str], Disk]) -> None:
    there = disk("128m")
    world.lake = there.folder / "lake"
    rows = noise(2_000)
    world.load("readings", READINGS, rows[:1000])
    world.account()
    world.load("readings", READINGS, rows[1000:])
    left = world.lake / "staging" / "killed"
    left.mkdir()
    (left / "part").write_bytes(bytes(1000))
    there.fill()
    refused(world.try_run(), FAILED, str(world.lake), "no room left", "wattlake lake maintain")
    refused(world.command("lake", "status", "--lake", world.lake), FAILED, str(world.lake), "no room left")
    done = world.command("lake", "maintain", "--keep-days", "0", "--lake", world.lake)
    assert done.returncode == OK, done.stderr
    assert not left.exists()
    world.account()  # what was kept back is room enough for these few rows
    whole(world, rows)
