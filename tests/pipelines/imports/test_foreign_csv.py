"""CSV as a spreadsheet of another country writes it: semicolons and tabs are read, decimal commas and other encodings are told with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

GRID = ["zone", "start", "end", "direct_g_per_kwh", "source"]
HOURS = [["DE", "2026-03-01T00:00Z", "2026-03-01T01:00Z", "312.5", "our supplier, hourly"], ["DE", "2026-03-01T01:00Z", "2026-03-01T02:00Z", "298.0", "x"]]


def write(path: Path, separator: str, *rows: list[str]) -> Path:
    path.write_text("".join(f"{separator.join(row)}\r\n" for row in rows), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_file_that_something_else_than_commas_separates_is_read(run_import, tmp_path: Path, separator: str) -> None:
    ran = run_import("grid", write(tmp_path / "g.csv", separator, GRID, *HOURS))
    assert ran.code == 0, ran.err
    assert [(r["direct_g_per_kwh"], r["source"]) for r in ran.rows("grid")] == [(312.5, "our supplier, hourly"), (298.0, "x")]


@pytest.mark.parametrize("number", ["312,5", "-312,5", "1.312,5", "1,312"])
def test_a_decimal_comma_is_told_with_its_line_and_the_way_out(run_import, tmp_path: Path, number: str) -> None:
    wrong = [*HOURS[0][:3], number, "x"]
    ran = run_import("grid", write(tmp_path / "g.csv", ";", GRID, HOURS[1], wrong))
    assert ran.code == 4
    assert len(ran.rows("grid")) == 1
    assert f"g.csv:3: direct_g_per_kwh '{number}' has a decimal comma; write a point" in ran.err
    assert "sed -E" in ran.err


@pytest.mark.parametrize(("separator", "said"), [(",", "quote a cell that holds a comma, and write decimals with a point"),
                                                (";", "quote a cell that holds a semicolon")])
def test_a_line_with_a_cell_too_many_says_what_separates_them(run_import, tmp_path: Path, separator: str, said: str) -> None:
    ran = run_import("grid", write(tmp_path / "g.csv", separator, GRID, [*HOURS[1], "more"]))
    assert ran.code == 4
    assert f"g.csv:2: has 6 cells, not 5; {said}" in ran.err


@pytest.mark.parametrize(("before", "line"), [(0, 3), (300_000, 300_003)])
def test_another_encoding_is_told_with_its_line(run_import, tmp_path: Path, before: int, line: int) -> None:
    path = tmp_path / "s.csv"
    # an umlaut in UTF-8 at the end of a block must not shift the count
    path.write_bytes(b"site,zone,pue\n" + "ü,DE,1.30000\n".encode() * (before + 1) + "München,DE,1.2\n".encode("cp1252"))
    ran = run_import("sites", path)
    assert ran.code == 1
    assert f"is not UTF-8: line {line} holds the byte 0xfc" in ran.err
    assert "iconv -f WINDOWS-1252 -t UTF-8" in ran.err


def test_more_tokens_from_a_cache_than_tokens_are_rejected(run_import, tmp_path: Path) -> None:
    lines = ["model,ts,epoch,requests,tokens_in,tokens_out,tokens_cached", "m,2026-03-01T00:00Z,e,1,5,5,9", "m,2026-03-01T01:00Z,e,1,9,5,9"]
    path = tmp_path / "serving.csv"
    path.write_text("\n".join(lines) + "\n")
    ran = run_import("serving", path)
    assert ran.code == 4
    assert len(ran.rows("serving")) == 1
    assert "serving.csv:2: tokens from a cache are a part of tokens_in, and cannot be more: tokens_cached is 9 and tokens_in is 5" in ran.err
