"""`wattlake import`: what is wrong with a row, which is kept as a reject, or with a file, which is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Csv = Callable[..., Path]
T, T_MS = "2024-05-01T13:00:00Z", 1_714_568_400_000

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
    (["node|device|ts|energy_j", f"n|g|{T}|1"], "unknown column", "separated by something else than commas"),
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
    ("l.csv", b"node,device,ts,energy_j\nn\xe9,g,1,1\n", "is not UTF-8: line 2 holds the byte 0xe9"),
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
    assert run_import("sites", csv_file("site,zone", "s,ES"), options=["--format", "xml"]).code == 2


@pytest.mark.parametrize(("text", "line"), [
    ('site,zone,pue\na,DE,1.2\nb,DE,"1.3', 3), ('site,zone,pue\na,DE,1.2\nb,DE,"1.3\n', 3), ('site,zone,pue\na,"DE,1.2\nb,DE,1.3\nc,DE,1.1\n', 2),
    ('site,zone,pue\na,DE,1.2\n"b', 3), ('site,zone,pue\r\na,DE,1.2\r\nb,DE,"1.3\r\nc,DE,1\r\n', 3), ('site;zone;pue\na;DE;"', 2),
    ('site,zone,pue\n"a\nx",DE,1.2\nb,DE,"1.3""', 4),
])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_off_within_quotes_is_refused_whole(run_import, tmp_path: Path, text: str, line: int, *, packed: bool) -> None:
    path = tmp_path / ("in.csv.gz" if packed else "in.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    ran = run_import("sites", path)
    assert ran.code == 1
    assert f"a quote is opened in line {line} and never closed: the file seems to be cut off" in ran.err
    assert ran.records() == []


def test_a_long_file_cut_off_within_quotes_is_refused_before_any_of_it_is_written(run_import, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows = [f'"n{i}",gpu0,{T_MS + i},{i}' for i in range(300_000)]
    path.write_text("\n".join(["node,device,ts,energy_j", *rows, '"n,gpu0,1,2']))
    ran = run_import("readings", path)
    assert "a quote is opened in line 300002 and never closed" in ran.err
    assert ran.records() == []


@pytest.mark.parametrize("cell", ['5" rack', '"a ""b"""', '"a\nb"', 'x""', '""'])
def test_quotes_that_are_closed_or_mean_nothing_are_taken(run_import, tmp_path: Path, cell: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"node,site,sku\nn,s,{cell}")
    assert run_import("nodes", path).code in (0, 4)
    path.write_text(f"node,site,sku\nn,s,{cell}\nm,s,t\n")
    assert "never closed" not in run_import("nodes", path).err
