"""What was in force, and emissions: the kernels against the oracle."""

from __future__ import annotations

import itertools
import random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oracle import emissions as oracle_emissions
from oracle.energy import row_order
from oracle.in_force import in_force as oracle_in_force
from oracle.tree import HOUR_MS
from oracle.worlds import BASE_MS, EVER, table
from wattlake_contracts.tables import FACT_EMISSIONS, FACT_ENERGY
from wattlake_pipelines.account.kernels.emissions import emission_facts
from wattlake_pipelines.account.kernels.in_force import in_force
from wattlake_pipelines.arrow_schema import table_schema

many = settings(max_examples=examples(300), deadline=None)

VERSION_TYPES = {
    "zone": pa.string(),
    "part": pa.string(),
    "from_ms": pa.int64(),
    "to_ms": pa.int64(),
    "known_from_ms": pa.int64(),
    "version": pa.string(),
    "shipped": pa.bool_(),
    "figure": pa.float64(),
    "remark": pa.string(),
}


@st.composite
def versions(draw: st.DrawFn) -> list[dict]:
    """Overlapping, nested, touching, empty and backward stretches; ties in known_from; contents seen twice; shipped figures."""
    out = []
    for _ in range(draw(st.integers(0, 8))):
        row = {
            "zone": draw(st.sampled_from(("z", "y"))),
            "part": draw(st.sampled_from((None, "p"))),
            "from_ms": draw(st.one_of(st.none(), st.integers(0, 8))),
            "to_ms": draw(st.one_of(st.none(), st.integers(1, 9))),
            "known_from_ms": draw(st.integers(0, 3)),
            "figure": draw(st.sampled_from((1.0, 2.0))),
            "remark": draw(st.sampled_from((None, "r"))),
        }
        row["shipped"] = row["figure"] == 2.0
        row["version"] = f"{row['figure']}{row['remark']}"  # the same content may hold in several stretches
        out.append(row)
        if draw(st.booleans()):
            out.append(row | {"known_from_ms": draw(st.integers(0, 3))})
    return out


@many
@given(versions(), st.randoms(use_true_random=False))
def test_what_was_in_force_is_the_oracles(rows: list[dict], chance: random.Random) -> None:
    want = oracle_in_force(rows, ["zone", "part"], "from_ms", "to_ms")
    assert in_force(table(rows, VERSION_TYPES), ["zone", "part"], "from_ms", "to_ms").to_pylist() == want
    chance.shuffle(rows)
    assert in_force(table(rows, VERSION_TYPES), ["zone", "part"], "from_ms", "to_ms").to_pylist() == want


@many
@given(versions())
def test_one_version_holds_at_each_instant_that_any_covers(rows: list[dict]) -> None:
    got = in_force(table(rows, VERSION_TYPES), ["zone", "part"], "from_ms", "to_ms").to_pylist()
    for zone in ("z", "y"):
        for part in (None, "p"):
            mine = [r for r in rows if (r["zone"], r["part"]) == (zone, part)]
            for t in range(-1, 10):
                covered = any((r["from_ms"] is None or r["from_ms"] <= t) and (r["to_ms"] is None or t < r["to_ms"]) for r in mine)
                held = [s for s in got if (s["zone"], s["part"]) == (zone, part) and s["start_ms"] <= t < s["end_ms"]]
                assert len(held) == covered


SITE_TYPES = {
    "site": pa.string(),
    "start_ms": pa.int64(),
    "end_ms": pa.int64(),
    "pue": pa.float64(),
    "wue_l_per_kwh": pa.float64(),
    "version": pa.string(),
    "estimated": pa.bool_(),
}
GRID_TYPES = {
    "zone": pa.string(),
    "start_ms": pa.int64(),
    "end_ms": pa.int64(),
    "direct_g_per_kwh": pa.float64(),
    "lifecycle_g_per_kwh": pa.float64(),
    "td_loss_fraction": pa.float64(),
    "water_l_per_kwh": pa.float64(),
    "version": pa.string(),
    "estimated": pa.bool_(),
    "period_ms": pa.int64(),
}
MARGINAL_TYPES = {
    "zone": pa.string(),
    "start_ms": pa.int64(),
    "end_ms": pa.int64(),
    "marginal_g_per_kwh": pa.float64(),
    "version": pa.string(),
    "estimated": pa.bool_(),
}
NODE_PLACE_TYPES = {"node": pa.string(), "site": pa.string(), "zone": pa.string(), "start_ms": pa.int64(), "end_ms": pa.int64()}
maybe = st.one_of(st.none(), st.booleans())


def figures(top: float, *decimals: float) -> st.SearchStrategy[float]:
    """Figures as people write them, and any other float in their range."""
    return st.one_of(st.sampled_from(decimals), st.floats(0, top, allow_subnormal=False))


def segments(of: str, names: tuple[str, ...], payload: dict[str, st.SearchStrategy]) -> st.SearchStrategy[list[dict]]:
    """Disjoint segments of a few keys over a few hours, some missing."""

    @st.composite
    def build(draw: st.DrawFn) -> list[dict]:
        out = []
        for name in names:
            edges = [-EVER, *(BASE_MS + h * HOUR_MS for h in sorted(draw(st.lists(st.integers(0, 4), max_size=3, unique=True)))), EVER]
            for a, b in itertools.pairwise(edges):
                if draw(st.integers(0, 3)):
                    out.append({of: name, "start_ms": a, "end_ms": b, **{c: draw(s) for c, s in payload.items()}})
        return out

    return build()


SITES = segments(
    "site",
    ("s", "t"),
    {
        "pue": figures(10, 1.0, 1.1, 1.2, 1.5, 1.58).filter(lambda x: x >= 1),
        "wue_l_per_kwh": st.one_of(st.none(), figures(100, 0.0, 1.8)),
        "version": st.sampled_from(("s1", "s2")),
        "estimated": maybe,
    },
)
GRID = segments(
    "zone",
    ("z", "y"),
    {
        "direct_g_per_kwh": st.one_of(st.none(), figures(3000, 0.0, 36.0, 100.5, 400.0, 3600.0)),
        "lifecycle_g_per_kwh": st.one_of(st.none(), figures(3000, 45.0, 480.0)),
        "td_loss_fraction": st.one_of(st.none(), figures(0.9, 0.0, 0.05, 0.08, 0.9)),
        "water_l_per_kwh": st.one_of(st.none(), figures(1000, 1.6)),
        "version": st.sampled_from(("g1", "g2")),
        "estimated": maybe,
        "period_ms": st.sampled_from((HOUR_MS, HOUR_MS, 300_000, 8760 * HOUR_MS, HOUR_MS + 1, HOUR_MS - 1)),
    },
)
MARGINAL = segments(
    "zone",
    ("z", "y"),
    {
        "marginal_g_per_kwh": st.one_of(figures(5000, 700.0), st.floats(-5000, 0, allow_subnormal=False)),
        "version": st.just("m1"),
        "estimated": maybe,
    },
)


@st.composite
def energy_rows(draw: st.DrawFn) -> list[dict]:
    """Rows of fact_energy with awkward amounts, negative ones (rest) among them."""
    out = {}
    for _ in range(draw(st.integers(0, 6))):
        start = BASE_MS + draw(st.integers(-1, 5)) * HOUR_MS
        site, zone = draw(st.sampled_from((("s", "z"), ("t", "y"), ("u", None), (None, None), ("s", "y"), ("u", "z"))))
        named = draw(st.sampled_from((None, "a", "b")))
        energy = draw(st.one_of(st.integers(-50, 50), st.integers(-(10**15), 10**15), st.sampled_from((3600, 1800, 5400, 10**15))))
        row = dict.fromkeys(FACT_ENERGY.names, 0) | {
            "start_ms": start,
            "end_ms": start + HOUR_MS,
            "site": site,
            "zone": zone,
            "node": draw(st.sampled_from(("n", "m"))),
            "device": "d",
            "device_kind": "gpu",
            "line": "job_active" if named else "unattributed",
            "job": named,
            "boundary": draw(st.sampled_from(("component", "pdu", "facility"))),
            "simulated": draw(st.booleans()),
            "energy_mj": energy,
            "measured_mj": energy,
            "coverage": 1.0,
            "flags": None,
        }
        out[row_order(row)] = row
    return list(out.values())


@many
@given(energy_rows(), SITES, GRID, MARGINAL, segments("node", ("n", "m"), {"site": st.just("s"), "zone": st.just("z")}))
def test_every_row_of_emissions_is_the_oracles(
    energy: list[dict],
    sites: list[dict],
    grid: list[dict],
    marginal: list[dict],
    places: list[dict],
) -> None:
    got = emission_facts(
        pa.Table.from_pylist(energy, schema=table_schema(FACT_ENERGY)),
        table(sites, SITE_TYPES),
        table(grid, GRID_TYPES),
        table(marginal, MARGINAL_TYPES),
        table(places, NODE_PLACE_TYPES),
    )
    assert tuple(got.column_names) == FACT_EMISSIONS.names
    assert got.to_pylist() == sorted(oracle_emissions.emission_facts(energy, sites, grid, marginal, places), key=row_order)


def test_what_rests_on_the_overhead_rests_on_its_rounded_figure() -> None:
    """1 mJ x 0.5 is 0.5 mJ of overhead, rounded to 0: so are its emissions, where 0.5 mJ x 3600 g/kWh would not be."""
    row = dict.fromkeys(FACT_ENERGY.names, 0) | {
        "start_ms": BASE_MS, "end_ms": BASE_MS + HOUR_MS, "site": "s", "zone": "z", "node": "n", "device": "d", "device_kind": "gpu",
        "line": "unattributed", "job": None, "boundary": "component", "simulated": False, "energy_mj": 1, "flags": None,
    }
    ever = {"start_ms": -EVER, "end_ms": EVER, "version": "v"}
    given_figures = (
        [{"site": "s", "pue": 1.5, **ever}],
        [{"zone": "z", "direct_g_per_kwh": 3600.0, "period_ms": HOUR_MS, **ever}],
        [{"zone": "z", "marginal_g_per_kwh": 7200.0, **ever}],
        [{"node": "n", **ever}],
    )
    (got,) = emission_facts(
        pa.Table.from_pylist([row], schema=table_schema(FACT_ENERGY)),
        *(table(rows, types) for rows, types in zip(given_figures, (SITE_TYPES, GRID_TYPES, MARGINAL_TYPES, NODE_PLACE_TYPES), strict=True)),
    ).to_pylist()
    assert (got["overhead_mj"], got["location_ug"], got["overhead_location_ug"], got["marginal_screening_ug"]) == (0, 1, 0, 2)
