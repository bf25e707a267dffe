"""Worked examples of docs/accounting.md, sections 1 to 5: each figure can be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wattlake_pipelines.account.kernels import counter as counter_module
from wattlake_pipelines.account.kernels import intervals, runs, series, texts
from wattlake_pipelines.account.kernels.energy import Settings, energy_facts

HOUR = 3_600_000
T0 = 490_000 * HOUR
READING = {"node": "n1", "device": "gpu0", "device_kind": "gpu", "epoch": "e1", "energy_mj": None, "power_mw": None,
           "method": "counter", "boundary": "component", "simulated": False}
SCHEMAS: dict[str, Any] = {
    "readings": pa.schema([("node", pa.string()), ("device", pa.string()), ("device_kind", pa.string()), ("epoch", pa.string()),
                           ("ts_ms", pa.int64()), ("energy_mj", pa.int64()), ("power_mw", pa.int64()), ("method", pa.string()),
                           ("boundary", pa.string()), ("simulated", pa.bool_())]),
    "jobs": pa.schema([("job", pa.string()), ("node", pa.string()), ("device", pa.string()), ("start_ms", pa.int64()),
                       ("end_ms", pa.int64()), ("share_ppm", pa.int64())]),
    "places": pa.schema([("node", pa.string()), ("site", pa.string()), ("zone", pa.string()), ("start_ms", pa.int64()),
                         ("end_ms", pa.int64())]),
    "cuts": pa.schema([("node", pa.string()), ("cut_ms", pa.int64())]),
    "devices": pa.schema([("node", pa.string()), ("device", pa.string()), ("parent", pa.string()), ("max_power_mw", pa.int64()),
                          ("start_ms", pa.int64()), ("end_ms", pa.int64())]),
}


def counter(points: list[tuple[int, int]], **over: Any) -> list[dict[str, Any]]:
    """Readings of a counter: (seconds after T0, mJ)."""
    return [{**READING, "ts_ms": T0 + s * 1000, "energy_mj": e, **over} for s, e in points]


def power(points: list[tuple[int, int]], **over: Any) -> list[dict[str, Any]]:
    """Readings of power: (seconds after T0, mW)."""
    return [{**READING, "ts_ms": T0 + s * 1000, "power_mw": p, "method": "integrated", **over} for s, p in points]


def job(name: str, start: float, end: float, device: str | None = None, share: int = 1_000_000, node: str = "n1") -> dict[str, Any]:
    return {"job": name, "node": node, "device": device, "share_ppm": share,
            "start_ms": T0 + int(start * 1000), "end_ms": T0 + int(end * 1000)}


def device(name: str, parent: str | None = None, max_power_mw: int | None = None, start: int = -2**62, end: int = 2**62) -> dict[str, Any]:
    return {"node": "n1", "device": name, "parent": parent, "max_power_mw": max_power_mw, "start_ms": start, "end_ms": end}


def facts(readings: list[dict[str, Any]], *, hours: tuple[int, ...] = (0,), settings: Settings | None = None,
          **tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = {name: pa.Table.from_pylist(tables.get(name, []), schema=SCHEMAS[name]) for name in ("jobs", "places", "cuts", "devices")}
    return energy_facts(pa.Table.from_pylist(readings, schema=SCHEMAS["readings"]), np.array([T0 + h * HOUR for h in hours]),
                        **made, settings=settings or Settings()).to_pylist()


def lines(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


MINUTES = [(60 * i, 6000 * i) for i in range(61)]  # 100 W for an hour, read each minute


def test_an_hour_of_a_counter_is_its_difference_and_fully_covered():
    assert facts(counter(MINUTES)) == [{
        "start_ms": T0, "end_ms": T0 + HOUR, "site": None, "zone": None, "node": "n1", "device": "gpu0", "device_kind": "gpu",
        "line": "unattributed", "job": None, "boundary": "component", "simulated": False, "energy_mj": 360_000,
        "measured_mj": 360_000, "integrated_mj": 0, "estimated_mj": 0, "imputed_mj": 0, "coverage": 1.0, "flags": None}]


def test_a_job_on_a_device_has_what_the_counter_says_between_its_edges():
    rows = facts(counter(MINUTES), jobs=[job("a", 90.0005, 150.25, "gpu0")])
    assert lines(rows, "line", "job", "energy_mj") == [("job_active", "a", 6025), ("unattributed", None, 353_975)]


def test_two_halves_of_a_device_and_an_odd_joule_go_by_largest_remainder():
    rows = facts(counter([(0, 0), (60, 7)]), jobs=[job("b", 0, 60, "gpu0", 500_000), job("a", 0, 60, "gpu0", 250_000)])
    # 7 mJ: a 1.75, b 3.5, unattributed 1.75: floors 1, 3, 1, two left to a and unattributed
    assert lines(rows, "job", "energy_mj") == [("a", 2), ("b", 3), (None, 2)]


def test_more_than_a_whole_device_is_split_by_weight_and_flagged():
    rows = facts(counter([(0, 0), (60, 9)]), jobs=[job("a", 0, 60), job("b", 0, 60, "gpu0", 500_000)])
    assert lines(rows, "job", "energy_mj", "flags") == [("a", 6, "oversubscribed"), ("b", 3, "oversubscribed"), (None, 0, "oversubscribed")]


def test_the_greatest_share_of_a_job_that_holds_a_device_twice_counts():
    rows = facts(counter([(0, 0), (60, 100)]), jobs=[job("a", 0, 60, "gpu0", 250_000), job("a", 0, 60, None, 100_000)])
    assert lines(rows, "job", "energy_mj") == [("a", 25), (None, 75)]


def test_a_duplicate_keeps_the_greater_value_and_flags_what_it_touches():
    rows = facts(counter([(0, 0), (60, 10), (60, 12), (120, 20)]))
    assert lines(rows, "energy_mj", "flags") == [(20, "conflict")]
    assert lines(facts(counter([(0, 0), (60, 10), (60, 10), (120, 20)])), "energy_mj", "flags") == [(20, None)]


def test_an_outlier_is_left_out_and_flagged():
    assert lines(facts(counter([(0, 0), (60, 900), (120, 20)])), "energy_mj", "flags") == [(20, "outlier")]


def test_a_lasting_fall_begins_an_implied_epoch_and_nothing_is_known_across_it():
    rows = facts(counter([(0, 100), (60, 200), (120, 5), (180, 25)]))
    assert lines(rows, "energy_mj", "coverage") == [(120, 120 / 3600)]


def test_powers_are_integrated_by_trapezoid_epochs_together():
    rows = facts(power([(0, 100_000)], epoch="x") + power([(60, 200_001)], epoch="y"))
    assert lines(rows, "energy_mj", "integrated_mj") == [(9_000_030, 9_000_030)]


def test_a_long_gap_is_imputed_and_not_covered():
    rows = facts(counter([(0, 0), (60, 60), (660, 660), (720, 720)]))
    assert lines(rows, "measured_mj", "imputed_mj", "coverage") == [(120, 600, 120 / 3600)]


def test_a_gap_of_a_year_and_more_is_exact():
    rows = facts(counter([(-200 * 86_400, 0), (200 * 86_400, 10**15)]), hours=(0, 1))
    d, length, half = 10**15, 400 * 86_400_000, 200 * 86_400_000
    at = [(2 * d * (half + h * HOUR) + length) // (2 * length) for h in range(3)]
    assert lines(rows, "imputed_mj", "coverage") == [(at[1] - at[0], 0.0), (at[2] - at[1], 0.0)]


def test_power_beyond_what_the_device_can_draw_is_dropped():
    points = [(0, 0), (1, 1_500), (2, 3_001), (3, 3_002)]
    assert lines(facts(counter(points), devices=[device("gpu0", max_power_mw=1_000)]), "energy_mj", "coverage") == [(1501, 2 / 3600)]
    assert lines(facts(counter(points)), "energy_mj") == [(3002,)]


def test_a_counter_wins_over_powers_where_both_are_known():
    rows = facts(counter([(0, 0), (60, 60)]) + power([(30, 2000), (90, 2000)]))
    # the counter's minute, then half of the powers' interval of 120 mJ
    assert lines(rows, "measured_mj", "integrated_mj", "flags", "coverage") == [(60, 60_000, "overlap", 90 / 3600)]


def test_the_rest_of_a_node_is_its_own_less_its_children_and_signed():
    node = counter([(0, 0), (3600, 1000)], device="node", device_kind="node", boundary="node_dc")
    gpu = counter([(0, 0), (3600, 1100)])
    rows = facts(node + gpu, settings=Settings(long_gap_ms=HOUR))
    assert lines(rows, "device", "device_kind", "boundary", "energy_mj") == [
        ("gpu0", "gpu", "component", 1100), ("node.rest", "rest", "node_dc", -100)]


def test_a_part_that_is_not_read_throughout_leaves_the_rest_flagged():
    node = counter([(0, 0), (3600, 3600)], device="node", device_kind="node", boundary="node_dc")
    gpu = counter([(0, 0), (1800, 900)])
    rows = facts(node + gpu, settings=Settings(long_gap_ms=HOUR))
    assert lines(rows, "device", "energy_mj", "flags") == [("gpu0", 900, None), ("node.rest", 2700, "parts_missing")]


def test_where_the_node_is_not_read_its_parts_are_leaves_alone():
    node = counter([(0, 0), (1800, 1800)], device="node", device_kind="node", boundary="node_dc")
    gpu = counter([(0, 0), (3600, 360)])
    rows = facts(node + gpu, settings=Settings(long_gap_ms=HOUR))
    assert lines(rows, "device", "energy_mj", "coverage") == [("gpu0", 360, 1.0), ("node.rest", 1620, 0.5)]


def test_only_cpu_and_dram_are_within_a_psys():
    hour = [(0, 0), (3600, 1000)]
    psys = counter([(0, 0), (3600, 3000)], device="psys0", device_kind="psys")
    parts = counter(hour, device="cpu0", device_kind="cpu") + counter(hour) + psys
    rows = facts(parts, settings=Settings(long_gap_ms=HOUR))
    assert lines(rows, "device", "energy_mj") == [("cpu0", 1000), ("gpu0", 1000), ("psys0.rest", 2000)]


WALL = counter([(0, 0), (3600, 5000)], device="wall", device_kind="node", boundary="node_ac")
ALL_HOUR = [(0, 0), (3600, 1000)]
UNCUT = Settings(long_gap_ms=HOUR)


@pytest.mark.parametrize("devices", [
    [device("gpu0", parent="psu0")],  # a supply that nobody reads
    [device("gpu0", parent="tray"), device("tray", parent="chassis"), device("chassis", parent="wall")],
    [device("gpu0", parent="tray"), device("tray", parent="gpu0")],
])
def test_a_gpu_in_something_unread_is_counted_once_under_the_wall_meter(devices: list[dict[str, Any]]):
    rows = facts(counter(ALL_HOUR) + WALL, settings=UNCUT, devices=devices)
    assert lines(rows, "device", "energy_mj") == [("gpu0", 1000), ("wall.rest", 4000)]


def test_a_supply_read_for_half_of_the_hour_holds_its_gpu_for_that_half_and_the_wall_meter_for_the_other():
    supply = counter([(0, 0), (1800, 900)], device="psu0", device_kind="psu", boundary="node_dc")
    rows = facts(counter(ALL_HOUR) + supply + WALL, settings=UNCUT, devices=[device("gpu0", parent="psu0"), device("psu0", parent="wall")])
    assert lines(rows, "device", "energy_mj") == [("gpu0", 1000), ("psu0.rest", 400), ("wall.rest", 5000 - 900 - 500)]


def test_parts_that_name_each_other_are_both_below_the_wall_meter():
    rows = facts(counter(ALL_HOUR) + counter(ALL_HOUR, device="gpu1") + WALL, settings=UNCUT,
                 devices=[device("gpu0", parent="gpu1"), device("gpu1", parent="gpu0")])
    assert lines(rows, "device", "energy_mj") == [("gpu0", 1000), ("gpu1", 1000), ("wall.rest", 3000)]


def test_parents_named_in_a_circle_count_as_none():
    hour = [(0, 0), (3600, 1000)]
    rows = facts(counter(hour) + counter(hour, device="gpu1"), settings=Settings(long_gap_ms=HOUR),
                 devices=[device("gpu0", parent="gpu1"), device("gpu1", parent="gpu0")])
    assert lines(rows, "device", "energy_mj") == [("gpu0", 1000), ("gpu1", 1000)]


def test_a_job_on_a_parent_holds_its_rest_and_one_on_the_node_holds_all():
    hour = [(0, 0), (3600, 1000)]
    node = counter([(0, 0), (3600, 1500)], device="node", device_kind="node", boundary="node_ac")
    rows = facts(node + counter(hour), settings=Settings(long_gap_ms=HOUR), jobs=[job("all", 0, 1800), job("wall", 1800, 3600, "node")])
    assert lines(rows, "device", "job", "energy_mj") == [
        ("gpu0", "all", 500), ("gpu0", None, 500), ("node.rest", "all", 250), ("node.rest", "wall", 250), ("node.rest", None, 0)]


def test_periods_are_cut_and_stand_where_the_node_stood():
    rows = facts(counter(MINUTES), cuts=[{"node": "n1", "cut_ms": T0 + HOUR // 4}],
                 places=[{"node": "n1", "site": "s", "zone": "z", "start_ms": T0 + HOUR // 4, "end_ms": T0 + HOUR}])
    assert lines(rows, "start_ms", "end_ms", "site", "zone", "energy_mj") == [
        (T0, T0 + HOUR // 4, None, None, 90_000), (T0 + HOUR // 4, T0 + HOUR, "s", "z", 270_000)]


def test_only_the_hours_asked_for_have_rows():
    rows = facts(counter([(600 * i, i) for i in range(40)]), hours=(0, 5, 3), settings=Settings(long_gap_ms=HOUR))
    assert lines(rows, "start_ms", "energy_mj") == [(T0, 6), (T0 + 3 * HOUR, 6), (T0 + 5 * HOUR, 6)]


def test_no_readings_or_none_in_the_hour_make_no_rows():
    assert facts([]) == []
    assert facts(counter([(0, 0), (60, 1)]), hours=(2,)) == []
    assert facts(counter([(0, 0)])) == []


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_neither_order_nor_chunks_nor_encoding_show(chunk: int):
    rng = np.random.default_rng(1)
    rows = [r for n in ("n2", "n1") for d in ("gpu1", "gpu0") for r in counter([(30 * i, 40 * i) for i in range(100)], node=n, device=d)]
    rows += power([(45 * i, 1000 * (i % 7)) for i in range(90)], device="gpu0") + counter([(50, 70), (3000, 9)], device="gpu1")
    jobs = [job("a", 10, 2000), job("b", 500, 3000, "gpu1", 400_000)]
    want = facts(rows, jobs=jobs)
    assert sum(r["energy_mj"] for r in want) > 0
    mixed = [rows[i] for i in rng.permutation(len(rows))]
    assert facts(mixed, jobs=jobs) == want
    table = pa.Table.from_pylist(mixed, schema=SCHEMAS["readings"])
    pieces = pa.concat_tables([table.slice(i, chunk) for i in range(0, len(rows), chunk)])
    for name in ("node", "device", "epoch", "device_kind", "method", "boundary"):
        place = pieces.schema.get_field_index(name)
        pieces = pieces.set_column(place, name, pa.chunked_array([c.dictionary_encode() for c in pieces.column(name).chunks]))
    others = {"jobs": jobs, "places": [], "cuts": [], "devices": []}
    made = {name: pa.Table.from_pylist(rows, schema=SCHEMAS[name]) for name, rows in others.items()}
    assert energy_facts(pieces, np.array([T0]), **made, settings=Settings()).to_pylist() == want


def test_an_overlap_flags_whole_intervals_and_what_it_leaves_of_them():
    # the powers of 60..120 s meet the counter by a second only; those of 120..180 s do not
    rows = facts(counter([(0, 0), (60, 60), (61, 61)]) + power([(60, 1000), (120, 1000), (180, 1000)]), cuts=[
        {"node": "n1", "cut_ms": T0 + s * 1000} for s in (60, 120)])
    assert lines(rows, "measured_mj", "integrated_mj", "flags") == [(60, 0, None), (1, 59_000, "overlap"), (0, 60_000, None)]


def test_of_two_epochs_at_once_the_smaller_by_code_point_holds():
    rows = facts(counter([(0, 0), (60, 600)], epoch="é") + counter([(30, 0), (90, 60)], epoch="z"))
    assert lines(rows, "energy_mj", "flags") == [(60 + 300, "overlap")]


def test_powers_over_a_gap_of_a_year_and_more_are_exact():
    rows = facts(power([(-17 * 10**6, 10**8 + 1), (17 * 10**6, 10**8)]), hours=(0,))
    d, length = ((2 * 10**8 + 1) * 34 * 10**9 + 1000) // 2000, 34 * 10**9
    half = length // 2
    assert lines(rows, "imputed_mj") == [((2 * d * (half + HOUR) + length) // (2 * length) - (2 * d * half + length) // (2 * length),)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("block", [2, 5, 1 << 16])
def test_neither_block_nor_string_type_shows(kind: pa.DataType, block: int, monkeypatch: pytest.MonkeyPatch):
    names = [("n1", "gpu0"), ("n1", "gpu10"), ("n1", ""), ("n10", "gpu0"), ("né", "cpu0"), ("né", "cpu1")]
    rows = [r for n, d in names for r in counter([(60 * i, 50 * i + (400 if i == 5 else 0)) for i in range(9)], node=n, device=d)]
    rows += [{**r, "epoch": "e2", "ts_ms": r["ts_ms"] + 700_000} for r in rows] + rows[3:7] + power([(45 * i, 9 + i) for i in range(9)])
    want = facts(rows)
    assert [r["device"] for r in want] == ["", "gpu0", "gpu10", "gpu0", "cpu0", "cpu1"]
    for module in (counter_module, intervals, runs, series, texts):
        monkeypatch.setattr(module, "BLOCK", block)
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["readings"])
    for i, field in enumerate(table.schema):
        if field.type == pa.string():
            table = table.set_column(i, field.name, table.column(i).cast(kind))
    made = {name: SCHEMAS[name].empty_table() for name in ("jobs", "places", "cuts", "devices")}
    assert energy_facts(table.slice(0), np.array([T0]), **made, settings=Settings()).to_pylist() == want
