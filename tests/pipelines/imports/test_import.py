"""`wattlake import`: every kind, identities, exit codes. Faults of rows and files are in test_import_faults.py."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.kinds import IMPORT_KINDS, KINDS
from wattlake_pipelines.imports.run import import_file, open_file

Csv = Callable[..., Path]
T, T_MS = "2024-05-01T13:00:00Z", 1_714_568_400_000
HOUR = 3_600_000

#: a line of each kind with all columns that matter, and what it becomes
EXAMPLES: dict[str, tuple[str, str, dict[str, object]]] = {
    "readings": ("node,device,ts,energy_j", f"n1,gpu0,{T},12.3456",
                 {"node": "n1", "device": "gpu0", "device_kind": "gpu", "epoch": "0", "ts_ms": T_MS, "energy_mj": 12346,
                  "method": "counter", "boundary": "component"}),
    "usage": ("node,device,workload,ts,usage_s", f"n1,gpu0,w,{T},1.5",
              {"node": "n1", "device": "gpu0", "workload": "w", "ts_ms": T_MS, "usage_ms": 1500}),
    "jobs": ("job,node,start,end,share,flop,phase,tokens", f"j,n1,{T},2024-05-01T15:00:00+01:00,0.25,1e21,train,1000000",
             {"job": "j", "node": "n1", "start_ms": T_MS, "end_ms": T_MS + HOUR, "share_ppm": 250_000, "flop": 1e21, "phase": "train",
              "tokens": 1_000_000}),
    "transfers": ("id,ts,bytes,medium,from_site,to_site,duration_s,pue_included", f"t,{T},1e9,wan,a,b,2.5,true",
                  {"id": "t", "ts_ms": T_MS, "bytes": 10**9, "medium": "wan", "from_site": "a", "to_site": "b", "duration_ms": 2500,
                   "pue_included": True}),
    "serving": ("model,ts,epoch,requests,tokens_in,tokens_out", f"m,{T},e,1,2,3",
                {"model": "m", "ts_ms": T_MS, "epoch": "e", "requests": 1, "tokens_in": 2, "tokens_out": 3}),
    "nodes": ("node,site,max_power_w,acquired_on,ownership", f"n1,s,6500.5,{T},owned",
              {"node": "n1", "site": "s", "max_power_mw": 6_500_500, "acquired_on_ms": T_MS, "ownership": "owned"}),
    "sites": ("site,zone,pue,wue_l_per_kwh", "s,ES,1.2,0.35", {"site": "s", "zone": "ES", "pue": 1.2, "wue_l_per_kwh": 0.35}),
    "grid": ("zone,start,end,direct_g_per_kwh,lifecycle_g_per_kwh,estimated", f"ES,{T},2024-05-01T14:00:00Z,103.42,143.06,false",
             {"zone": "ES", "start_ms": T_MS, "end_ms": T_MS + HOUR, "direct_g_per_kwh": 103.42, "lifecycle_g_per_kwh": 143.06,
              "estimated": False}),
    "embodied": ("sku,embodied_kg,life_years,low_kg", "hgx,1312.5,4,1000",
                 {"sku": "hgx", "embodied_ug": 1_312_500_000_000, "life_years": 4.0, "low_ug": 10**12}),
    "instruments": ("id,start,end,kwh,g_per_kwh,kind", f"i,{T},2024-05-01T14:00:00Z,1000.5,0,ppa",
                    {"id": "i", "start_ms": T_MS, "end_ms": T_MS + HOUR, "kwh": 1000.5, "g_per_kwh": 0.0, "kind": "ppa"}),
}


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(IMPORT_KINDS)


@pytest.mark.parametrize("kind", IMPORT_KINDS)
@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "bom"])
def test_every_kind_and_form_lands_on_the_log_in_stored_units(run_import, csv_file: Csv, tmp_path: Path, kind: str, form: str) -> None:
    header, line, expected = EXAMPLES[kind]
    path = csv_file(header, line)
    if form == "csv.gz":
        packed = tmp_path / "in.csv.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    elif form == "parquet":
        path = tmp_path / "in.parquet"
        pq.write_table(pa.table({k: [v] for k, v in zip(header.split(","), line.split(","), strict=True)}), path)
    elif form == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    ran = run_import(kind, path)
    assert ran.code == 0, ran.err
    assert ran.rows(kind) == [expected]
    assert ran.rows("rejects") == []
    assert ran.summary[0]["rows"] == ran.summary[0]["accepted"] == 1
    assert "1 of 1 row of" in ran.err


def test_the_columns_are_exactly_those_of_the_design() -> None:
    assert list(KINDS["readings"].inputs) == [
        "node", "device", "device_kind", "epoch", "ts", "energy_j", "power_w", "method", "boundary"
    ]
    assert {"direct_g_per_kwh", "direct_kg_per_kwh", "direct_lb_per_mwh"} <= set(KINDS["grid"].inputs)


@pytest.mark.parametrize(("spelling", "given"), [
    ("direct_g_per_kwh", "453.59237"), ("direct_kg_per_kwh", "0.45359237"), ("direct_lb_per_mwh", "1000"),
])
def test_all_spellings_of_a_unit_give_the_same_figure(run_import, csv_file: Csv, spelling: str, given: str) -> None:
    ran = run_import("grid", csv_file(f"zone,start,end,{spelling}", f"ES,{T},2024-05-01T14:00:00Z,{given}"))
    assert ran.code == 0, ran.err
    assert ran.rows("grid")[0]["direct_g_per_kwh"] == 453.59237


@pytest.mark.parametrize(("device", "kind", "boundary"), [
    ("gpu0", "gpu", "component"), ("cpu-package-0", "cpu", "component"), ("dram-0", "dram", "component"), ("node", "node", "node_ac"),
    ("psu1", "psu", "node_ac"), ("fan3", "other", "component"),
])
def test_what_a_reading_does_not_say_is_filled_in(run_import, csv_file: Csv, device: str, kind: str, boundary: str) -> None:
    ran = run_import("readings", csv_file("node,device,ts,power_w", f"n,{device},{T_MS},250.5"))
    assert ran.rows("readings") == [{
        "node": "n", "device": device, "device_kind": kind, "epoch": "0", "ts_ms": T_MS, "power_mw": 250_500, "method": "integrated",
        "boundary": boundary,
    }]


def test_what_a_reading_says_is_kept(run_import, csv_file: Csv) -> None:
    lines = [f"n,gpu0,{T},1,node,e7,estimated,pdu", f"n,gpu1,{T},1,,,,"]
    ran = run_import("readings", csv_file("node,device,ts,energy_j,device_kind,epoch,method,boundary", *lines))
    first, second = ran.rows("readings")
    assert (first["device_kind"], first["epoch"], first["method"], first["boundary"]) == ("node", "e7", "estimated", "pdu")
    assert (second["device_kind"], second["epoch"], second["method"], second["boundary"]) == ("gpu", "0", "counter", "component")


def test_a_job_may_have_no_end_and_is_then_last_heard_of_at_its_start(run_import, csv_file: Csv) -> None:
    ran = run_import("jobs", csv_file("job,node,start,end", f"j,n,{T},", f"k,n,{T},2024-05-01T14:00:00Z"))
    assert ran.rows("jobs") == [{"job": "j", "node": "n", "start_ms": T_MS, "event_ms": T_MS},
                                {"job": "k", "node": "n", "start_ms": T_MS, "end_ms": T_MS + HOUR}]
    assert "1 row has no end: each job is taken to end 3 minutes after its start, until a row with its end is imported" in ran.err
    assert "no end" not in run_import("jobs", csv_file("job,node,start,end", f"k,n,{T},2024-05-01T15:00:00Z")).err


def test_a_dry_run_checks_and_writes_nothing(run_import, csv_file: Csv, log: Path) -> None:
    header, line, _ = EXAMPLES["sites"]
    ran = run_import("sites", csv_file(header, line, "s,ES,0.5"), options=["--dry-run"])
    assert ran.code == 4
    assert ran.summary[0]["dry_run"] is True
    assert ran.summary[0]["rejected"] == 1
    assert not log.exists()


def test_rows_far_ahead_of_the_clock_are_kept_and_told(run_import, csv_file: Csv) -> None:
    ran = run_import("readings", csv_file("node,device,ts,energy_j", "n,gpu0,2199-01-01T00:00:00Z,1"))
    assert ran.code == 4
    assert len(ran.rows("readings")) == 1
    assert "more than 24 h ahead" in ran.err


def test_the_same_file_twice_has_the_same_identities_and_bytes(run_import, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    lines = [f"n{i % 3},gpu{i % 8},{T_MS + i},{i if i % 1000 else 'x'}" for i in range(12_000)]
    path.write_text("\n".join(["node,device,ts,energy_j", *lines]) + "\n")
    first = run_import("readings", path).records()
    both = run_import("readings", path).records()
    assert [(r.meta, r.seq, r.payload) for r in both[len(first) :]] == [(r.meta, r.seq, r.payload) for r in first]
    assert len({r.ce_id for r in first}) == len(first)
    assert [r.seq for r in first if r.meta.kind == "readings"] == [0, 1, 2]
    assert all(re.fullmatch("[0-9a-f]{32}", r.meta.boot) and r.meta.node == "import" for r in first)


def test_packing_a_file_does_not_change_its_identities_but_its_kind_and_content_do(run_import, csv_file: Csv, tmp_path: Path) -> None:
    path = csv_file("id,start,end,kwh,g_per_kwh", f"i,{T},2024-05-01T14:00:00Z,1,0")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    other = csv_file("id,start,end,kwh,g_per_kwh", f"i,{T},2024-05-01T14:00:00Z,2,0", name="other.csv")
    boots = [run_import("instruments", p).summary[0]["boot"] for p in (path, tmp_path / "packed.csv.gz", other)]
    assert boots[0] == boots[1] != boots[2]
    a = csv_file("node,device,ts,power_w", f"n,g,{T},1", name="a.csv")
    assert run_import("readings", a).summary[0]["boot"] != boots[0]


def test_counters_are_sorted_by_device_and_time_in_blocks_of_fixed_size(run_import, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("node,device,ts,power_w\n" + "".join(f"n,gpu{i % 4},{T_MS + (i * 7919) % 11_000},1\n" for i in range(11_000)))
    ran = run_import("readings", path)
    assert ran.summary[0]["records"] == 3
    found = [(r["device"], r["ts_ms"]) for r in ran.rows("readings")]
    assert found == sorted(found)


def test_a_block_too_large_for_a_record_is_halved(run_import, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("site,zone,pue\n" + "".join(f"{i:04d}{'s' * 990},{'z' * 999},1.1\n" for i in range(1000)))
    ran = run_import("sites", path)
    assert ran.code == 0, ran.err
    assert len(ran.rows("sites")) == 1000
    assert len({r.seq for r in ran.records()}) == len(ran.records()) == 4


def test_a_huge_cell_is_rejected_with_the_beginning_of_its_text(run_import, csv_file: Csv) -> None:
    ran = run_import("sites", csv_file("site,zone,pue", f"{'é' * 100_000},ES,1.1", "s,ES,1.1"))
    assert len(ran.rows("sites")) == 1
    (reject,) = ran.rows("rejects")
    assert len(reject["body"]) < 70_000
    assert reject["body"].endswith("bytes)")


def test_two_imports_at_once_write_partitions_of_their_own(run_import, csv_file: Csv, log: Path) -> None:
    header, line, _ = EXAMPLES["sites"]
    with LogWriter(log, "import.0"):
        assert run_import("sites", csv_file(header, line)).code == 0
    assert (log / "import.1").is_dir()


def test_the_command_gives_data_on_stdout_the_rest_on_stderr_and_its_exit_code(command, csv_file: Csv, log: Path) -> None:
    path = csv_file("site,zone,pue", "s,ES,1.1", "s,ES,0.1")
    ran = command("import", "sites", str(path), "--log", f"file:{log}", "--format", "json")
    assert ran.returncode == 4
    assert json.loads(ran.stdout)[0]["reasons"] == [{"place": "in.csv:3", "reason": "pue is 0.1, below the minimum of 1"}]
    assert "1 of 2 rows" in ran.stderr
    assert "\x1b" not in ran.stderr
    missing = command("import", "sites", "none.csv")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "none.csv: cannot be read: No such file" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_log_that_cannot_be_written_is_told(run_import, csv_file: Csv, log: Path) -> None:
    header, line, _ = EXAMPLES["sites"]
    log.mkdir(mode=0o500)
    ran = run_import("sites", csv_file(header, line))
    assert ran.code == 1
    assert "cannot write the log" in ran.err


def test_a_log_that_is_a_file_is_told(run_import, csv_file: Csv, log: Path) -> None:
    header, line, _ = EXAMPLES["sites"]
    log.write_text("not a folder")
    ran = run_import("sites", csv_file(header, line))
    assert ran.code == 1
    assert "cannot write the log" in ran.err


def test_a_file_that_grows_while_it_is_read_is_not_taken(csv_file: Csv) -> None:
    opened = open_file(csv_file("site,zone,pue", "s,ES,1.1"), KINDS["sites"])
    with opened.source.path.open("a") as file:
        file.write("t,ES,1.1\n")
    with pytest.raises(WattlakeError, match="was changed while it was read"):
        import_file(opened, None)
