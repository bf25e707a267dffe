"""The first rows of a record, whatever its payload is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from logs import payload
from wattlake_agents.log.entry import entry_of
from wattlake_agents.log.payload import PayloadReader, Rows
from wattlake_contracts.record import ARROW, JSON, Meta, Record

READINGS = [{"node": "n1", "device": f"gpu{i}", "ts_ms": 1_760_000_000_000 + i, "energy_mj": 1000 * i} for i in range(5)]


def record(body: bytes, kind: str = "jobs", content_type: str = JSON, **meta: Any) -> Record:
    return Record(Meta(kind, "n1", "b1", content_type=content_type, **meta), 7, 1_760_000_000_000, body)


@pytest.fixture
def reader() -> Iterator[PayloadReader]:
    made = PayloadReader()
    yield made
    made.close()


def test_rows_of_an_arrow_stream_are_read_without_pyarrow(reader: PayloadReader) -> None:
    total, rows, reason = reader.first_rows(record(payload("readings", READINGS)[0], "readings", ARROW), 2)
    assert (total, reason) == (5, "")
    assert [{k: v for k, v in row.items() if v is not None} for row in rows] == READINGS[:2]


@pytest.mark.parametrize(("body", "total", "first"), [
    (b'{"job":"a"}', 1, [{"job": "a"}]), (b'[{"job":"a"},{"job":"b"},{"job":"c"}]', 3, [{"job": "a"}, {"job": "b"}]), (b"[]", 0, [])])
def test_rows_of_json_are_read(reader: PayloadReader, body: bytes, total: int, first: list[dict[str, str]]) -> None:
    assert reader.first_rows(record(body), 2) == (total, first, "")


@pytest.mark.parametrize(("made", "says"), [
    (record(b"{"), "cannot be read: Input data was truncated"),
    (record(b"3"), "neither a JSON object nor an array of objects"),
    (record(b'["a"]'), "neither a JSON object nor an array of objects"),
    (record(b"[" * 100_000), "cannot be read"),
    (record(b"\xff\xfe"), "cannot be read"),
    (record(b"{}", "weather"), "this version knows no kind 'weather'"),
    (record(b"{}", version="9.0"), "another major"),
    (record(b"not arrow at all", "readings", ARROW), "cannot be read"),
    (record(b"", "readings", ARROW), "cannot be read"),
])
def test_what_cannot_be_read_says_why(reader: PayloadReader, made: Record, says: str) -> None:
    total, rows, reason = reader.first_rows(made, 2)
    assert (total, rows) == (None, [])
    assert says in reason


def test_what_somebody_else_wrote_is_no_command_to_the_terminal(reader: PayloadReader) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
    entry = entry_of("jobs/0", 3, Record(Meta("jobs", f"n{evil}", "b"), 0, 1, json.dumps([{"job": evil, evil: 1}]).encode()), reader, 2)
    text = entry.text()
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\\x1b" in text
    assert json.loads(entry.line())["first"] == [{"job": evil, evil: 1}]


def test_an_arrow_stream_with_wrong_bytes_never_ends_the_process(reader: PayloadReader) -> None:
    good = payload("readings", [{"node": "n1", "device": f"gpu{i}", "ts_ms": i, "energy_mj": i} for i in range(20)])[0]
    dice = random.Random(7)
    found = list[Rows]()
    for _ in range(3_000):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        found.append(reader.first_rows(record(bytes(raw[: dice.randrange(len(raw))] if dice.random() < 0.2 else raw), "readings", ARROW), 3))
    reasons = [reason for _, _, reason in found]
    assert all((total is None) == bool(reason) for total, _, reason in found)
    assert "" in reasons
    assert any("ends whoever reads it" in reason for reason in reasons), "among so many some make nanoarrow crash"
    assert reader.first_rows(record(good, "readings", ARROW), 1)[0] == 20
