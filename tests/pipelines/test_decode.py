"""Decoding records: what third parties may send, and whatever bytes there are."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.record import ARROW, JSON, Meta, Record
from wattlake_pipelines import decode as decoding
from wattlake_pipelines.arrow_schema import kind_schema
from wattlake_pipelines.decode import Decoded, DecodeError, NotYetError, decode, decode_all
from wattlake_pipelines.rowcheck import check

NOW = 1_700_000_000_000


def record(payload: bytes, kind: str = "readings", content_type: str = ARROW, version: str = "1.0") -> Record:
    return Record(Meta(kind, "n1", "b1", version, content_type), 0, NOW, payload)


def ipc(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def readings(rows: int = 3, **columns: object) -> pa.Table:
    base: dict[str, object] = {
        "node": ["n1"] * rows, "device": ["gpu0"] * rows, "ts_ms": pa.array(range(NOW, NOW + rows)),
        "energy_mj": pa.array(range(rows), pa.int64()), "device_kind": ["gpu"] * rows,
    }
    return pa.table(base | columns)


def test_arrow_rows_come_out_in_the_contracts_columns() -> None:
    out = decode(record(ipc(readings())))
    assert out.table.schema.equals(kind_schema(KINDS["readings"]))
    assert out.table.column("energy_mj").to_pylist() == [0, 1, 2]
    assert out.table.column("epoch").null_count == 3
    assert out.rows.tolist() == [0, 1, 2]
    assert out.rejects == []


@pytest.mark.parametrize("column", [
    {"energy_mj": pa.array([0, 1, 2], pa.int32())},
    {"energy_mj": pa.array([0, 1, 2], pa.uint64())},
    {"energy_mj": pa.array([0, 1, 2]).dictionary_encode()},
    {"node": pa.array(["n1"] * 3, pa.large_string())},
    {"node": pa.array(["n1"] * 3, pa.string_view())},
    {"node": pa.array(["n1"] * 3).dictionary_encode()},
    {"node": pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array(["n1"]))},
    {"ts_ms": pa.array([NOW * 1000, NOW * 1000 + 1999, NOW * 1000 + 2000], pa.timestamp("us", "UTC"))},
    {"ts_ms": pa.array([NOW, NOW + 1, NOW + 2], pa.timestamp("ms", "Europe/Berlin"))},
    {"epoch": pa.nulls(3)},
    {"later": pa.array([{"a": 1}] * 3)},
])
def test_other_encodings_of_the_same_values_are_taken(column: dict[str, pa.Array]) -> None:
    assert decode(record(ipc(readings(**column)))).table.equals(decode(record(ipc(readings()))).table)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_streams_and_several_batches_are_taken(compression: str) -> None:
    table = pa.concat_tables([readings(), readings()])
    assert decode(record(ipc(table, compression=compression))).table.num_rows == 6


@pytest.mark.parametrize(("column", "said"), [
    ({"ts_ms": pa.array([NOW] * 3, pa.timestamp("ms"))}, "no zone"),
    ({"energy_mj": pa.array([0.0, 1.0, 2.0])}, "energy_mj is double, not int64"),
    ({"energy_mj": pa.array([2**63] * 3, pa.uint64())}, "energy_mj is uint64 and does not fit"),
    ({"node": pa.array([b"n"] * 3)}, "node is binary, not string"),
    ({"simulated": pa.array([1, 0, 1])}, "simulated is int64, not bool"),
])
def test_another_type_rejects_the_record_with_its_reason(column: dict[str, pa.Array], said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode(record(ipc(readings(**column))))


def test_a_column_given_twice_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["node", "node"])
    with pytest.raises(DecodeError, match="node stands there twice"):
        decode(record(ipc(table)))


def test_rows_and_texts_that_cost_no_bytes_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_ROWS", 1000)
    with pytest.raises(DecodeError, match="more than 1000 rows"):
        decode(record(ipc(pa.table({"node": pa.nulls(2000)}))))
    monkeypatch.setattr(decoding, "MAX_TEXT_BYTES", 1 << 20)
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int8()), pa.array(["x" * 10_000]))
    with pytest.raises(DecodeError, match="would unpack to"):
        decode(record(ipc(pa.table({"node": long}))))


@pytest.mark.parametrize(("changes", "said"), [
    ({"kind": "nothing"}, "unknown kind 'nothing'"),
    ({"version": "2.0"}, "another major"),
    ({"version": "one"}, "not MAJOR.MINOR"),
    ({"content_type": "text/plain"}, "neither"),
])
def test_what_is_unknown_is_refused_with_the_reason(changes: dict[str, str], said: str) -> None:
    with pytest.raises(DecodeError, match=said) as error:
        decode(record(ipc(readings()), **changes))
    assert error.value.reason == str(error.value)


def test_a_newer_minor_version_is_read() -> None:
    assert decode(record(ipc(readings(later=[1, 2, 3])), version="1.7")).table.num_rows == 3


def test_a_payload_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PAYLOAD_BYTES", 10)
    with pytest.raises(DecodeError, match="over the limit of 10"):
        decode(record(b"[" + b" " * 20 + b"]", content_type=JSON))


def grid(**changes: object) -> dict[str, object]:
    return {"zone": "ES", "start_ms": NOW, "end_ms": NOW + 3_600_000, "direct_g_per_kwh": 103.42} | changes


def of_json(value: object, kind: str = "grid", content_type: str = JSON) -> Decoded:
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode(record(payload, kind, content_type))


@pytest.mark.parametrize("value", [
    grid(), [grid()], grid(later={"deep": [1]}), b" \n" + json.dumps([grid()]).encode() + b" ",
])
def test_json_is_an_object_or_an_array_and_unknown_keys_are_ignored(value: object) -> None:
    out = of_json(value, content_type="application/json; charset=utf-8")
    assert out.table.select(list(grid())).to_pylist() == [grid()]
    assert out.table.schema.equals(kind_schema(KINDS["grid"]))


def test_a_wrong_type_rejects_its_row_only() -> None:
    out = of_json([grid(), {"zone": 3}, grid(zone="FR"), 7, grid(start_ms="soon"), grid(zone="PT")])
    assert out.table.column("zone").to_pylist() == ["ES", "FR", "PT"]
    assert out.rows.tolist() == [0, 2, 5]
    assert [r.row for r in out.rejects] == [1, 3, 4]
    assert out.rejects[0].body == '{"zone": 3}'
    assert "zone" in out.rejects[0].reason


def test_json_numbers_with_no_fraction_are_integers() -> None:
    out = of_json([grid(start_ms=float(NOW)), grid(start_ms=NOW + 0.5)])
    assert out.table.column("start_ms").to_pylist() == [NOW]
    assert [r.row for r in out.rejects] == [1]


def test_an_empty_text_is_not_given() -> None:
    assert of_json(grid(source="")).table.column("source").to_pylist() == [None]


def test_readings_may_come_as_json() -> None:
    out = of_json({"node": "n", "device": "d", "ts_ms": NOW, "energy_mj": 4}, "readings")
    assert check(out.table, KINDS["readings"], NOW).good.num_rows == 1


@pytest.mark.parametrize("payload", [
    b"", b"{", b"nonsense", b"[1,", b"\xff\xfe", b'{"zone":"\xff"}', b'{"zone":"\\ud800"}', b"[" * 100_000, b'{"later":' + b"[" * 100_000,
    b'[{"start_ms":' + b"9" * 5000 + b"}]", b'{"direct_g_per_kwh":1e999}', b"[{}]]", b"{}{}", b"[],[]", b"NaN",
])
def test_hostile_json_is_a_decode_error_or_a_rejected_row(payload: bytes) -> None:
    try:
        out = of_json(payload)
    except DecodeError:
        return
    assert out.rejects or out.table.num_rows <= 1


def _survives(payload: bytes, kind: str, content_type: str) -> bool:
    """Whether the payload gave rows; it must give sound ones, or a DecodeError."""
    try:
        out = decode(record(payload, kind, content_type))
    except DecodeError:
        return False
    assert out.table.schema.equals(kind_schema(KINDS[kind]))
    out.table.validate(full=True)
    assert len(out.rows) == out.table.num_rows
    check(out.table, KINDS[kind], NOW)
    return True


@given(st.binary(max_size=300), st.sampled_from(list(KINDS)), st.sampled_from([ARROW, JSON]))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_give_rows_or_a_decode_error(payload: bytes, kind: str, content_type: str) -> None:
    _survives(payload, kind, content_type)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4)
                    | st.dictionaries(st.sampled_from(["node", "ts_ms", "zone", "flop", "x"]), inner, max_size=4)),
       st.sampled_from(list(KINDS)))
@settings(max_examples=examples(200), deadline=None)
def test_any_json_gives_rows_or_a_decode_error(value: object, kind: str) -> None:
    _survives(json.dumps(value).encode(), kind, JSON)


def _flips(payload: bytes, rounds: int, seed: int) -> tuple[int, int]:
    """(how many damaged streams gave rows, how many a DecodeError); nothing else may come of any."""
    gave_rows = 0
    generator = random.Random(seed)
    for _ in range(rounds):
        damaged = bytearray(payload)
        for _ in range(generator.choice([1, 1, 1, 4])):
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(damaged)) :]
        gave_rows += _survives(bytes(damaged), "readings", ARROW)
    return gave_rows, rounds - gave_rows


ENCODINGS = [
    ipc(readings()), ipc(readings(), compression="zstd"), ipc(readings(node=pa.array(["n1"] * 3).dictionary_encode())),
    ipc(readings(node=pa.array(["n1"] * 3, pa.string_view()))),
    ipc(readings(node=pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array(["n1"])))),
]


@pytest.mark.parametrize("payload", ENCODINGS, ids=["plain", "zstd", "dictionary", "view", "run-ends"])
def test_flipped_bits_of_an_arrow_stream_never_escape(payload: bytes) -> None:
    gave_rows, refused = _flips(payload, 600, seed=1)
    assert gave_rows > 50, "a bit of a value is a value"
    assert refused > 50, "a bit of the framing is no stream"


@pytest.mark.slow
@pytest.mark.parametrize("payload", ENCODINGS, ids=["plain", "zstd", "dictionary", "view", "run-ends"])
def test_every_flipped_bit_of_an_arrow_stream_stays_inside(payload: bytes) -> None:
    for position in range(len(payload)):
        for bit in range(8):
            damaged = bytearray(payload)
            damaged[position] ^= 1 << bit
            _survives(bytes(damaged), "readings", ARROW)
    gave_rows, refused = _flips(payload, 20_000, seed=2)
    assert min(gave_rows, refused) > 1000


def test_row_numbers_are_integers() -> None:
    assert of_json([]).rows.dtype == np.int64


def test_what_waits_for_a_later_version_is_told_apart_among_others_too() -> None:
    found = decode_all([record(b"{}", "shifts", JSON), record(b"?", "jobs", JSON), record(b"{}", "jobs", JSON, "2.0")])
    assert [type(one) for one in found] == [NotYetError, DecodeError, NotYetError]


def test_an_unknown_name_that_is_no_text_is_told_of_and_ends_nothing() -> None:
    row = b'[{"job": "j", "node": "n", "start_ms": 1760000000000, "st\xf3(": 1}]'
    [found] = decode_all([record(row, "jobs", JSON)])
    assert isinstance(found, Decoded)
    assert (found.table.num_rows, found.unknown) == (1, {"(a name that cannot be read)": 1})
