"""A lake that an earlier or a later version has written: nothing in it goes, and each version can work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from lakes import dump, rows, run
from logs import Log
from wattlake_contracts import tables
from wattlake_contracts.column import text
from wattlake_contracts.table import Table
from wattlake_pipelines.arrow_schema import fitted, table_schema, widened, widest
from wattlake_pipelines.lake import maintain as upkeep
from wattlake_pipelines.lake.committer import Committer, SupersededError
from wattlake_pipelines.lake.maintain import maintain
from wattlake_pipelines.lake.manifest import Manifest, stage
from wattlake_pipelines.lake.verify import verify

T0 = 1_760_054_400_000
#: What the later version has besides: a column in a table of each way to be written, and a table.
WIDER = ("raw_readings", "raw_jobs", "fact_energy", "fact_emissions", "rejects", "commits", "files", "log_positions", "dirty", "reading_bounds")


def put(log: Log, minute: int) -> None:
    log.put("readings", [{"node": "n", "device": "gpu0", "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + (minute + m) * 60_000,
                          "energy_mj": 9_000_000 * (minute + m), "method": "counter", "boundary": "component", "simulated": False} for m in range(20)])
    log.put("jobs", [{"job": f"j{minute}", "node": "n", "start_ms": T0 + minute * 60_000, "end_ms": T0 + (minute + 9) * 60_000}])


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The declarations of a later version, as far as opening a lake goes."""
    with monkeypatch.context() as patched:
        for name in WIDER:
            table = tables.TABLES[name]
            more = Table(table.name, table.layer, table.doc, (text("later", "of a later version", required=name == "rejects"), *table.columns), table.key,
                         table.files, table.layout)
            patched.setitem(tables.TABLES, name, more)
        patched.setitem(tables.TABLES, "raw_later", Table("raw_later", "raw", "of a later version", (text("node", "n"), text("later", "l")), ("node",)))
        yield


def columns_of(lake: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in rows(lake, "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake'"):
        found.setdefault(str(table), set()).add(str(column))
    return found


def write_later(lake: Path) -> None:
    """A commit as a later version makes it: with values in what it knows besides."""
    with Committer(lake) as committer, committer.attempt() as (attempt, staging):
        made = [stage("raw_later", pa.table({"node": ["n"], "later": ["kept"]}), staging, f"{attempt}.parquet")]
        for name in ("raw_jobs", "rejects"):
            whole = widest(table_schema(tables.TABLES[name]), pa.schema([("later", pa.string())]))
            row = {"job": "j99", "node": "n", "start_ms": T0, "end_ms": T0 + 60_000, "appended_ms": T0, "simulated": False, "place": "p", "reason": "r",
                   "later": "kept"}
            made.append(stage(name, fitted(pa.table({k: [v] for k, v in row.items()}), whole), staging, f"{attempt}.parquet"))
        committer.commit(Manifest("land", attempt, tuple(made), rows=3))


def test_a_lake_of_an_earlier_version_gets_the_columns_and_tables_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    put(log, 0)
    run(lake, log.root)
    before, facts = columns_of(lake), dump(lake)
    with later(monkeypatch):
        after = columns_of(lake)
        [(snapshots,)] = rows(lake, "SELECT count(*) FROM ducklake_snapshots('lake')")
        assert rows(lake, "SELECT count(*) FROM ducklake_snapshots('lake')") == [(snapshots,)], "it is done once"
    assert {name: after[name] - before.get(name, set()) for name in after if after[name] != before.get(name)} == {
        **{name: {"later"} for name in WIDER}, "raw_later": {"node", "later"}}
    assert rows(lake, "SELECT DISTINCT later FROM lake.raw_readings") == [(None,)], "old rows have no value there"
    assert dump(lake) != facts, "a new column of facts shows"
    assert rows(lake, "SELECT energy_mj, later FROM lake.fact_energy ORDER BY ALL")[0][1] is None


@pytest.mark.slow
def test_an_earlier_version_lands_accounts_and_keeps_what_a_later_one_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, lake = Log(tmp_path / "log"), tmp_path / "lake"
    put(log, 0)
    run(lake, log.root)
    with later(monkeypatch):
        write_later(lake)
    wide = columns_of(lake)
    # as the later one would: in books that each commit writes anew, too
    with Committer(lake) as committer, committer.transaction("later"):
        committer.query("UPDATE lake.log_positions SET later = 'kept'")
        committer.query("UPDATE lake.commits SET later = 'kept'")
    put(log, 20)
    run(lake, log.root)
    monkeypatch.setattr(upkeep, "_MANY", 2)
    with Committer(lake) as committer:
        assert maintain(committer, keep_days=0, thorough=True).merged_files
        assert not [fault for fault in verify(committer)[1] if fault.path.startswith("data/main/raw") or "raw_later" in fault.path]
    assert columns_of(lake) == wide
    assert rows(lake, "SELECT later FROM lake.raw_later") == [("kept",)]
    assert rows(lake, "SELECT job, later FROM lake.raw_jobs WHERE later IS NOT NULL") == [("j99", "kept")]
    assert rows(lake, "SELECT place, later FROM lake.rejects") == [("p", "kept")]
    assert rows(lake, "SELECT count(later) > 0 FROM lake.commits") == [(True,)]
    assert rows(lake, "SELECT count(*), count(DISTINCT ts_ms) FROM lake.raw_readings") == [(40, 40)]
    run(tmp_path / "plain", log.root)
    [(energy,)] = rows(tmp_path / "plain", "SELECT sum(energy_mj) FROM lake.fact_energy")
    assert rows(lake, "SELECT sum(energy_mj) FROM lake.fact_energy") == [(energy,)]


def test_what_a_lake_lacks_is_added_by_no_committer_that_was_taken_over_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = tmp_path / "lake"
    with Committer(lake):
        pass
    before = columns_of(lake)
    with later(monkeypatch), monkeypatch.context() as patched:
        from wattlake_pipelines.lake import committer as module

        # between its epoch and its first commit another takes over
        patched.setattr(module.meta, "is_fenced", lambda folder: bool(module.meta.next_epoch(folder)))
        with pytest.raises(SupersededError):
            Committer(lake)
    assert columns_of(lake) == before


def test_rows_of_several_versions_have_the_columns_of_all() -> None:
    wanted = pa.schema([("a", pa.int64()), ("b", pa.string())])
    old, new = pa.table({"b": ["x"]}), pa.table({"z": [1.5], "a": pa.array([7], pa.int32()), "c": ["y"]})
    assert widened([old, new], wanted).to_pylist() == [{"a": None, "b": "x", "c": None, "z": None}, {"a": 7, "b": None, "c": "y", "z": 1.5}]
    assert widened([], wanted).schema == wanted
