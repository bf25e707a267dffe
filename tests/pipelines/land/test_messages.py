"""Messages that are the same but for their numbers: taken without decoding, and never where anything else differs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from logs import Log
from wattlake_pipelines.land import read_range as module
from wattlake_pipelines.land.messages import _places
from wattlake_pipelines.land.piece import ReadingPiece, unpack
from wattlake_pipelines.land.read_range import BOOK, read_range
from wattlake_pipelines.land.source import plan

T0 = 1_760_054_400_000


def _rows(device: str, start_mj: int, count: int = 3, minute: int = 0) -> list[dict[str, object]]:
    return [{"node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": T0 + minute * 60_000 + i * 1000, "energy_mj": start_mj + i,
             "method": "counter", "boundary": "component", "simulated": False} for i in range(count)]


def _landed(log: Path) -> tuple[list[tuple[str, int, int, int]], list[str]]:
    """((device, ts_ms, value, seq) of every row, reasons of the rejects) of a log of one range."""
    rows, reasons = [], []
    (where,) = plan(log, {}, 2**30)
    for shard, raw in read_range(where, 1):
        if shard == BOOK:
            reasons = unpack(raw)[1]["reason"].to_pylist()
            continue
        piece = ReadingPiece.from_bytes(raw)
        runs = piece.runs
        device, seq = runs.texts["device"].to_pylist(), piece.records["seq"].to_pylist()
        for start, length, text, record in zip(runs.starts, runs.lengths, runs.text, piece.record_of, strict=True):
            rows += [(device[text], int(t), int(v), seq[record])
                     for t, v in zip(runs.ts_ms[start : start + length], runs.value[start : start + length], strict=True)]
    return sorted(rows), reasons


@pytest.fixture(autouse=True)
def _forms_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message is decoded as it comes, so that the second of a form meets it."""
    monkeypatch.setattr(module, "_UNKNOWN_BYTES", 1)


@pytest.fixture
def taken_undecoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the seq of every message that was taken without decoding."""
    found: list[int] = []
    known = module.Messages.known

    def watched(self: module.Messages, record: object, crc: int) -> bool:
        if taken := known(self, record, crc):  # type: ignore[arg-type]  # passed on as it came
            found.append(record.seq)  # type: ignore[attr-defined]
        return taken

    monkeypatch.setattr(module.Messages, "known", watched)
    return found


def test_a_message_of_a_known_form_gives_its_own_numbers(tmp_path: Path, taken_undecoded: list[int]) -> None:
    log = Log(tmp_path)
    for minute in range(4):
        log.put("readings", _rows("gpu0", 10 * minute, minute=minute) + _rows("gpu1", 100 * minute, minute=minute))
    rows, reasons = _landed(tmp_path)
    assert taken_undecoded == [1, 2, 3]
    assert reasons == []
    assert rows == sorted((d, T0 + m * 60_000 + i * 1000, scale * m + i, m) for m in range(4) for d, scale in (("gpu0", 10), ("gpu1", 100)) for i in range(3))


def test_other_texts_of_the_same_length_are_another_form(tmp_path: Path, taken_undecoded: list[int]) -> None:
    log = Log(tmp_path)
    for minute, device in enumerate(("gpu0", "gpu1", "gpu1", "gpu0")):
        log.put("readings", _rows(device, minute, minute=minute))
    rows, _ = _landed(tmp_path)
    assert taken_undecoded == [2]
    assert [(device, seq) for device, _, _, seq in rows] == [("gpu0", 0)] * 3 + [("gpu0", 3)] * 3 + [("gpu1", 1)] * 3 + [("gpu1", 2)] * 3


def test_a_bad_number_in_a_known_form_rejects_its_row_alone(tmp_path: Path, taken_undecoded: list[int]) -> None:
    log = Log(tmp_path)
    log.put("readings", _rows("gpu0", 0))
    bad = _rows("gpu0", 10, minute=1)
    bad[1]["energy_mj"] = -5
    log.put("readings", bad)
    rows, reasons = _landed(tmp_path)
    assert taken_undecoded == [1]
    assert len(reasons) == 1
    assert "energy_mj is -5" in reasons[0]
    assert [value for _, _, value, _ in rows] == [0, 1, 2, 10, 12]


def test_a_clock_that_runs_ahead_in_a_known_form_is_held_against_its_own_record(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.put("readings", _rows("gpu0", 0), appended_ms=T0 + 10_000)
    log.put("readings", _rows("gpu0", 10, minute=3 * 1440), appended_ms=T0 + 10_000)
    log.put("readings", _rows("gpu0", 20, minute=3 * 1440 + 1), appended_ms=T0 + 3 * 86_400_000)
    rows, reasons = _landed(tmp_path)
    assert {seq for _, _, _, seq in rows} == {0, 2}
    assert len(reasons) == 3
    assert all("its clock is wrong" in reason for reason in reasons)


def test_rows_of_another_hour_or_out_of_order_are_runs_of_their_own(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.put("readings", [*_rows("gpu0", 0, minute=59), *_rows("gpu0", 5, minute=60), *_rows("gpu0", 1, minute=58)])
    (where,) = plan(tmp_path, {}, 2**30)
    piece = next(ReadingPiece.from_bytes(raw) for shard, raw in read_range(where, 1) if shard != BOOK)
    assert piece.runs.starts.tolist() == [0, 3, 6]
    assert piece.runs.lengths.tolist() == [3, 3, 3]


def test_nulls_and_dictionaries_make_no_form() -> None:
    apart = pa.record_batch({"ts_ms": pa.array([1, 2, 3, 4]), "energy_mj": pa.array([5, 6, 7, 8]), "node": pa.array(["n"] * 4)})
    nulls = pa.record_batch({"ts_ms": pa.array([1, None]), "energy_mj": pa.array([5, 6])})
    words = pa.record_batch({"ts_ms": pa.array([1, 2, 3, 4]), "energy_mj": pa.array([5, 6, 7, 8]),
                             "node": pa.array(["n"] * 4).dictionary_encode()})
    found = []
    for batch in (apart, nulls, words):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        found.append(_places(sink.getvalue().to_pybytes()))
    assert found[0] is not None
    assert found[1:] == [None, None]
