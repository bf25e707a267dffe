"""JSON of very many rows, good ones and bad ones: memory is bounded, and each row is told of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakes import rows, run
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import JSON, Meta, Record
from wattlake_pipelines.decode import MAX_JSON_ROWS, DecodeError, decode
from wattlake_pipelines.json_rows import more_rows
from wattlake_pipelines.land import read_range as reading

T0 = 1_760_000_000_000
GOOD = {"job": "j", "node": "n1", "device": "gpu0", "start_ms": T0, "end_ms": T0 + 5000}
#: Reads the whole of a log in one range, and prints by how many MiB its memory grew at most.
GROWTH = """
import sys
from pathlib import Path
from wattlake_pipelines.land.read_range import read_range
from wattlake_pipelines.land.source import FileSource
[where] = FileSource(Path(sys.argv[1])).plan({}, 2**28, 1)
def peak_kib():
    # of this program alone: what getrusage tells may be its parent's
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
before = peak_kib()
made = sum(len(piece) for _, piece in read_range(where, 1))
print((peak_kib() - before) // 1024, made)
"""


def record(payload: bytes) -> Record:
    return Record(Meta("jobs", "n1", "b1", content_type=JSON), 0, T0, payload)


def log_of(folder: Path, payloads: Sequence[bytes]) -> Path:
    with LogWriter(folder / "log", "p") as writer:
        for seq, payload in enumerate(payloads):
            writer.append(Meta("jobs", "n1", "b1", content_type=JSON), seq, payload, T0 + 5000)
        writer.sync()
    return folder / "log"


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('",[]{}\\:a\u2028é')),
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from('",[]{}\\')), inner, max_size=4), max_leaves=20)


@given(elements=st.lists(VALUES, min_size=2, max_size=30), spaces=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_elements_are_counted_whatever_they_hold(elements: list[object], spaces: int | None, ascii_only: bool) -> None:
    text = json.dumps(elements, indent=spaces, ensure_ascii=ascii_only).encode()
    assert more_rows(text, len(elements) - 1)
    assert not more_rows(text, len(elements))


def test_elements_are_counted_over_many_stretches() -> None:
    text = b"[" + b",".join([b'{"a":"\\\\\\",[","b":[1,2,{"c":3}]}'] * 50_000) + b"]"
    assert more_rows(text, 49_999)
    assert not more_rows(text, 50_000)


@pytest.mark.parametrize("row", [b"0", b"{}"])
def test_a_record_of_more_rows_than_it_may_have_is_a_reject(row: bytes) -> None:
    with pytest.raises(DecodeError, match="more than 300000 rows"):
        decode(record(b"[" + b",".join([row] * (MAX_JSON_ROWS + 1)) + b"]"))
    assert len(decode(record(b"[" + b",".join([row] * MAX_JSON_ROWS) + b"]")).rejects) == 101 * (row == b"0")


@pytest.mark.parametrize("row", [b"0", b"{}"])
def test_records_of_many_bad_rows_take_little_memory(row: bytes, tmp_path: Path) -> None:
    log = log_of(tmp_path, [b"[" + b",".join([row] * 250_000) + b"]"] * 3)
    done = subprocess.run([sys.executable, "-c", GROWTH, str(log)], capture_output=True, text=True, check=True, timeout=300)
    growth_mib, made_bytes = map(int, done.stdout.split())
    print(f"{growth_mib} MiB")
    assert growth_mib < 400
    assert made_bytes < 2**18


def stands_for(reason: object) -> int:
    """The rows that a reject tells of."""
    return 1 + sum(map(int, re.findall(r"; (\d+) later rows? of this record cannot be used either", str(reason))))


def test_bad_rows_are_told_up_to_a_hundred_and_counted_beyond(tmp_path: Path) -> None:
    wrong = {"job": 5}
    unlike = [*[0] * 150, GOOD, *[wrong] * 100, {**GOOD, "job": "k", "end_ms": float(T0 + 5000)}]
    run(tmp_path / "lake", log_of(tmp_path, [json.dumps(rows).encode() for rows in (unlike, [{}] * 250, [{}] * 101, [0] * 101, [0, GOOD])]))
    assert rows(tmp_path / "lake", "SELECT job, count(*) FROM lake.raw_jobs GROUP BY job ORDER BY job") == [("j", 2), ("k", 1)]
    told: dict[int, list[int]] = {}
    for seq, reason in rows(tmp_path / "lake", "SELECT seq, reason FROM lake.rejects ORDER BY seq, try_cast(split_part(place, ' row ', 2) AS INTEGER)"):
        told.setdefault(int(str(seq)), []).append(stands_for(reason))
    assert told == {0: [*[1] * 100, 150], 1: [*[1] * 100, 150], 2: [1] * 101, 3: [1] * 101, 4: [1]}


def test_where_very_many_rows_are_told_each_further_record_is_one_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS_TOLD", 150)
    bad = [json.dumps(rows).encode() for rows in ([0] * 30, [0] * 250, [0] * 250, [0] * 40, [0])]
    run(tmp_path / "lake", log_of(tmp_path, bad))
    found = rows(tmp_path / "lake", "SELECT seq, reason FROM lake.rejects ORDER BY seq")
    told = {seq: [stands_for(reason) for each, reason in found if each == seq] for seq in range(5)}
    assert {seq: (len(each), sum(each)) for seq, each in told.items()} == {0: (30, 30), 1: (101, 250), 2: (101, 250), 3: (1, 40), 4: (1, 1)}


def test_of_a_row_of_very_many_or_very_deep_values_nothing_is_made() -> None:
    many = b"{" + b",".join(b'"k%d":0' % i for i in range(20_000)) + b"}"
    assert dict(decode(record(many)).unknown) == {"(more names than are looked at)": 1}
    deep = b'[{"job":[' + b",".join([b"[]"] * 1000) + b'],"start_ms":1.0}]'
    assert [bad.reason for bad in decode(record(deep)).rejects] == ["column job is an array, not text"]


@pytest.mark.parametrize(("column", "value", "says"), [
    ("start_ms", b'"soon"', "column start_ms is text, not a whole number"),
    ("start_ms", b"1.5", "column start_ms is a number that is not whole"),
    ("start_ms", b"[1]", "column start_ms is an array, not a whole number"),
    ("start_ms", b"9223372036854775808", "column start_ms is above 9223372036854775807, the most that it may be"),
    ("start_ms", b"-1e300", "column start_ms is below -9223372036854775808, the least that it may be"),
    ("job", b"7", "column job is a whole number, not text"),
    ("flop", b"true", "column flop is true or false, not a number"),
    ("flop", b"1e999", "it has a number beyond what can be held"),
])
def test_a_value_that_is_none_of_its_column_is_told_in_words(column: str, value: bytes, says: str) -> None:
    good = {name: json.dumps(known).encode() for name, known in GOOD.items()}
    row = b"{" + b",".join(b'"%s":%s' % (name.encode(), one) for name, one in {**good, column: value}.items()) + b"}"
    found = decode(record(b"[" + json.dumps(GOOD).encode() + b"," + row + b"]"))
    assert [bad.reason for bad in found.rejects] == [says]
    assert found.table.num_rows == 1


def test_what_is_no_row_and_what_is_no_json_are_told_in_words() -> None:
    assert [bad.reason for bad in decode(record(b'[7, "x", null, [1]]')).rejects] == [
        f"the row is {what}, not an object" for what in ("a whole number", "text", "null", "an array")]
    with pytest.raises(DecodeError, match=r"^not JSON: Input data was truncated$"):
        decode(record(b'[{"job":'))
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(record(b'[{"job":' + b"[" * 5_000 + b"]" * 5_000 + b"}]"))
