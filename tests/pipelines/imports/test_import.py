"""`wattlake import`: every kind, every error, exit codes, identities."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
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
    assert "1 of 1 rows" in ran.err


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


def test_a_job_may_have_no_end(run_import, csv_file: Csv) -> None:
    ran = run_import("jobs", csv_file("job,node,start,end", f"j,n,{T},"))
    assert ran.rows("jobs") == [{"job": "j", "node": "n", "start_ms": T_MS}]


BAD_ROWS = [
    ("readings", "node,device,ts,energy_j", "n,g,2024-05-01,1", "ts '2024-05-01' has no zone"),
    ("readings", "node,device,ts,energy_j", "n,g,2024-05-01T13:00:00,1", "ts '2024-05-01T13:00:00' has no zone; write"),
    ("readings", "node,device,ts,energy_j", f"n,g,{T},twelve", "energy_j 'twelve' is no number; write digits"),
    ("readings", "node,device,ts,energy_j", f"n,g,{T},nan", "energy_j 'nan' is not a finite number"),
    ("readings", "node,device,ts,energy_j", f"n,g,{T},-1", "energy_j is -1, below the minimum of 0"),
    ("readings", "node,device,ts,energy_j", f",g,{T},1", "node is missing"),
    ("readings", "node,device,ts,energy_j", "n,g,1714568400,1", "are these seconds?"),
    ("readings", "node,device,ts,energy_j", f"n,g,{T},", "needs exactly one of energy and power (energy_j, power_mw)"),
    ("readings", "node,device,ts,energy_j", f"n,g,{T},1,000", "has 5 cells, not 4; quote a cell that holds a comma"),
    ("readings", "node,device,ts,energy_j,power_w", f"n,g,{T},1,2", "needs exactly one of energy and power (energy_j, power_w)"),
    ("readings", "node,device,ts,energy_j,device_kind", f"n,g,{T},1,tpu", "device_kind is 'tpu', not one of gpu, cpu"),
    ("jobs", "job,node,start,share", f"j,n,{T},2", "share is 2, above the maximum of 1"),
    ("jobs", "job,node,start,share", f"j,n,{T},0", "share is 0, below the minimum of 1e-06"),
    ("jobs", "job,node,start,tokens", f"j,n,{T},1.5", "tokens '1.5' is no whole number"),
    ("jobs", "job,node,start,end", f"j,n,{T},{T}", f"the end must be after the start: start is {T} and end is {T}"),
    ("transfers", "id,ts,bytes,medium,from_site,to_site,pue_included", f"t,{T},1,wan,a,b,perhaps",
     "pue_included 'perhaps' is neither true nor false"),
    ("sites", "site,zone,pue", "s,ES,0.9", "pue is 0.9, below the minimum of 1"),
    ("sites", "site,zone,pue", f"{'s' * 1001},ES,1.1", "is longer than 1000 bytes"),
    ("grid", "zone,start,end,direct_g_per_kwh", f"ES,1999-01-01T00:00:00Z,{T},100",
     "start is 1999-01-01T00:00:00Z, below the minimum of 2000-01-01T00:00:00Z"),
]
GOOD = {
    "readings": f"n,gpu9,{T},1", "jobs": f"k,n,{T},", "transfers": f"u,{T},1,wan,a,b", "sites": "ok,ES,1.1",
    "grid": f"FR,{T},2024-05-01T14:00:00Z,50",
}


@pytest.mark.parametrize(("kind", "header", "line", "said"), BAD_ROWS)
def test_a_bad_row_is_kept_as_a_reject_with_line_reason_and_text(
    run_import, csv_file: Csv, kind: str, header: str, line: str, said: str,
) -> None:
    good = GOOD[kind] + "," * (header.count(",") - GOOD[kind].count(","))
    ran = run_import(kind, csv_file(header, good, "", line, good.replace("1", "2", 1) if kind == "sites" else good))
    assert ran.code == 4, ran.err
    assert len(ran.rows(kind)) == 2
    (reject,) = ran.rows("rejects")
    assert reject["place"] == "in.csv:4"
    assert said in reject["reason"]
    assert reject["kind"] == kind
    assert reject["body"] == line
    assert (ran.summary[0]["accepted"], ran.summary[0]["rejected"]) == (2, 1)
    assert "in.csv:4" in ran.err
    assert said in ran.err


def test_lines_are_counted_through_quoted_line_breaks_blank_and_broken_lines(run_import, csv_file: Csv) -> None:
    bad = f"n,gpu0,{T},x"
    lines = [f'"n\n1",gpu0,{T},1', "", bad, 'n,"a\n\nb",1', bad, f"n,gpu0,{T},1", bad]
    ran = run_import("readings", csv_file("node,device,ts,energy_j", *lines))
    places = {r["place"]: r["reason"] for r in ran.rows("rejects")}
    assert list(places) == ["in.csv:2", "in.csv:5", "in.csv:6", "in.csv:9", "in.csv:11"]
    assert "line break" in places["in.csv:2"]
    assert "has 3 cells" in places["in.csv:6"]


def test_lines_are_right_far_into_a_large_file(run_import, tmp_path: Path) -> None:
    path, count = tmp_path / "in.csv", 200_000
    with path.open("w") as file:
        file.write("node,device,ts,energy_j\n")
        for i in range(count):
            file.write(f"n,gpu0,{T_MS + i},{i}\n" if i % 40_001 else f"n,gpu0,{T_MS + i}\n" if i % 2 else f"n,gpu0,{i}x,1\n")
    ran = run_import("readings", path)
    places = [r["place"] for r in ran.rows("rejects")]
    assert places == [f"in.csv:{i + 2}" for i in range(0, count, 40_001)]
    assert ran.summary[0]["accepted"] + ran.summary[0]["rejected"] == count


FILE_ERRORS = [
    (["node,device,ts,energy_j,powr_w", f"n,g,{T},1,2"], "unknown column 'powr_w'", "did you mean power_w?"),
    (["node,device,ts,energy_mj", f"n,g,{T},1"], "unknown column 'energy_mj'", "did you mean energy_j?"),
    (["node,device,ts,energy_j,simulated", f"n,g,{T},1,true"], "unknown column 'simulated'", "columns of readings:"),
    (["node;device;ts;energy_j", f"n;g;{T};1"], "unknown column", "separated by something else than commas"),
    (["node,device,energy_j", "n,g,1"], "lacks the column ts", "a file of readings needs node, device, ts"),
    (["device,energy_j", "g,1"], "lacks the columns node, ts", "needs"),
    (["node,device,ts", f"n,g,{T}"], "lacks the column energy_j or power_w", "needs one of them"),
    (["node,device,ts,energy_j,energy_j", f"n,g,{T},1,1"], "'energy_j' stands there twice", "keep one"),
    (["node,device,ts,energy_j,", f"n,g,{T},1,"], "column 5 has no name", "name it"),
    (["node,device,ts,energy_j"], "has a header and no rows", "check what"),
    (["node,device,ts,energy_j", "", ""], "has a header and no rows", "check what"),
    ([""], "has no header", "first line"),
]


@pytest.mark.parametrize(("lines", "what", "next_step"), FILE_ERRORS)
def test_a_file_of_the_wrong_shape_is_refused_whole(run_import, csv_file: Csv, lines: list[str], what: str, next_step: str) -> None:
    ran = run_import("readings", csv_file(*lines))
    assert ran.code == 1
    assert "in.csv" in ran.err
    assert what in ran.err
    assert next_step in ran.err
    assert ran.rows("readings") == ran.rows("rejects") == []


def test_two_spellings_of_one_column_are_refused(run_import, csv_file: Csv) -> None:
    ran = run_import("grid", csv_file("zone,start,end,direct_g_per_kwh,direct_kg_per_kwh", f"ES,{T},{T},1,1"))
    assert ran.code == 1
    assert "direct_g_per_kwh and direct_kg_per_kwh are two spellings of one column" in ran.err


def _bytes(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


GZ = gzip.compress(b"node,device,ts,energy_j\n" * 500, mtime=0)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("e.csv", b"", "is empty"), ("e.parquet", b"", "is empty"), ("e.csv.gz", gzip.compress(b"", mtime=0), "has no header"),
    ("l.csv", b"node,device,ts,energy_j\nn\xe9,g,1,1\n", "is not UTF-8: byte 25"),
    ("u.csv", "node,device".encode("utf-16"), "UTF-16"),
    ("p.parquet", b"PAR1 nothing of the kind", "is no readable Parquet"),
    ("z.csv.gz", b"no gzip", "is not a whole gzip file"), ("z.csv.gz", GZ[:-20], "is not a whole gzip file"),
    ("x.xlsx", b"PK", "is neither .csv, .csv.gz nor .parquet"),
])
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(run_import, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    ran = run_import("readings", _bytes(tmp_path, name, content))
    assert ran.code == 1
    assert said in ran.err
    assert name in ran.err
    assert "next:" in ran.err


def test_no_such_file_and_a_folder_are_refused(run_import, tmp_path: Path) -> None:
    ran = run_import("readings", tmp_path / "none.csv")
    assert ran.code == 1
    assert "No such file" in ran.err
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in run_import("readings", tmp_path / "folder.csv").err


def test_no_file_is_written_if_one_of_them_has_a_wrong_header(run_import, csv_file: Csv) -> None:
    ran = run_import("sites", csv_file("site,zone,pue", "s,ES,1.1"), csv_file("site,zone,pu", "s,ES,1.1", name="b.csv"))
    assert ran.code == 1
    assert ran.rows("sites") == []


def test_a_damaged_row_group_of_parquet_is_told(run_import, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"site": [f"s{i}" for i in range(5000)], "zone": ["ES"] * 5000, "pue": [1.1] * 5000}), path)
    raw = bytearray(path.read_bytes())
    raw[100:2000] = bytes(1900)
    path.write_bytes(raw)
    ran = run_import("sites", path)
    assert ran.code == 1
    assert "cannot be read to its end" in ran.err


@pytest.mark.parametrize(("column", "said"), [
    (pa.array([datetime(2024, 5, 1)]), "ts is timestamp[us], a time with no zone"),
    (pa.array([datetime(2024, 5, 1, tzinfo=UTC).date()]), "ts is date32[day], a time with no zone"),
    (pa.array([[1]]), "ts is list"),
])
def test_a_parquet_type_that_cannot_be_right_refuses_the_file(run_import, tmp_path: Path, column: pa.Array, said: str) -> None:
    pq.write_table(pa.table({"node": ["n"], "device": ["d"], "ts": column, "energy_j": [1.0]}), tmp_path / "in.parquet")
    ran = run_import("readings", tmp_path / "in.parquet")
    assert ran.code == 1
    assert said in ran.err


def test_parquet_types_are_read_by_what_they_are(run_import, tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(T_MS / 1000, UTC)
    pq.write_table(pa.table({
        "node": pa.array(["n", "n", "n"]).dictionary_encode(), "device": ["gpu0"] * 3,
        "ts": pa.array([moment, moment, None], pa.timestamp("ns", "UTC")),
        "energy_j": [0.1, 1e16, 3.0], "epoch": pa.array([7, 8, 9]),
    }), tmp_path / "in.parquet")
    ran = run_import("readings", tmp_path / "in.parquet")
    assert [(r["ts_ms"], r["energy_mj"], r["epoch"]) for r in ran.rows("readings")] == [(T_MS, 100, "7")]
    assert [r["place"] for r in ran.rows("rejects")] == ["in.parquet:2", "in.parquet:3"]


def test_an_unknown_kind_is_a_usage_error(run_import, csv_file: Csv) -> None:
    ran = run_import("reading", csv_file("a", "b"))
    assert ran.code == 2
    assert "did you mean readings?" in ran.err


def test_an_unknown_format_is_a_usage_error(run_import, csv_file: Csv) -> None:
    header, line, _ = EXAMPLES["sites"]
    assert run_import("sites", csv_file(header, line), options=["--format", "xml"]).code == 2


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
