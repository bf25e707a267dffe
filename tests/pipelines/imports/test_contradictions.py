"""Rows of one file that say different things of one key are told at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wattlake_contracts.kinds import KINDS
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.imports.contradictions import contradictions

GRID = "zone,start,end,direct_g_per_kwh"
HOUR, NEXT = "DE,2026-03-01T00:00Z,2026-03-01T01:00Z", "DE,2026-03-01T01:00Z,2026-03-01T02:00Z"
JOB = "job,node,start,end"
START, END = "j,n,2026-03-01T00:00Z", "2026-03-01T01:00Z"


@pytest.mark.parametrize(("kind", "lines", "said"), [
    ("sites", ["site,zone,pue", "s,DE,1.2", "t,DE,1.1", "s,DE,1.3", "s,DE,1.4"],
     "1 key (site, valid_from) stands there more than once with different values, first on lines 2 and 4"),
    ("sites", ["site,zone,pue", "s,DE,1.2", "s,DE,1.2", "s,DE,1.20"], None),
    ("sites", ["site,zone,pue,valid_from", "s,DE,1.2,2026-01-01T00:00Z", "s,DE,1.3,2026-02-01T00:00Z"], None),
    ("sites", ["site,zone,pue,wue_l_per_kwh", "s,DE,1.2,0.4", "s,DE,1.2,"], "lines 2 and 3"),
    ("grid", [GRID, f"{NEXT},300", f"{HOUR},310", f"{HOUR},320", f"{NEXT},300", f"{NEXT},301"], "2 keys (zone, start, end) stand there more than once "
     "with different values, first on lines 2 and 6"),
    ("grid", [f"{GRID},known_from", f"{HOUR},300,2026-04-01T00:00Z", f"{HOUR},310,2026-05-01T00:00Z"], None),
    ("grid", [f"{GRID},marginal_g_per_kwh", f"{HOUR},300,", f"{HOUR},,700"], None),
    ("grid", [f"{GRID},marginal_g_per_kwh", f"{HOUR},300,700", f"{HOUR},,710"], "lines 2 and 3"),
    ("grid", [f"{GRID},source", f"{HOUR},300,a", f"{HOUR},300,b"], None),
    ("nodes", ["node,site,sku", "a,b,s", "", "a,c,s"], "1 key (node, device, valid_from) stands there more than once with different values, "
     "first on lines 2 and 4"),
    ("nodes", ["node,site,device", "a,b,", "a,c,gpu0"], None),
    ("embodied", ["sku,embodied_kg,life_years", "s,1000,4", "s,1001,4"], "1 key (sku, valid_from)"),
    ("transfers", ["id,ts,bytes,medium,from_site,to_site", "t,2026-03-01T00:00Z,1,wan,a,b", "t,2026-03-01T00:00Z,2,wan,a,b"], "1 key (id)"),
    ("jobs", [JOB, f"{START},{END}", f"{START},2026-03-01T02:00Z"], "1 key (job, node, device, start) stands there more than once"),
    ("jobs", [JOB, f"{START},{END}", f"{START},"], None),
    ("jobs", [f"{JOB},model,tokens", f"{START},{END},m,", f"{START},{END},,5"], None),
    ("jobs", [f"{JOB},share", f"{START},{END},0.5", f"{START},{END},"], "lines 2 and 3"),
    ("jobs", [f"{JOB},model", f"{START},{END},m", f"{START},{END},", f"{START},{END},k"], "lines 2 and 4"),
    ("readings", ["node,device,ts,energy_j", "n,gpu0,2026-03-01T00:00Z,1", "n,gpu0,2026-03-01T00:00Z,2"], None),
])
def test_what_the_rows_of_a_file_contradict_each_other_in_is_told(run_import, csv_file, kind: str, lines: list[str], said: str | None) -> None:
    ran = run_import(kind, csv_file(*lines))
    assert ran.code == 0
    assert (said in ran.err) if said else ("more than once" not in ran.err), ran.err


def test_a_rejected_row_contradicts_nothing(run_import, csv_file) -> None:
    ran = run_import("sites", csv_file("site,zone,pue", "s,DE,1.2", "s,DE,0.3"))
    assert ran.code == 4
    assert "more than once" not in ran.err


def test_in_parquet_they_are_rows(run_import, tmp_path: Path) -> None:
    pq.write_table(pa.table({"site": ["s", "s"], "zone": ["DE", "FR"], "pue": [1.2, 1.2]}), tmp_path / "in.parquet")
    assert "first on rows 1 and 2" in run_import("sites", tmp_path / "in.parquet").err


def test_a_year_of_many_zones_is_compared_as_columns() -> None:
    count = 500_000
    start = np.arange(count) // 2 * 3_600_000
    direct = np.full(count, 300.0)
    direct[-1] = 301.0
    columns = {"zone": ["Z"] * count, "start_ms": start, "end_ms": start + 3_600_000, "direct_g_per_kwh": direct}
    schema = kind_schema(KINDS["grid"])
    table = pa.table({f.name: pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type) for f in schema}, schema=schema)
    [said] = contradictions(table, KINDS["grid"], np.arange(count) + 2)
    assert f"first on lines {count} and {count + 1}" in said
