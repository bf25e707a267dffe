"""Raw files: whatever the order of messages and rows, sorted, once each, one row group per hour; and their bounds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_contracts.kinds import READINGS
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.land.piece import RECORDS, ReadingPiece
from wattlake_pipelines.land.runs import to_runs
from wattlake_pipelines.land.seen import SCHEMA
from wattlake_pipelines.land.write_readings import write_readings

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_760_054_400_000 // DAY * DAY - 2 * HOUR
reading = st.tuples(st.sampled_from(["n0", "n1"]), st.sampled_from(["d0", "d1"]), st.sampled_from(["e", "f"]),
                    st.integers(0, 5 * HOUR // 600_000), st.integers(0, 3), st.booleans())
messages = st.lists(st.lists(reading, min_size=1, max_size=8), min_size=1, max_size=6)


def _piece(message: list[tuple[str, str, str, int, int, bool]], seq: int) -> ReadingPiece:
    rows = [{"node": n, "device": d, "device_kind": "gpu", "epoch": e, "ts_ms": T0 + t * 600_000,
             "energy_mj": None if power else v, "power_mw": v if power else None,
             "method": "counter", "boundary": "component", "simulated": False} for n, d, e, t, v, power in message]
    table = pa.Table.from_pylist(rows, kind_schema(READINGS))
    runs = to_runs(table, np.array([0]))
    records = pa.Table.from_pylist([{"kind": "readings", "writer": "w", "boot": "b", "seq": seq, "appended_ms": 1, "crc": seq}], RECORDS)
    return ReadingPiece.from_bytes(ReadingPiece(runs, records, np.zeros(len(runs.starts), np.int64)).to_bytes())


def _sorted_rows(told: list[list[tuple[str, str, str, int, int, bool]]]) -> list[tuple[object, ...]]:
    rows = [(T0 + t * 600_000, n, d, e, v, power, seq) for seq, message in enumerate(told) for n, d, e, t, v, power in message]
    return sorted(((ts // HOUR, n, d, e, ts), v, power, seq) for ts, n, d, e, v, power, seq in rows)


@settings(max_examples=examples(200), deadline=None)
@given(messages, st.randoms(use_true_random=False))
def test_files_hold_every_row_once_in_order_an_hour_a_row_group(told: list, random: object) -> None:
    pieces = [_piece(message, seq) for seq, message in enumerate(told)]
    random.shuffle(pieces)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    with tempfile.TemporaryDirectory() as name:
        files = write_readings([*pieces, pieces[0]], SCHEMA.empty_table(), Path(name), "a", 0, 7)
        raw = sorted((f for f in files if f.table == "raw_readings"), key=lambda f: f.day_ms)
        found = []
        for file in raw:
            parquet = pq.ParquetFile(file.staged)
            assert parquet.num_row_groups == len(file.hours_ms)
            for group, hour in enumerate(file.hours_ms):
                rows = parquet.read_row_group(group).to_pylist()
                assert {r["ts_ms"] // HOUR * HOUR for r in rows} == {hour}
                assert hour // DAY * DAY == file.day_ms
                keys = [(r["node"], r["device"], r["epoch"], r["ts_ms"]) for r in rows]
                assert keys == sorted(keys)
                found += [((r["ts_ms"] // HOUR, r["node"], r["device"], r["epoch"], r["ts_ms"]),
                           r["power_mw"] if r["energy_mj"] is None else r["energy_mj"], r["energy_mj"] is None, r["seq"]) for r in rows]
        assert sorted(found) == _sorted_rows(told)
        bounds = pq.read_table(next(f.staged for f in files if f.table == "reading_bounds")).to_pylist()
    series: dict[tuple[object, ...], set[int]] = {}
    for (_, n, d, e, ts), _, power, _ in _sorted_rows(told):
        series.setdefault((n, d, e, power, ts // HOUR * HOUR), set()).add(ts)
    expected = {(*key, ts) for key, instants in series.items() for ts in {*sorted(instants)[:2], *sorted(instants)[-2:]}}
    assert {(b["node"], b["device"], b["epoch"], b["energy_mj"] is None, b["hour_ms"], b["ts_ms"]) for b in bounds} == expected
    assert {b["batch"] for b in bounds} == {7}
