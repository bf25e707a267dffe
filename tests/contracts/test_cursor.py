"""What of a partition has been shipped: kept, damaged, and counted by what gives segments up."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattlake_contracts.filelog import cursor
from wattlake_contracts.filelog.writer import LogWriter
from wattlake_contracts.record import Meta


def test_a_cursor_comes_back_and_a_missing_or_damaged_one_sends_all_again(tmp_path: Path) -> None:
    assert cursor.load(tmp_path) == [(0, None)]
    spans: list[cursor.Span] = [(3, 9), (12, None)]
    cursor.store(tmp_path, spans)
    assert cursor.load(tmp_path) == spans
    raw = (tmp_path / cursor.CURSOR).read_bytes()
    for place in range(len(raw)):
        for bit in range(8):
            (tmp_path / cursor.CURSOR).write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
            assert cursor.load(tmp_path) in ([(0, None)], spans)
        (tmp_path / cursor.CURSOR).write_bytes(raw[:place])
        assert cursor.load(tmp_path) == [(0, None)]


@pytest.mark.parametrize(("spans", "count"), [([(0, None)], 10), ([(15, None)], 5), ([(0, 12), (18, None)], 4), ([(30, None)], 0)])
def test_only_what_was_still_to_be_shipped_is_lost(spans: list[cursor.Span], count: int) -> None:
    assert cursor.within(spans, 10, 20) == count


def test_a_full_log_counts_as_lost_what_was_not_shipped(tmp_path: Path) -> None:
    meta, payload = Meta("jobs", "n", "b"), b"x" * 900
    with LogWriter(tmp_path, "p", segment_bytes=1000, max_bytes=5000) as log:
        cursor.store(tmp_path / "p", [(4, None)])
        for seq in range(10):
            log.append(meta, seq, payload)
            log.sync()
        assert log.first_offset > 4
        assert log.lost_records == log.first_offset - 4


def test_segments_that_are_gone_already_disturb_no_writer(tmp_path: Path) -> None:
    meta, payload = Meta("jobs", "n", "b"), b"x" * 900
    with LogWriter(tmp_path, "p", segment_bytes=1000, max_bytes=3000) as log:
        for seq in range(10):
            log.append(meta, seq, payload)
            log.sync()
            for path in sorted((tmp_path / "p").glob("*.wlog"))[:-1]:
                path.unlink()
        assert log.next_offset == 10
