"""Small adversarial inputs for the kernels, and tables made of them: shared by the tests that compare with the oracle."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from oracle.tree import HOUR_MS, rank

#: 2024-01-01T00:00Z; hours are counted from here.
BASE_MS = 1_704_067_200_000
EVER = 2**62

READING_TYPES = {
    "node": pa.string(), "device": pa.string(), "device_kind": pa.string(), "epoch": pa.string(), "ts_ms": pa.int64(),
    "energy_mj": pa.int64(), "power_mw": pa.int64(), "method": pa.string(), "boundary": pa.string(), "simulated": pa.bool_(),
}
JOB_TYPES = {
    "job": pa.string(), "node": pa.string(), "device": pa.string(), "start_ms": pa.int64(), "end_ms": pa.int64(), "share_ppm": pa.int64(),
}
PLACE_TYPES = {"node": pa.string(), "site": pa.string(), "zone": pa.string(), "start_ms": pa.int64(), "end_ms": pa.int64()}
CUT_TYPES = {"node": pa.string(), "cut_ms": pa.int64()}
DEVICE_TYPES = {
    "node": pa.string(), "device": pa.string(), "parent": pa.string(), "max_power_mw": pa.int64(),
    "start_ms": pa.int64(), "end_ms": pa.int64(),
}


def table(rows: list[dict], types: dict[str, Any]) -> pa.Table:
    """A table of these columns; a row may leave out what is NULL."""
    return pa.table({c: pa.array([r.get(c) for r in rows], t) for c, t in types.items()}, schema=pa.schema(list(types.items())))


def reading(device: str, ts: int, energy: int | None = None, *, power: int | None = None, **other: Any) -> dict:
    """A reading ts ms after BASE_MS; a GPU's own counter unless told otherwise."""
    return {
        "node": "n", "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": BASE_MS + ts, "energy_mj": energy,
        "power_mw": power, "method": "counter" if power is None else "integrated", "boundary": "component", "simulated": False,
    } | other


def job(name: str, start: int, end: int, *, device: str | None = None, share: int = 1_000_000, node: str = "n") -> dict:
    """A job record from start to end, in ms after BASE_MS."""
    return {"job": name, "node": node, "device": device, "start_ms": BASE_MS + start, "end_ms": BASE_MS + end, "share_ppm": share}


def inventory(
    device: str, parent: str | None = None, *, most: int | None = None, start: int = -EVER, end: int = EVER, node: str = "n",
) -> dict:
    """An inventory row in force from start to end (absolute)."""
    return {"node": node, "device": device, "parent": parent, "max_power_mw": most, "start_ms": start, "end_ms": end}


# --- strategies -------------------------------------------------------------------------------------------------

#: (name, device_kind, boundary): what a node may have. Several of them can be parents of others.
DEVICES = (
    ("gpu0", "gpu", "component"), ("gpu1", "gpu", "component"), ("cpu", "cpu", "component"), ("dram", "dram", "component"),
    ("nic", "switch", "component"), ("plat", "psys", "component"), ("psu0", "psu", "node_dc"), ("psu1", "psu", "node_ac"),
    ("wall", "node", "node_ac"), ("board", "node", "node_dc"), ("outlet", "other", "pdu"), ("hall", "other", "facility"),
)
#: instants, in ms after BASE_MS: hour edges and their neighbours, and gaps that are just not, and just, long
NEAR = (-300_001, -300_000, -1000, -1, 0, 1, 1000, 299_999, 300_000, 300_001, 1_800_000)
EDGES = sorted({h * HOUR_MS + d for h in (0, 1, 2, 3) for d in NEAR})
#: and gaps of years, just bridged and not
FAR = (-40 * 365 * 24 * HOUR_MS // 4, -400 * 24 * HOUR_MS, -400 * 24 * HOUR_MS - 1, 390 * 24 * HOUR_MS, 3 * 365 * 24 * HOUR_MS)

instants = st.one_of(st.sampled_from(EDGES), st.integers(0, 2 * HOUR_MS), st.integers(-2_000, 2_000), st.sampled_from(FAR))


@st.composite
def counters(draw: st.DrawFn, node: str, device: tuple[str, str, str], at: st.SearchStrategy[int], steady: bool) -> list[dict]:
    """One counter's readings: mostly rising, with dips, spikes, leaps, falls, duplicates and changes of attributes."""
    name, kind, boundary = device
    ts = sorted(draw(st.lists(at, max_size=7, unique=True)))
    scale = draw(st.sampled_from((1, 7, 1_000, 10**6, 10**12)))
    value = draw(st.sampled_from((0, 5, 10**6, 10**15)))
    epoch = draw(st.sampled_from(("e", "f", "é")))
    method = draw(st.sampled_from(("counter", "counter", "integrated", "estimated")))
    out = []
    for t in ts:
        step = draw(st.sampled_from((0, 1, 2, 3, 5, 11, 101)))
        value += step * scale
        shown = value
        match draw(st.sampled_from(("", "", "", "", "", "", "dip", "spike", "leap", "fall"))):
            case "dip":
                shown = max(0, value - 1000 * scale)
            case "spike":
                shown = value + 1000 * scale
            case "leap":
                shown = value = value + 1000 * scale
            case "fall":
                shown = value = draw(st.integers(0, 3)) * scale
        row = reading(name, t, shown, node=node, device_kind=kind, boundary=boundary, epoch=epoch, method=method)
        out.append(row)
        match draw(st.sampled_from(("", "", "", "", "", "same", "value", "method", *(() if steady else ("simulated", "kind"))))):
            case "same":
                out.append(dict(row))
            case "value":
                out.append(row | {"energy_mj": shown + draw(st.sampled_from((1, scale)))})
            case "method":
                out.append(row | {"method": draw(st.sampled_from(("counter", "integrated", "estimated")))})
            case "simulated":
                out[-1] = row | {"simulated": True}
            case "kind":
                out.append(row | {"device_kind": "other"})
    return out


@st.composite
def powers(draw: st.DrawFn, node: str, device: tuple[str, str, str], at: st.SearchStrategy[int]) -> list[dict]:
    """The powers of one device, from several epochs."""
    name, kind, boundary = device
    out = []
    for t in draw(st.lists(at, max_size=6)):
        out.append(reading(
            name, t, power=draw(st.sampled_from((0, 1, 2, 999, 1000, 1001, 350_000, 10**9))),
            node=node, device_kind=kind, boundary=boundary, epoch=draw(st.sampled_from(("a", "b"))),
            method=draw(st.sampled_from(("integrated", "counter", "estimated"))),
            simulated=draw(st.sampled_from((False, False, True))),
        ))
    return out


@st.composite
def inventories(draw: st.DrawFn, node: str, names: list[str], steady: bool) -> list[dict]:
    """Parents (chains, circles, strangers and the device itself among them) and limits, in force ever or in part.

    A tray and a shelf have no readings, but may name a parent and be named.
    """
    described = [*names, "tray", "shelf"]
    shape = st.sampled_from(("none", "none", "ever", "ever", *(() if steady else ("two",))))
    any_parent: st.SearchStrategy[str | None] = st.one_of(st.none(), st.sampled_from([*described, "stranger"]))
    parents = dict.fromkeys(described, any_parent)
    if draw(st.booleans()):  # one after the other, the last one naming nobody or anybody, so that circles have tails
        line = draw(st.permutations(described))
        parents = {a: st.just(b) for a, b in itertools.pairwise(line)} | {line[-1]: any_parent}
        shape = st.sampled_from(("none", *["ever"] * 6, *(() if steady else ("two",))))
    limits = st.sampled_from((None, None, 0, 1, 1, 30, 1000, 1000, 400_000, 10**9, 2**53))
    out = []
    for name in described:
        match draw(shape):
            case "ever":
                out.append(inventory(name, draw(parents[name]), most=draw(limits), node=node))
            case "two":
                at = BASE_MS + draw(instants)
                out += [inventory(name, draw(parents[name]), most=draw(limits), end=at, node=node),
                        inventory(name, draw(any_parent), most=draw(limits), start=at + draw(st.sampled_from((0, 1, 60_000))), node=node)]
    return out


@st.composite
def job_records(draw: st.DrawFn, node: str, names: list[str], at: st.SearchStrategy[int]) -> list[dict]:
    """Jobs whose edges lie on readings, hours or anywhere, with shares that may ask for too much."""
    out = []
    for _ in range(draw(st.integers(0, 5))):
        out.append(job(
            draw(st.sampled_from(("a", "b", "ab", "é", "Z"))), draw(at), draw(at), node=node,
            device=draw(st.one_of(st.none(), st.sampled_from([*names, "stranger"]))),
            share=draw(st.sampled_from((1, 333_333, 500_000, 700_000, 1_000_000, 1_000_000))),
        ))
    return out


@st.composite
def place_segments(draw: st.DrawFn, node: str) -> list[dict]:
    """Where the node stood: nowhere, one place, or two with or without a gap."""
    edges = sorted(draw(st.lists(instants, max_size=3, unique=True)))
    bounds = [-EVER, *(BASE_MS + t for t in edges), EVER]
    out = []
    for a, b in itertools.pairwise(bounds):
        site, zone = draw(st.sampled_from((("s", "z"), ("t", "y"), ("u", None), (None, None), ("-", "-"))))
        if site != "-":
            out.append({"node": node, "site": site, "zone": zone, "start_ms": a, "end_ms": b})
    return out


@st.composite
def worlds(draw: st.DrawFn, steady: bool = False) -> dict[str, list]:
    """Arguments of energy_facts, as lists. Steady: no device changes its kind or its parent."""
    out: dict[str, list] = {"readings": [], "jobs": [], "places": [], "cuts": [], "devices": []}
    # instants that devices and jobs have in common, so that parents cover and edges fall on readings
    pool = draw(st.lists(instants, min_size=2, max_size=6, unique=True))
    at = st.one_of(st.sampled_from(pool), st.sampled_from([min(pool), max(pool)]), instants)
    for node in draw(st.sampled_from((["n"], ["n"], ["n", "m"]))):
        chosen = draw(st.lists(st.sampled_from(DEVICES), min_size=1, max_size=4, unique=True))
        found: list[dict] = []
        for device in chosen:
            shape = draw(st.sampled_from(("counter", "counter", "two", "power", "both")))
            if shape != "power":
                found += draw(counters(node, device, at, steady))
            if shape == "two":
                found += draw(counters(node, device, at, steady))
            if shape in ("power", "both"):
                found += draw(powers(node, device, at))
        out["readings"] += found
        names = [name for name, _, _ in chosen]
        out["jobs"] += draw(job_records(node, names, at))
        out["devices"] += draw(inventories(node, names, steady))
        out["places"] += draw(place_segments(node))
        out["cuts"] += [{"node": node, "cut_ms": BASE_MS + t} for t in draw(st.lists(instants, max_size=3))]
    hours = draw(st.lists(st.sampled_from((-1, 0, 1, 2, 3, 24, 2000)), min_size=1, max_size=4, unique=True))
    out["hours_ms"] = [BASE_MS + h * HOUR_MS for h in hours]
    return out


@st.composite
def walled_worlds(draw: st.DrawFn) -> dict[str, list]:
    """Worlds in which one device of the highest rank, `meter` of node n, covers every hour from 0 to 3 that is asked for."""
    world = draw(worlds())
    world["readings"] = [r for r in world["readings"] if rank(r["device_kind"], r["boundary"]) < rank("node", "node_ac") and r["node"] == "n"]
    ts = sorted({-1, 4 * HOUR_MS, *draw(st.lists(instants.filter(lambda t: 0 <= t <= 3 * HOUR_MS), max_size=4))})
    steps = draw(st.lists(st.sampled_from((0, 1, 7, 10**6, 10**12)), min_size=len(ts), max_size=len(ts)))
    world["readings"] += [
        reading("meter", t, energy, device_kind="node", boundary="node_ac") for t, energy in zip(ts, itertools.accumulate(steps), strict=True)]
    # parts that are read as long, so that they can hold each other
    for name in draw(st.lists(st.sampled_from(("gpu0", "gpu1", "cpu", "psu0")), max_size=3, unique=True)):
        kind, boundary = next(d[1:] for d in DEVICES if d[0] == name)
        world["readings"] += [reading(name, t, e, device_kind=kind, boundary=boundary, epoch="a") for t, e in ((-1, 0), (4 * HOUR_MS, 10**7))]
    names = sorted({r["device"] for r in world["readings"]})
    world["devices"] = [d | {"max_power_mw": None} if d["device"] == "meter" else d for d in draw(inventories("n", names, steady=False))]
    world["hours_ms"] = [BASE_MS + h * HOUR_MS for h in draw(st.sets(st.integers(0, 3), min_size=1))]
    return world
