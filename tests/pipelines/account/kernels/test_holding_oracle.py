"""Job records and embodied emissions: the kernels against the oracle."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from how_many import examples
from oracle import embodied as oracle_embodied
from oracle.embodied import DAY_MS
from oracle.jobs import resolve_jobs as oracle_resolve_jobs
from oracle.worlds import BASE_MS, JOB_TYPES, table
from wattlake_contracts.tables import FACT_EMBODIED, RAW_JOBS
from wattlake_pipelines.account.kernels.embodied import embodied_facts
from wattlake_pipelines.account.kernels.jobs import resolve_jobs
from wattlake_pipelines.arrow_schema import table_schema

many = settings(max_examples=examples(300), deadline=None)


@st.composite
def events(draw: st.DrawFn) -> list[dict]:
    """Starts, renewals, stops and contradictions of a few jobs."""
    out = []
    for _ in range(draw(st.integers(0, 10))):
        start = BASE_MS + draw(st.integers(0, 1))
        out.append(
            dict.fromkeys(RAW_JOBS.names)
            | {
                "job": draw(st.sampled_from(("a", "é"))),
                "node": draw(st.sampled_from(("n", "m"))),
                "device": draw(st.sampled_from((None, "g"))),
                "start_ms": start,
                "end_ms": draw(st.one_of(st.none(), st.integers(start + 1, start + 3))),
                "event_ms": BASE_MS + draw(st.integers(-5, 2)),
                "lease_ms": draw(st.sampled_from((0, 3, 180_000))),
                "share_ppm": draw(st.sampled_from((None, 1, 500_000, 1_000_000))),
                "user": draw(st.sampled_from((None, "u", "v"))),
                "flop": draw(st.sampled_from((None, 1.5))),
                "simulated": draw(st.booleans()),
                "writer": "w",
                "boot": "b",
                "seq": draw(st.integers(0, 9)),
                "appended_ms": BASE_MS + draw(st.integers(0, 9)),
            }
        )
    return out


def in_order(records: list[dict]) -> list[dict]:
    """Job records by their key."""
    return sorted(records, key=lambda r: (r["job"], r["node"], r["device"] is not None, r["device"] or "", r["start_ms"]))


@many
@given(events(), st.randoms(use_true_random=False))
def test_job_records_are_the_oracles_in_whatever_order_the_events_come(said: list[dict], chance: random.Random) -> None:
    want = in_order(oracle_resolve_jobs(said))
    again = said + [dict(e) for e in said if chance.random() < 0.3]
    chance.shuffle(again)
    for rows in (said, again):
        got = resolve_jobs(pa.Table.from_pylist(rows, schema=table_schema(RAW_JOBS))).to_pylist()
        assert in_order(got) == want


ITEM_TYPES = {
    "node": pa.string(),
    "device": pa.string(),
    "sku": pa.string(),
    "machine_sku": pa.string(),
    "acquired_on_ms": pa.int64(),
    "retired_on_ms": pa.int64(),
    "valid_from_ms": pa.int64(),
    "valid_to_ms": pa.int64(),
    "embodied_ug": pa.int64(),
    "life_years": pa.float64(),
    "version": pa.string(),
    "estimated": pa.bool_(),
    "component_of": pa.string(),
    "simulated": pa.bool_(),
}
HALF_DAYS = st.integers(-3, 9).map(lambda n: BASE_MS + n * DAY_MS // 2)
moments = st.one_of(HALF_DAYS, st.integers(-2 * DAY_MS, 4 * DAY_MS).map(lambda t: BASE_MS + t), st.just(BASE_MS - 3 * 365 * DAY_MS))
maybe_moment = st.one_of(st.none(), moments)


@st.composite
def inventories(draw: st.DrawFn) -> list[dict]:
    """Machines and devices with dates known or not, lives of hours to decades, factors there or not."""
    out = []
    for node in ("n", "m"):
        for device in draw(st.lists(st.sampled_from((None, None, "g", "h")), max_size=3)):
            embodied, life = draw(
                st.sampled_from(
                    (
                        (None, None),
                        (0, 4.0),
                        (1, 4.0),
                        (1_500 * 10**9, 4.0),
                        (2**53, 0.1),
                        (10**12, 3.7),
                        (999_999_999_989, 1 / 3),
                        (7, 100.0),
                    )
                )
            )
            out.append(
                {
                    "node": node,
                    "device": device,
                    "sku": draw(st.sampled_from((None, "x", "x", "x"))),
                    "machine_sku": draw(st.sampled_from((None, "box"))),
                    "acquired_on_ms": draw(maybe_moment),
                    "retired_on_ms": draw(maybe_moment),
                    "valid_from_ms": draw(maybe_moment),
                    "valid_to_ms": draw(maybe_moment),
                    "embodied_ug": embodied,
                    "life_years": life,
                    "version": draw(st.sampled_from((None, "v1", "v2"))),
                    "estimated": draw(st.sampled_from((None, True, False))),
                    "component_of": draw(st.sampled_from((None, None, "box", "other"))),
                    "simulated": draw(st.booleans()),
                }
            )
    return out


@st.composite
def holders(draw: st.DrawFn) -> list[dict]:
    """Job records that may ask for too much."""
    return [
        {
            "job": draw(st.sampled_from(("a", "b", "é"))),
            "node": draw(st.sampled_from(("n", "n", "m"))),
            "device": draw(st.sampled_from((None, "g", "stranger"))),
            "start_ms": draw(moments),
            "end_ms": draw(moments),
            "share_ppm": draw(st.sampled_from((1, 333_333, 500_000, 700_000, 1_000_000))),
        }
        for _ in range(draw(st.integers(0, 5)))
    ]


def in_books(row: dict) -> tuple:
    """Everything of a row, to sort by."""
    return tuple((row[c] is not None, row[c] if row[c] is not None else 0) for c in FACT_EMBODIED.names)


DAYS = st.lists(st.integers(-2, 5), min_size=1, max_size=4, unique=True)


def by_kernel(items: list[dict], jobs: list[dict], days: list[int], watermark: int) -> list[dict]:
    """What the kernel makes of it."""
    got = embodied_facts(table(items, ITEM_TYPES), table(jobs, JOB_TYPES), np.array(days, np.int64), watermark)
    assert tuple(got.column_names) == FACT_EMBODIED.names
    return got.to_pylist()


@many
@given(inventories(), holders(), DAYS, moments, st.randoms(use_true_random=False))
def test_every_embodied_row_is_the_oracles(
    items: list[dict],
    jobs: list[dict],
    days: list[int],
    watermark: int,
    chance: random.Random,
) -> None:
    at = [BASE_MS + d * DAY_MS for d in days]
    want = sorted(oracle_embodied.embodied_facts(items, jobs, at, watermark), key=in_books)
    assert sorted(by_kernel(items, jobs, at, watermark), key=in_books) == want
    together = by_kernel(items, jobs, at, watermark)
    for rows in (items, jobs, at):
        chance.shuffle(rows)
    assert by_kernel(items, jobs, at, watermark) == together
    assert [r for day in sorted(at) for r in by_kernel(items, jobs, [day], watermark)] == together


@many
@given(holders(), st.integers(0, 10**13), st.sampled_from((0.1, 1.0, 4.0)))
def test_embodied_emissions_close_on_the_accrued_amount(jobs: list[dict], embodied: int, years: float) -> None:
    """Over its days an item accrues the difference of A, whoever held it, and its reserved time is its time."""
    item = dict.fromkeys(ITEM_TYPES) | {
        "node": "n",
        "sku": "x",
        "acquired_on_ms": BASE_MS - 36 * DAY_MS,
        "embodied_ug": embodied,
        "life_years": years,
        "simulated": False,
    }
    days = [BASE_MS + d * DAY_MS for d in range(3)]
    rows = by_kernel([item], jobs, days, BASE_MS + 2 * DAY_MS + 1)
    life = int(years * 8760 * 3_600_000)
    at = [(2 * embodied * min(t, life) + life) // (2 * life) for t in (36 * DAY_MS, 38 * DAY_MS + 1)]
    if rows:
        assert sum(r["embodied_ug"] for r in rows) == at[1] - at[0]
        assert sum(r["reserved_ms"] for r in rows) == min(2 * DAY_MS + 1, life - 36 * DAY_MS)
    assert bool(rows) == (life > 36 * DAY_MS)
