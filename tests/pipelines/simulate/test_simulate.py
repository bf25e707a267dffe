"""A simulated fleet: repeatable, marked, decodable, and with figures that are known to be true."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wattlake_contracts.errors import UsageError
from wattlake_contracts.factors import starter_embodied, starter_grid
from wattlake_contracts.filelog.format import MAX_RECORD_BYTES
from wattlake_contracts.filelog.partition import partitions
from wattlake_contracts.filelog.reader import bounds, read
from wattlake_contracts.kinds import KINDS, NODE_EVENTS, PHASES
from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_contracts.record import Record, Stored
from wattlake_pipelines.decode import decode
from wattlake_pipelines.rowcheck import check
from wattlake_pipelines.simulate.fleet import fleet
from wattlake_pipelines.simulate.meter import NOISE_FRACTION, NOISE_W, Meter
from wattlake_pipelines.simulate.options import Options
from wattlake_pipelines.simulate.records import REFERENCE_NODE, Simulation, Written, truth
from wattlake_pipelines.simulate.workload import daily_load, runs_by_node
from wattlake_pipelines.simulate.write import simulate

SMALL = Options(nodes=5, days=0.5, seed=7, interval_ms=20_000, gpus=2, failures=6.0, renew_ms=300_000)


@cache
def written(options: Options) -> tuple[Written, ...]:
    return tuple(w for batch in Simulation(options).records() for w in batch)


@cache
def rows(options: Options) -> dict[str, pa.Table]:
    """Kind -> all rows that the pipelines' own decoder and checks accept; a test fails if any is refused."""
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    appended: dict[str, list[int]] = defaultdict(list)
    for w in written(options):
        decoded = decode(Record(w.meta, w.seq, w.appended_ms, w.payload))
        assert decoded.rejects == []
        tables[w.meta.kind].append(decoded.table)
        appended[w.meta.kind] += [w.appended_ms] * decoded.table.num_rows
    accepted = {}
    for kind, found in tables.items():
        good, bad, reasons = check(pa.concat_tables(found).combine_chunks(), KINDS[kind], pa.array(appended[kind], pa.int64()))
        assert len(bad) == 0, (kind, reasons.to_pylist()[:3])
        accepted[kind] = good
    return accepted


def listed(options: Options, kind: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = rows(options)[kind].to_pylist()
    return found


def read_back(root: Path) -> list[Stored]:
    found = []
    for partition in partitions(root):
        for item in read(root, partition, *bounds(root, partition)):
            assert isinstance(item, Stored), item
            found.append(item)
    return found


def test_the_same_options_give_the_same_records() -> None:
    again = [w for batch in Simulation(SMALL).records() for w in batch]
    assert again == list(written(SMALL))


@pytest.mark.parametrize("change", [{"seed": 8}, {"gaps": False}, {"gpus": 3}, {"start_ms": SMALL.start_ms + DAY_MS}])
def test_other_options_share_no_identity(change: dict[str, int]) -> None:
    other = replace(SMALL, **change)  # type: ignore[arg-type]
    mine = {(w.meta.node, w.meta.boot) for w in written(SMALL)}
    theirs = {(w.meta.node, w.meta.boot) for batch in Simulation(other).records() for w in batch}
    assert not mine & theirs


def test_every_record_has_an_identity_of_its_own_and_seq_has_no_holes() -> None:
    seqs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for w in written(SMALL):
        seqs[w.meta.node, w.meta.boot].append(w.seq)
    for numbers in seqs.values():
        assert sorted(numbers) == list(range(len(numbers)))
    assert len(seqs) == 1 + sum(len(n.lives) for n in fleet(SMALL))


def test_all_is_marked_as_simulated_and_named_as_nothing_real_is() -> None:
    for kind, table in rows(SMALL).items():
        if "simulated" in {c.name for c in KINDS[kind].columns}:
            assert table["simulated"].combine_chunks().to_pylist() == [True] * table.num_rows, kind
        else:
            assert set(table["source"].to_pylist()) == {"wattlake simulate"}, kind
    zones = set(rows(SMALL)["grid"]["zone"].to_pylist())
    assert zones == {"SIM-1", "SIM-2", "SIM-3"}
    assert not zones & {r["zone"] for r in starter_grid()}
    skus = set(rows(SMALL)["embodied"]["sku"].to_pylist())
    assert all(sku.startswith("SIM-") for sku in skus)
    assert not skus & {r["sku"] for r in starter_embodied()}
    named = (("nodes", "site"), ("sites", "site"), ("nodes", "node"), ("jobs", "job"), ("transfers", "to_site"), ("serving", "model"))
    for kind, column in named:
        texts = [t for t in rows(SMALL)[kind][column].to_pylist() if t is not None]
        assert texts
        assert all("sim-" in t for t in texts), column


def test_readings_come_as_an_agent_sends_them() -> None:
    for w in written(SMALL):
        if w.meta.kind != "readings":
            continue
        with pa.ipc.open_stream(w.payload) as stream:
            table = stream.read_all()
        table.validate(full=True)
        assert table.num_rows == w.readings
        assert set(table["node"].to_pylist()) == {w.meta.node}
        device, ts = table["device"].to_pylist(), table["ts_ms"].to_numpy()
        starts = [i for i in range(len(device)) if i == 0 or device[i] != device[i - 1]]
        assert len(starts) == len(set(device)), "rows are grouped by device"
        inside = np.ones(len(ts), bool)
        inside[starts] = False
        assert (np.diff(ts)[inside[1:]] > 0).all(), "and ascend in time"
        assert ts.max() < w.appended_ms
        assert ts.max() - ts.min() <= 60_000


def test_a_stream_is_byte_for_byte_what_arrow_writes() -> None:
    w = next(w for w in written(SMALL) if w.meta.kind == "readings")
    with pa.ipc.open_stream(w.payload) as stream:
        batches = list(stream)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    assert sink.getvalue().to_pybytes() == w.payload


def test_counters_tell_the_truth_in_spite_of_gaps_and_crashes() -> None:
    table = rows(SMALL)["readings"]
    by_life: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for node, device, epoch, ts, mj in zip(*(table[c].to_pylist() for c in ("node", "device", "epoch", "ts_ms", "energy_mj")), strict=True):
        by_life[node, device, epoch].append((ts, mj))
    found: Counter[tuple[str, str]] = Counter()
    for (node, device, _), readings in by_life.items():
        readings.sort()
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(readings))
        found[node, device] += readings[-1][1] - readings[0][1]
    assert dict(found) == truth(SMALL)
    assert all(mj > 0 for mj in found.values())


def test_the_wall_draws_more_than_its_parts() -> None:
    energy = truth(SMALL)
    for node in fleet(SMALL):
        mine = [energy[node.name, d.name] for d in node.devices]
        if node.wall is not None:
            assert mine[node.wall] > sum(mine[: node.wall])


def test_the_tallies_are_what_was_written() -> None:
    simulation = Simulation(SMALL)
    made = [w for batch in simulation.records() for w in batch]
    for tally in simulation.tallies:
        mine = [w for w in made if w.meta.node == tally.node]
        assert tally.records == len(mine)
        assert tally.readings == sum(w.readings for w in mine)
        assert tally.energy_mj == {d: mj for (n, d), mj in truth(SMALL).items() if n == tally.node}


def test_noise_is_of_the_stated_size() -> None:
    quiet = Options(nodes=2, days=0.125, seed=3, failures=0, gaps=False)
    nodes = fleet(quiet)
    meter = Meter(quiet, nodes[0], [])
    sweep = meter.hour(quiet.start_ms)[0]
    power_w = np.diff(sweep.energy_mj, axis=1) / np.diff(sweep.ts_ms)
    for device, watts in zip(nodes[0].devices, power_w, strict=True):
        if device.kind != "node":
            assert watts.std() == pytest.approx(NOISE_FRACTION * watts.mean() + NOISE_W, rel=0.1), device.name


def test_crashes_come_at_the_rate_asked_for() -> None:
    options = replace(SMALL, nodes=100, days=4.0, failures=1.0)
    crashes = sum(len(n.lives) - 1 for n in fleet(options))
    expected = 400
    assert abs(crashes - expected) < 5 * math.sqrt(expected) + 0.1 * expected
    assert all(len(n.lives) == 1 for n in fleet(replace(options, failures=0)))


def test_a_crash_begins_new_epochs_and_leaves_its_jobs_open() -> None:
    crashed = [n for n in fleet(SMALL) if len(n.lives) > 1]
    assert crashed
    table = rows(SMALL)["readings"]
    epochs = Counter(n for n, _, _ in set(zip(*(table[c].to_pylist() for c in ("node", "device", "epoch")), strict=True)))
    for node in fleet(SMALL):
        assert epochs[node.name] == len(node.lives) * len(node.devices)
    told = {(r["job"], r["node"], r["start_ms"]) for r in listed(SMALL, "jobs") if r["end_ms"] is not None}
    left_open = 0
    for node, runs in zip(fleet(SMALL), runs_by_node(SMALL, fleet(SMALL)), strict=True):
        for run in runs:
            assert ((run.job.name, node.name, run.start_ms) in told) == run.closed
            left_open += not run.closed
    assert left_open > 0


def test_integrated_counters_begin_at_zero_and_hardware_ones_do_not() -> None:
    table = rows(SMALL)["readings"]
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for method, epoch, ts, mj in zip(*(table[c].to_pylist() for c in ("method", "epoch", "ts_ms", "energy_mj")), strict=True):
        first[method, epoch] = min(first.get((method, epoch), (ts, mj)), (ts, mj))
    assert all(mj == 0 for (method, _), (_, mj) in first.items() if method == "integrated")
    assert any(mj > 10**6 for (method, _), (_, mj) in first.items() if method == "counter")
    integrated = {d for m, d in zip(table["method"].to_pylist(), table["device_kind"].to_pylist(), strict=True) if m == "integrated"}
    assert integrated == {"gpu", "node"}


def test_readings_are_lost_and_late_only_if_asked_for() -> None:
    whole = replace(SMALL, gaps=False)
    assert sum(w.readings for w in written(SMALL)) < sum(w.readings for w in written(whole))

    def late(options: Options) -> int:
        newest: dict[str, int] = {}
        count = 0
        for w in written(options):
            count += w.appended_ms < newest.get(w.meta.boot, 0)
            newest[w.meta.boot] = max(newest.get(w.meta.boot, 0), w.appended_ms)
        return count

    assert late(whole) == 0
    assert late(replace(SMALL, seed=8)) > 0
    assert truth(whole) == truth(SMALL)


def test_one_node_is_unknown_to_the_inventory() -> None:
    told = {r["node"] for r in listed(SMALL, "nodes")}
    read_from = set(rows(SMALL)["readings"]["node"].to_pylist())
    assert len(read_from - told) == 1
    for row in listed(SMALL, "nodes"):
        assert row["event"] in NODE_EVENTS
        assert row["device"] is None or row["parent"] is None or row["parent"] == "wall"
    skus = {r["device_sku"] or r["sku"] for r in listed(SMALL, "nodes")} - {None}
    assert skus == {r["sku"] for r in listed(SMALL, "embodied")}


def test_the_work_is_a_whole_life_cycle() -> None:
    closed = [r for r in listed(SMALL, "jobs") if r["end_ms"] is not None]
    assert {r["phase"] for r in closed} == set(PHASES) - {"other"}
    assert {"ok", "failed"} <= {r["status"] for r in closed}
    nodes_of: dict[object, set[object]] = defaultdict(set)
    for r in closed:
        nodes_of[r["job"]].add(r["node"])
    assert max(len(n) for job, n in nodes_of.items() if "train" in str(job)) > 1
    models = {r["model"] for r in closed if r["phase"] == "train"}
    assert {r["base_model"] for r in closed if r["phase"] == "finetune"} <= models | {f"{m}" for m in models}
    searches = Counter(r["run_group"] for r in closed if r["phase"] == "experiment")
    assert max(searches.values()) > 1
    renewals = Counter((r["job"], r["node"]) for r in listed(SMALL, "jobs"))
    assert max(renewals.values()) > 10
    media = {r["medium"] for r in listed(SMALL, "transfers")}
    assert "object" in media


def test_services_are_busiest_in_the_afternoon() -> None:
    hours = np.arange(0, DAY_MS, HOUR_MS)
    assert int(np.argmax(daily_load(hours))) == 15
    assert int(np.argmin(daily_load(hours))) == 3
    quiet = replace(SMALL, days=1.0, nodes=2, failures=0, interval_ms=600_000)
    asked = {r["ts_ms"]: r["requests"] for r in listed(quiet, "serving") if r["node"] == f"sim-node-{quiet.nodes - 1:04d}"}
    series = [asked[ts] for ts in sorted(asked, key=lambda t: int(str(t)))]
    assert series == sorted(series, key=lambda n: int(str(n))), "the counters are cumulative"

    def rate(hour: int) -> int:
        at = quiet.start_ms + hour * HOUR_MS
        return int(str(asked[at + HOUR_MS])) - int(str(asked[at]))

    assert rate(15) > 2 * rate(3)


def test_the_grid_is_hourly_and_restated_later() -> None:
    versions: dict[tuple[object, object], list[dict[str, object]]] = defaultdict(list)
    for r in listed(SMALL, "grid"):
        assert int(str(r["end_ms"])) - int(str(r["start_ms"])) == HOUR_MS
        assert float(str(r["lifecycle_g_per_kwh"])) > float(str(r["direct_g_per_kwh"]))
        versions[r["zone"], r["start_ms"]].append(r)
    hours = {start for zone, start in versions if zone == "SIM-1"}
    assert set(range(SMALL.start_ms, SMALL.end_ms, HOUR_MS)) <= hours
    restated = [v for v in versions.values() if len(v) == 2]
    assert restated
    assert len(restated) < len(versions)
    for first, later in restated:
        assert int(str(first["known_from_ms"])) < int(str(later["known_from_ms"]))
        assert first["direct_g_per_kwh"] != later["direct_g_per_kwh"]
        assert (first["estimated"], later["estimated"]) == (True, False)


def test_what_is_known_is_never_known_before_it_is_written() -> None:
    for w in written(SMALL):
        if w.meta.node == REFERENCE_NODE:
            assert all(row["known_from_ms"] <= w.appended_ms for row in json.loads(w.payload))


def test_records_fit_the_log_at_any_rate() -> None:
    dense = Options(nodes=1, days=1 / 24, interval_ms=100, gpus=64, gaps=False, failures=0)
    batch = next(b for b in Simulation(dense).records() if any(w.readings for w in b))
    sizes = [len(w.payload) for w in batch]
    assert max(sizes) < MAX_RECORD_BYTES - 4096
    sparse = Options(nodes=1, days=1 / 24, interval_ms=HOUR_MS // 4, gaps=False, failures=0)
    assert sum(w.readings for b in Simulation(sparse).records() for w in b) == 4 * 13


@pytest.mark.parametrize("writers", [1, 3])
def test_the_log_holds_what_was_simulated_whatever_the_number_of_writers(tmp_path: Path, writers: int) -> None:
    summary = simulate(tmp_path, SMALL, writers=writers)
    stored = read_back(tmp_path)
    assert partitions(tmp_path) == [f"simulate.{i}" for i in range(writers)]
    assert summary.records == len(stored)
    key = [(s.record.meta, s.record.seq, s.record.appended_ms, bytes(s.record.payload)) for s in stored]
    assert Counter(key) == Counter((w.meta, w.seq, w.appended_ms, w.payload) for w in written(SMALL))
    known = {n.name for n in fleet(SMALL)} | {REFERENCE_NODE}
    assert {s.record.meta.node for s in stored} == known


def test_the_command_prints_what_it_wrote(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [str(Path(sys.executable).with_name("wattlake")), "simulate"]
    asked = ["--nodes", "2", "--days", "0.125", "--interval", "60", "--gpus", "1", "--seed", "5", "--log", f"file:{log}",
             "--start", "2025-06-01T00:00+00:00", "--format", "json"]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    options = Options(nodes=2, days=0.125, seed=5, start_ms=1_748_736_000_000, interval_ms=60_000, gpus=1)
    expected = truth(options)
    assert [r["node"] for r in printed] == ["sim-node-0000", "sim-node-0001"]
    for row in printed:
        assert row["energy_mj"] == expected[row["node"], "wall"]
    stored = read_back(log)
    assert sum(r["records"] for r in printed) == sum(s.record.meta.node != REFERENCE_NODE for s in stored)
    assert f"{len(stored)} records" in done.stderr


@pytest.mark.parametrize("wrong", [
    {"nodes": 0}, {"days": 0.01}, {"seed": -1}, {"interval_ms": 10}, {"gpus": 0}, {"failures": -1.0}, {"start_ms": 1}, {"renew_ms": 1},
])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="--"):
        replace(SMALL, **wrong)  # type: ignore[arg-type]
