"""Transfers and serving: the kernels against the oracle."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oracle import serving as oracle_serving
from oracle import transfers as oracle_transfers
from oracle.tree import HOUR_MS
from oracle.worlds import BASE_MS, EVER, instants, table
from wattlake_contracts.tables import FACT_SERVING, FACT_TRANSFERS, RAW_SERVING, RAW_TRANSFERS
from wattlake_pipelines.account.kernels.serving import serving_facts
from wattlake_pipelines.account.kernels.transfers import transfer_facts
from wattlake_pipelines.arrow_schema import table_schema

many = settings(max_examples=examples(300), deadline=None)

FACTOR_TYPES = {
    "medium": pa.string(),
    "from_ms": pa.int64(),
    "to_ms": pa.int64(),
    "energy_mj_per_gb": pa.float64(),
    "low_mj_per_gb": pa.float64(),
    "high_mj_per_gb": pa.float64(),
    "factor": pa.string(),
}
SITE_ZONE_TYPES = {"site": pa.string(), "zone": pa.string(), "start_ms": pa.int64(), "end_ms": pa.int64()}
GRID_TYPES = {"zone": pa.string(), "start_ms": pa.int64(), "end_ms": pa.int64(), "direct_g_per_kwh": pa.float64()}


@st.composite
def transfers(draw: st.DrawFn) -> list[dict]:
    """Transfers told once, twice and differently."""
    return [
        dict.fromkeys(RAW_TRANSFERS.names)
        | {
            "id": draw(st.sampled_from(("1", "2", "3", "é"))),
            "ts_ms": BASE_MS + draw(st.integers(-1, 5)),
            "bytes": draw(st.one_of(st.integers(0, 9), st.integers(0, 2**53), st.sampled_from((10**9, 5 * 10**8)))),
            "medium": draw(st.sampled_from(("wan", "lan"))),
            "from_site": draw(st.sampled_from(("s", "t", "u"))),
            "to_site": draw(st.sampled_from(("s", "t", "u"))),
            "job": draw(st.sampled_from((None, "a"))),
            "simulated": draw(st.booleans()),
            "appended_ms": BASE_MS + draw(st.integers(0, 2)),
            "writer": "w",
            "boot": draw(st.sampled_from(("b", "c"))),
            "seq": draw(st.integers(0, 9)),
        }
        for _ in range(draw(st.integers(0, 8)))
    ]


@st.composite
def stretches(draw: st.DrawFn, of: str, names: tuple[str, ...], start: str, end: str, payload: dict[str, st.SearchStrategy]) -> list[dict]:
    """Disjoint stretches of a few keys, some missing."""
    out = []
    for name in names:
        edges = [-EVER, *(BASE_MS + t for t in sorted(draw(st.lists(st.integers(0, 4), max_size=2, unique=True)))), EVER]
        for a, b in itertools.pairwise(edges):
            if draw(st.integers(0, 3)):
                out.append({of: name, start: a, end: b, **{c: draw(s) for c, s in payload.items()}})
    return out


per_gb = st.one_of(st.sampled_from((0.0, 0.5, 36_000.0, 216_000.0)), st.floats(0, 10**6, allow_subnormal=False))
FACTORS = stretches(
    "medium",
    ("wan", "lan"),
    "from_ms",
    "to_ms",
    {
        "energy_mj_per_gb": per_gb,
        "low_mj_per_gb": st.one_of(st.none(), per_gb),
        "high_mj_per_gb": st.one_of(st.none(), per_gb),
        "factor": st.sampled_from(("2020 x", "2021 y")),
    },
)
ZONES = stretches("site", ("s", "t"), "start_ms", "end_ms", {"zone": st.sampled_from(("z", "y", None))})
GRID = stretches(
    "zone",
    ("z", "y"),
    "start_ms",
    "end_ms",
    {
        "direct_g_per_kwh": st.one_of(st.none(), st.sampled_from((0.0, 50.0, 400.5)), st.floats(0, 3000, allow_subnormal=False)),
    },
)


@many
@given(transfers(), FACTORS, ZONES, GRID, st.randoms(use_true_random=False))
def test_every_transfer_is_the_oracles(
    moved: list[dict],
    factors: list[dict],
    zones: list[dict],
    grid: list[dict],
    chance: random.Random,
) -> None:
    want = oracle_transfers.transfer_facts(moved, factors, zones, grid)
    again = moved + [dict(m) for m in moved if chance.random() < 0.3]
    chance.shuffle(again)
    for rows in (moved, again):
        got = transfer_facts(
            pa.Table.from_pylist(rows, schema=table_schema(RAW_TRANSFERS)),
            table(factors, FACTOR_TYPES),
            table(zones, SITE_ZONE_TYPES),
            table(grid, GRID_TYPES),
        )
        assert tuple(got.column_names) == FACT_TRANSFERS.names
        assert got.to_pylist() == want


@st.composite
def served(draw: st.DrawFn) -> list[dict]:
    """Series of serving counters with dips, spikes, falls, gaps in the optional counters and duplicates."""
    out = []
    for _ in range(draw(st.integers(1, 3))):
        series = {
            "model": draw(st.sampled_from(("l", "m"))),
            "epoch": draw(st.sampled_from(("e", "f"))),
            "job": draw(st.sampled_from((None, "a"))),
            "node": draw(st.sampled_from((None, "n"))),
            "site": draw(st.sampled_from((None, "s"))),
            "unit": draw(st.sampled_from((None, "image"))),
        }
        counters = {c: draw(st.sampled_from((0, 10**12))) for c in oracle_serving.COUNTERS}
        for t in sorted(draw(st.lists(instants, max_size=7, unique=True))):
            for c in counters:
                counters[c] += draw(st.sampled_from((0, 1, 7, 1000)))
            shown = dict(counters)
            odd = draw(st.sampled_from(("", "", "", "dip", "spike", "fall")))
            which = draw(st.sampled_from(oracle_serving.COUNTERS))
            if odd == "dip":
                shown[which] = max(0, shown[which] - 5000)
            elif odd == "spike":
                shown[which] += 10**6
            elif odd == "fall":
                shown[which] = counters[which] = draw(st.integers(0, 3))
            for c in ("tokens_cached", "units"):
                if draw(st.integers(0, 4)) == 0:
                    shown[c] = None
            row = (
                dict.fromkeys(RAW_SERVING.names)
                | series
                | shown
                | {
                    "ts_ms": BASE_MS + t,
                    "simulated": draw(st.sampled_from((False, False, True))),
                    "writer": "w",
                    "boot": "b",
                    "seq": 0,
                    "appended_ms": BASE_MS,
                }
            )
            out.append(row)
            if draw(st.integers(0, 4)) == 0:
                c = draw(st.sampled_from(oracle_serving.COUNTERS))
                out.append(row | {c: draw(st.sampled_from((shown[c], (shown[c] or 0) + 1)))})
    return out


HOURS = st.lists(st.sampled_from((-1, 0, 1, 2, 3, 24, 2000)), min_size=1, max_size=4, unique=True)


def served_by_kernel(rows: list[dict], hours: list[int]) -> list[dict]:
    """What the kernel makes of it."""
    got = serving_facts(pa.Table.from_pylist(rows, schema=table_schema(RAW_SERVING)), np.array(hours, np.int64))
    assert tuple(got.column_names) == FACT_SERVING.names
    return got.to_pylist()


@many
@given(served(), HOURS, st.randoms(use_true_random=False))
def test_every_hour_served_is_the_oracles(rows: list[dict], hours: list[int], chance: random.Random) -> None:
    at = [BASE_MS + h * HOUR_MS for h in hours]
    want = oracle_serving.serving_facts(rows, at)
    assert served_by_kernel(rows, at) == want
    again = rows + [dict(r) for r in rows if chance.random() < 0.3]
    chance.shuffle(again)
    assert served_by_kernel(again, at) == want
    assert [r for hour in sorted(at) for r in served_by_kernel(rows, [hour])] == want
