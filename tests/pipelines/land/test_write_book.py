"""What is not a reading: each record's rows once, however often it is read, in one round or in several."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from lakes import rows, run
from logs import Log
from wattlake_contracts.kinds import USAGE
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.land.piece import BOOK_RECORDS, RECORDS, pack
from wattlake_pipelines.land.read_range import REJECT_SCHEMA
from wattlake_pipelines.land.seen import SCHEMA, merged
from wattlake_pipelines.land.write_book import write_book

T0 = 1_760_054_400_000

#: what the rows of a record say, by (writer, boot, seq) and the number of its writing: told again it may say something else
identity = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "ax"]), st.integers(0, 3))
content = st.lists(st.tuples(st.sampled_from(["job", None]), st.integers(0, 2)), max_size=4)
books = st.dictionaries(st.tuples(identity, st.integers(1, 2)), content, min_size=1, max_size=8)


@st.composite
def told(draw: st.DrawFn) -> tuple[dict, list[list[tuple]], list[tuple]]:
    """(the records, ranges of reads of them with repetition, what was landed before)."""
    written = draw(books)
    reads = st.lists(st.sampled_from(sorted(written)), max_size=6)
    return written, draw(st.lists(reads, min_size=1, max_size=3)), draw(st.lists(st.sampled_from(sorted(written)), max_size=2))


def _part(written: dict, read: list[tuple]) -> bytes:
    """A range in which these records were read; rows without a workload were rejected."""
    records = [{"kind": "usage", "writer": w, "boot": b, "seq": s, "appended_ms": at, "crc": at} for (w, b, s), at in read]
    good, bad = [], [{"kind": None, "place": "p offset 7", "reason": "1 record lost: torn", "body": ""}]
    for key in read:
        (writer, boot, seq), at = key
        own = {"writer": writer, "boot": boot, "seq": seq, "appended_ms": at, "crc": at}
        for workload, usage in written[key]:
            if workload is None:
                bad.append({"kind": "usage", "place": f"{writer} {boot} {seq}", "reason": "workload is missing", "body": str(usage), **own})
            else:
                good.append({"node": "n", "device": "d", "workload": workload, "ts_ms": T0, "usage_ms": usage, "simulated": False, **own})
    of_record = [("writer", pa.string()), ("boot", pa.string()), ("seq", pa.int64()), ("appended_ms", pa.int64()), ("crc", pa.int64())]
    schema = pa.schema([*kind_schema(USAGE), *of_record], metadata={"kind": "usage"})
    return pack((pa.Table.from_pylist(records, BOOK_RECORDS), pa.Table.from_pylist(bad, REJECT_SCHEMA), pa.Table.from_pylist(good, schema)))


@settings(max_examples=examples(300), deadline=None)
@given(told())
def test_each_records_rows_are_there_as_often_as_it_holds_them(case: tuple[dict, list[list[tuple]], list[tuple]]) -> None:
    written, ranges, before = case
    known = pa.Table.from_pylist([{"kind": "usage", "writer": w, "boot": b, "seq": s, "appended_ms": at, "crc": at} for (w, b, s), at in before], RECORDS)
    with tempfile.TemporaryDirectory() as name:
        booked = write_book([_part(written, read) for read in ranges], merged(SCHEMA.empty_table(), known), Path(name), "a", 1)
        staged = {f.table: pq.read_table(f.staged).to_pylist() for f in booked.files}
    first: dict[tuple, int] = {}
    for key, at in (k for read in ranges for k in read):
        if key not in {k for k, _ in before}:
            first[key] = min(at, first.get(key, at))
    expected = [(key, *row) for key, at in first.items() for row in written[key, at]]
    good = [((r["node"], r["workload"], r["usage_ms"])) for r in staged.get("raw_usage", [])]
    assert Counter(good) == Counter(("n", workload, usage) for _, workload, usage in expected if workload)
    refused = [r["body"] for r in staged["rejects"] if r["kind"] == "usage"]
    assert Counter(refused) == Counter(str(usage) for _, workload, usage in expected if workload is None)
    assert len(staged["rejects"]) == len(refused) + len(ranges)


def test_a_usage_record_read_again_adds_nothing(tmp_path: Path) -> None:
    """Once in the round that lands it, where it is doubled, and once in the next, where it comes with a new one."""
    log = Log(tmp_path / "log")
    usage = [{"node": "n", "device": "gpu0", "workload": "w", "ts_ms": T0 + i * 1000, "usage_ms": i * 10, "simulated": False} for i in range(2000)]
    usage.append(usage[-1])
    for partition in ("p", "q"):
        log.put("usage", usage, seq=0, partition=partition, appended_ms=T0 + 10**7)
    run(tmp_path / "lake", log.root)
    log.put("usage", usage, seq=0, appended_ms=T0 + 10**7)
    log.put("usage", [usage[0] | {"workload": "other"}], seq=1, appended_ms=T0 + 10**7)
    run(tmp_path / "lake", log.root)
    assert rows(tmp_path / "lake", "SELECT workload, count(*), sum(usage_ms) FROM lake.raw_usage GROUP BY ALL ORDER BY ALL") == [
        ("other", 1, 0), ("w", 2001, sum(int(str(u["usage_ms"])) for u in usage))]
