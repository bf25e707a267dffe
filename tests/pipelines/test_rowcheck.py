"""The row checks against a slow, obvious reading of the contract."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from wattlake_contracts.column import Type
from wattlake_contracts.kind import AHEAD_MS, Kind
from wattlake_contracts.kinds import KINDS
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.arrow_schema import ARROW_TYPES, conform, kind_schema, table_schema
from wattlake_pipelines.rowcheck import MAX_TEXT_BYTES, check

NOW = 1_700_000_000_000
READINGS = KINDS["readings"]


def reading(**changes: object) -> dict[str, object]:
    return {"node": "n1", "device": "gpu0", "ts_ms": NOW, "energy_mj": 5} | changes


def rows_of(rows: list[dict[str, object]], kind: Kind = READINGS) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=kind_schema(kind))


def fine(row: dict[str, object], kind: Kind, appended: int | None) -> bool:
    """The contract, read column by column for one row."""
    for column in kind.columns:
        value = row.get(column.name)
        if value is None:
            if column.required:
                return False
            continue
        if column.type is Type.STRING and ((column.choices and value not in column.choices) or (column.required and value == "")):
            return False
        if column.reserved_start and value.startswith(column.reserved_start):
            return False
        if column.reserved_ending and value.endswith(column.reserved_ending):
            return False
        if column.type in {Type.INT, Type.FLOAT}:
            if not math.isfinite(value):
                return False
            if (column.minimum is not None and value < column.minimum) or (column.maximum is not None and value > column.maximum):
                return False
    for rule in kind.rules:
        values = [row.get(c) for c in rule.columns]
        count = sum(v is not None for v in values)
        if rule.form == "ordered" and count == 2 and values[0] >= values[1]:
            return False
        if rule.form == "at_most" and count == 2 and values[0] > values[1]:
            return False
        if (rule.form == "any_of" and count == 0) or (rule.form == "one_of" and count != 1):
            return False
    return appended is None or all(row[name] is None or row[name] <= appended + AHEAD_MS for name in kind.happened)


def cell(kind: Kind, name: str) -> st.SearchStrategy[object]:
    column = kind.column(name)
    if column.type is Type.STRING:
        endings = [e for end in filter(None, [column.reserved_ending]) for e in (end, f"x{end}", f"x{end}.", f"x{end[1:]}", end.upper())]
        starts = [s for start in filter(None, [column.reserved_start]) for s in (start, f"{start}none)", f"x{start}", f" {start}")]
        return st.sampled_from([None, "", "x", *column.choices[:2], *endings, *starts])
    if column.type is Type.BOOL:
        return st.sampled_from([None, True, False])
    edges = [v for b in (column.minimum, column.maximum) if b is not None for v in (b - 1, b, b + 1)]
    if column.type is Type.INT:
        return st.sampled_from([None, NOW, NOW + AHEAD_MS, NOW + AHEAD_MS + 1, *map(int, edges)])
    return st.sampled_from([None, 0.5, math.nan, math.inf, -math.inf, *map(float, edges)])


@pytest.mark.parametrize("name", list(KINDS))
@given(data=st.data())
@settings(max_examples=examples(200), deadline=None)
def test_splits_rows_as_the_contract_says(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    rows = data.draw(st.lists(st.fixed_dictionaries({c.name: cell(kind, c.name) for c in kind.columns}), max_size=6))
    appended = data.draw(st.sampled_from([None, NOW]))
    table = rows_of(rows, kind)
    checked = check(table, kind, appended)
    expected = [fine(row, kind, appended) for row in rows]
    assert checked.bad_index.tolist() == [i for i, good in enumerate(expected) if not good]
    assert checked.good.equals(table.filter(pa.array(expected, pa.bool_())))
    assert len(checked.reasons) == len(checked.bad_index)
    assert all(checked.reasons.to_pylist())


@pytest.mark.parametrize(("change", "said"), [
    ({"node": None}, "node is missing"),
    ({"device": ""}, "device is empty"),
    ({"device": "gpu0.rest"}, "a device name may not end in .rest: 'gpu0.rest'"),
    ({"device": ".rest"}, "a device name may not end in .rest: '.rest'"),
    ({"energy_mj": -5}, "energy_mj is -5 mJ, below the minimum of 0 mJ"),
    ({"energy_mj": 2**53 + 1}, "energy_mj is 9007199254740993 mJ, above the maximum of 9007199254740992 mJ"),
    ({"device_kind": "tpu"}, "device_kind is 'tpu', not one of gpu, cpu,"),
    ({"ts_ms": NOW // 1000}, "are these seconds?"),
    ({"ts_ms": NOW * 1000}, "are these micro- or nanoseconds?"),
    ({"power_mw": 3}, "needs exactly one of energy and power (energy_mj, power_mw)"),
    ({"energy_mj": None}, "needs exactly one of energy and power (energy_mj, power_mw)"),
    ({"ts_ms": NOW + AHEAD_MS + 1}, f"more than 24 h after its record was written down ({NOW} ms)"),
])
def test_a_reason_names_column_value_bound_and_unit(change: dict[str, object], said: str) -> None:
    checked = check(rows_of([reading(), reading(**change), reading()]), READINGS, NOW)
    assert checked.bad_index.tolist() == [1]
    assert said in checked.reasons[0].as_py()
    assert checked.good.num_rows == 2


@pytest.mark.parametrize(("kind", "row", "name"), [
    ("jobs", {"job": "j", "node": "n", "start_ms": NOW, "end_ms": NOW + AHEAD_MS + 1}, "end_ms"),
    ("jobs", {"job": "j", "node": "n", "start_ms": NOW + AHEAD_MS + 1}, "start_ms"),
    ("transfers", {"id": "x", "ts_ms": NOW + AHEAD_MS + 1, "bytes": 1, "medium": "wan", "from_site": "s", "to_site": "t"}, "ts_ms"),
    ("serving", {"model": "m", "ts_ms": NOW + AHEAD_MS + 1, "epoch": "e", "requests": 0, "tokens_in": 0, "tokens_out": 0}, "ts_ms"),
])
def test_nothing_that_happened_lies_ahead_of_its_record(kind: str, row: dict[str, object], name: str) -> None:
    checked = check(rows_of([row], KINDS[kind]), KINDS[kind], NOW)
    assert checked.reasons.to_pylist() == [
        f"{name} is {NOW + AHEAD_MS + 1} ms, more than 24 h after its record was written down ({NOW} ms): "
        "its clock is wrong, or what it tells of has not happened yet"]
    assert check(rows_of([row], KINDS[kind]), KINDS[kind], NOW + 1).good.num_rows == 1


def test_what_is_forecast_may_lie_ahead() -> None:
    grid = {"zone": "Z", "start_ms": NOW + 2 * AHEAD_MS, "end_ms": NOW + 3 * AHEAD_MS, "direct_g_per_kwh": 1.0}
    assert check(rows_of([grid], KINDS["grid"]), KINDS["grid"], NOW).good.num_rows == 1


def test_the_inventory_may_not_tell_of_a_device_that_is_called_as_a_rest_is() -> None:
    nodes = KINDS["nodes"]
    checked = check(rows_of([{"node": "n1", "device": d} for d in (None, "gpu0", "gpu0.rest", "interest", ".rest.0")], nodes), nodes, NOW)
    assert checked.bad_index.tolist() == [2]
    assert checked.reasons.to_pylist() == ["a device name may not end in .rest: 'gpu0.rest' (the facts use that ending)"]


@pytest.mark.parametrize("name", ["job", "team", "project", "model"])
def test_nothing_may_be_called_as_reports_call_what_has_none(name: str) -> None:
    jobs = KINDS["jobs"]
    row = {"job": "j", "node": "n", "start_ms": NOW}
    checked = check(rows_of([row | {name: told} for told in ("x", "(none)", "(", "a(b)", "(unattributed)")], jobs), jobs, NOW)
    assert checked.bad_index.tolist() == [1, 2, 4]
    assert checked.reasons[0].as_py() == f"a {name} name may not begin with (: '(none)' (reports call so what has none)"


def test_each_row_has_its_own_record_time() -> None:
    table = rows_of([reading(ts_ms=NOW), reading(ts_ms=NOW)])
    checked = check(table, READINGS, pa.array([NOW, NOW - AHEAD_MS - 1]))
    assert checked.bad_index.tolist() == [1]
    assert str(NOW - AHEAD_MS - 1) in checked.reasons[0].as_py()


def test_several_faults_of_a_row_are_all_told_and_stay_with_their_row() -> None:
    rows = [reading(), reading(node=None, energy_mj=-1), reading(), reading(device_kind="x"), reading()]
    checked = check(rows_of(rows), READINGS, NOW)
    assert checked.bad_index.tolist() == [1, 3]
    first, second = checked.reasons.to_pylist()
    assert "node is missing" in first
    assert "energy_mj is -1" in first
    assert second.startswith("device_kind is 'x'")


def test_absent_columns_are_null_and_unknown_ones_of_a_newer_minor_are_ignored() -> None:
    table = pa.table({"later": ["?"], "ts_ms": pa.array([NOW]), "node": ["n"], "device": ["d"], "power_mw": pa.array([1])})
    checked = check(table, READINGS, NOW)
    assert checked.good.schema.equals(kind_schema(READINGS))
    assert checked.good.column("epoch").null_count == 1
    assert not len(checked.bad_index)


def test_another_type_is_refused_not_converted() -> None:
    with pytest.raises(ValueError, match="column ts_ms is int32, not int64"):
        conform(pa.table({"ts_ms": pa.array([1], pa.int32())}), kind_schema(READINGS))


@pytest.mark.parametrize("lengths", [[4], [1, 3], [0, 4, 0], [2, 0, 2]])
def test_chunks_and_slices_do_not_matter(lengths: list[int]) -> None:
    rows = [reading(device_kind="gpu"), reading(device_kind="gpu"), reading(device_kind="gpo"), reading(device_kind="gpu")]
    parts, start = [], 0
    longer = rows_of([reading(device_kind="psu"), *rows, reading(device_kind="cpu")])
    for length in lengths:
        parts.append(longer.slice(1 + start, length))
        start += length
    checked = check(pa.concat_tables(parts), READINGS, NOW)
    assert checked.bad_index.tolist() == [2]


def test_no_rows_are_fine() -> None:
    checked = check(kind_schema(READINGS).empty_table(), READINGS, NOW)
    assert checked.good.num_rows == 0
    assert checked.bad_index.dtype == np.int64


def test_schemas_follow_the_contract() -> None:
    for kind in KINDS.values():
        assert [(f.name, f.type) for f in kind_schema(kind)] == [(c.name, ARROW_TYPES[c.type]) for c in kind.columns]
    for table in TABLES.values():
        assert tuple(table_schema(table).names) == table.names


def test_a_text_may_be_so_long_and_no_longer() -> None:
    texts = ["é" * (MAX_TEXT_BYTES // 2), "é" * (MAX_TEXT_BYTES // 2) + "x", None, "short"]
    row = {"job": "j", "node": "n", "start_ms": 1_700_000_000_000}
    checked = check(pa.Table.from_pylist([row | {"project": t} for t in texts], kind_schema(KINDS["jobs"])), KINDS["jobs"])
    assert checked.bad_index.tolist() == [1]
    assert checked.reasons.to_pylist() == ["project is a text of 65537 bytes, over the limit of 65536"]
