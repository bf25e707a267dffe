"""The energy kernel against the oracle, and the invariants that must hold whatever the input."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from how_many import examples
from oracle import energy as oracle
from oracle.intervals import CLASSES, Settings, device_pieces
from oracle.tree import HOUR_MS, Cell
from oracle.worlds import CUT_TYPES, DEVICE_TYPES, JOB_TYPES, PLACE_TYPES, READING_TYPES, table, walled_worlds, worlds
from wattlake_contracts.tables import FACT_ENERGY
from wattlake_pipelines.account.kernels import energy as kernel
from wattlake_pipelines.account.kernels.intervals import FLAGS

SETTINGS = Settings()
thorough = settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
brief = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def by_kernel(world: dict, limits: Settings = SETTINGS) -> list[dict]:
    """What the kernel makes of a world."""
    facts = kernel.energy_facts(
        table(world["readings"], READING_TYPES), np.array(world["hours_ms"], np.int64), table(world["jobs"], JOB_TYPES),
        table(world["places"], PLACE_TYPES), table(world["cuts"], CUT_TYPES), table(world["devices"], DEVICE_TYPES),
        kernel.Settings(*limits),
    )
    assert tuple(facts.column_names) == FACT_ENERGY.names
    return facts.to_pylist()


def by_oracle(world: dict, limits: Settings = SETTINGS) -> list[dict]:
    """What the oracle makes of it."""
    names = ("readings", "hours_ms", "jobs", "places", "cuts", "devices")
    return oracle.energy_facts(*(world[n] for n in names), limits)


@thorough
@given(worlds(), st.sampled_from((SETTINGS, SETTINGS, Settings(1_000, 1.1), Settings(10**12, 100.0),
                                  Settings(300_000, 1.5, 3_600_000), Settings(10**12, 1.5, 300_000))))
def test_every_row_is_the_oracles(world: dict, limits: Settings) -> None:
    assert by_kernel(world, limits) == by_oracle(world, limits)


@pytest.mark.parametrize("flag", FLAGS)
def test_the_worlds_that_are_drawn_hold_every_flag(flag: str) -> None:
    """Of 600 worlds 195 have a limit that drops an interval, and 58 a row that is flagged for it."""
    enough = settings(max_examples=2000, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    found = find(worlds(), lambda world: any(flag in (row["flags"] or "").split(",") for row in by_oracle(world)), settings=enough, random=random.Random(1))
    assert found["readings"]


@brief
@given(worlds(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_rows_do_not_show(world: dict, chance: random.Random) -> None:
    again = {name: rows + [dict(r) for r in rows if chance.random() < 0.3] if name in ("readings", "cuts", "jobs") else list(rows)
             for name, rows in world.items()}
    for name in ("readings", "jobs", "places", "cuts", "devices"):
        chance.shuffle(again[name])
    assert by_kernel(again) == by_kernel(world)


@brief
@given(worlds())
def test_hours_one_by_one_give_what_they_give_together(world: dict) -> None:
    apart = [row for hour in sorted(world["hours_ms"]) for row in by_kernel(world | {"hours_ms": [hour]})]
    assert apart == by_kernel(world)


@brief
@given(worlds(steady=True))
def test_jobs_never_change_what_a_device_used(world: dict) -> None:
    with_jobs, without = used(by_kernel(world)), used(by_kernel(world | {"jobs": []}))
    assert {k: v for k, v in with_jobs.items() if any(v)} == {k: v for k, v in without.items() if any(v)}


def used(rows: list[dict]) -> dict[tuple, list[int]]:
    """Energy by class, of each node and period: a job's edge may move energy between a device and its parent's rest, never make any."""
    sums: dict[tuple, list[int]] = {}
    for row in rows:
        total = sums.setdefault((row["start_ms"], row["node"]), [0] * len(CLASSES))
        for i, klass in enumerate(CLASSES):
            total[i] += row[f"{klass}_mj"]
    return sums


@brief
@given(worlds())
def test_leaves_add_up_to_the_roots_and_classes_to_the_energy(world: dict) -> None:
    rows = by_kernel(world)
    assert all(r["energy_mj"] == sum(r[f"{k}_mj"] for k in CLASSES) for r in rows)
    assert {k: v for k, v in used(rows).items() if any(v)} == {k: v for k, v in used_by_roots(world).items() if any(v)}


def used_by_roots(world: dict) -> dict[tuple, list[int]]:
    """Energy by class of the devices without a parent, cell by cell: straight from the pieces, without leaves."""
    sums: dict[tuple, list[int]] = {}
    of_node: dict[str, dict] = {}
    for (node, device), pieces in device_pieces(world["readings"], world["devices"], SETTINGS).items():
        of_node.setdefault(node, {})[device] = pieces
    for node, pieces in of_node.items():
        for hour in world["hours_ms"]:
            known = {d: found for d, all_ in pieces.items() if (found := [p for p in all_ if p.touches(hour, hour + HOUR_MS)])}
            edges = oracle.cell_edges(node, hour, known, world["jobs"], world["cuts"], world["devices"])
            periods = oracle.period_edges(node, hour, world["cuts"])
            for start, end in itertools.pairwise(edges):
                cell = Cell(node, start, end, known, world["devices"])
                total = sums.setdefault((max(t for t in periods if t <= start), node), [0] * len(CLASSES))
                for device in cell.here:
                    if cell.parent[device] is None:
                        for i, klass in enumerate(CLASSES):
                            total[i] += cell.own(device)[klass]
    return sums


@brief
@given(walled_worlds())
def test_under_a_wall_meter_each_joule_counts_once_whatever_the_inventory_says(world: dict) -> None:
    """One device of the highest rank covers the hour: all lines of the node in a period add up to its own energy there, class by class."""
    rows = by_kernel(world)
    assert rows == by_oracle(world)
    meter = device_pieces(world["readings"], world["devices"], SETTINGS)["n", "meter"]
    periods = {r["start_ms"]: r["end_ms"] for r in rows}
    assert {start - start % HOUR_MS for start in periods} == set(world["hours_ms"])
    assert {start: total for (start, _), total in used(rows).items()} == {
        start: [sum(p.energy(start, end) for p in meter if p.of.klass == klass and p.touches(start, end)) for klass in CLASSES]
        for start, end in periods.items()}


@brief
@given(worlds())
def test_a_device_without_relatives_closes_on_its_counter(world: dict) -> None:
    """One device per node: its lines in a period add up to the difference of its counter there, class by class."""
    world = world | {"readings": [r for r in world["readings"] if r["device"] == world["readings"][0]["device"]], "devices": []}
    got: dict[tuple, list[int]] = {}
    for row in by_kernel(world):
        total = got.setdefault((row["node"], row["start_ms"], row["end_ms"]), [0] * len(CLASSES))
        for i, klass in enumerate(CLASSES):
            total[i] += row[f"{klass}_mj"]
    pieces = device_pieces(world["readings"], [], SETTINGS)
    for (node, start, end), total in got.items():
        of_node = [p for (n, _), found in pieces.items() if n == node for p in found if p.touches(start, end)]
        assert total == [sum(p.energy(start, end) for p in of_node if p.of.klass == klass) for klass in CLASSES]


@brief
@given(worlds())
def test_rows_tell_themselves_apart_and_speak_of_hours_asked_for(world: dict) -> None:
    rows = by_kernel(world)
    keys = [oracle.row_order(r) for r in rows]
    assert keys == sorted(set(keys))
    assert all(r["start_ms"] // HOUR_MS * HOUR_MS in world["hours_ms"] and r["end_ms"] > r["start_ms"] for r in rows)
    assert all((r["job"] is None) == (r["line"] == "unattributed") and 0 <= r["coverage"] <= 1 for r in rows)
