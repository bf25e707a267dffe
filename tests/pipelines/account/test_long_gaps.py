"""Readings too far apart to spread anything between them: nothing is made of the time between, whatever comes in whatever order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books import Books, at_once_and_bit_by_bit
from oracle.energy import energy_facts
from oracle.intervals import Settings
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import FACT_ENERGY
from wattlake_pipelines.account import dirty, element
from wattlake_pipelines.account.dirty import find_dirty
from wattlake_pipelines.account.references import gather
from worlds import HOUR, T0, Told, worlds

DAY = 24 * HOUR
#: As long as a gap may be in these worlds of six hours.
SHORT = Settings(longest_gap_ms=HOUR)


@pytest.fixture
def an_hour_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dirty, element):
        monkeypatch.setattr(module, "LONGEST_GAP_MS", SHORT.longest_gap_ms)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("an_hour_is_long")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(2, 5), st.integers(0, 99))
def test_bit_by_bit_in_any_order_gives_the_oracles_facts(told: list[Told], steps: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        whole, piecemeal = at_once_and_bit_by_bit(Path(name), told, steps, seed)
        assert piecemeal.facts() == whole.facts()
        assert _energy(whole) == _by_oracle(whole, told)


def _energy(books: Books) -> list[str]:
    return sorted(map(repr, _rows(books, "fact_energy")))


def _by_oracle(books: Books, told: list[Told]) -> list[str]:
    readings = [dict(row) for record in told if record.kind == "readings" for row in record.rows]
    hours = [T0 + h * HOUR for h in range(-1, 8)]
    jobs, places, devices = (_rows(books, f"accounted_{what}") for what in ("jobs", "places", "devices"))
    edges = books.connection.execute(f"SELECT zone, start_ms, end_ms FROM {ALIAS}.ref_grid").fetchall()
    cuts = [{"node": p["node"], "cut_ms": at} for p in places for at in (p["start_ms"], p["end_ms"])]
    cuts += [{"node": p["node"], "cut_ms": at} for zone, *span in edges for p in places for at in span
             if p["zone"] == zone and p["start_ms"] < at < p["end_ms"]]
    found = energy_facts(readings, hours, jobs, places, cuts, devices, SHORT)
    return sorted(repr({name: row.get(name) for name in FACT_ENERGY.names}) for row in found)


def _rows(books: Books, table: str) -> list[dict]:
    result = books.connection.execute(f"FROM {ALIAS}.{table}")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _told(seq: int, *at: tuple[int, int], device: str = "gpu0", node: str = "n0") -> Told:
    rows = tuple({"node": node, "device": device, "device_kind": "gpu", "epoch": "e", "ts_ms": ts, "energy_mj": mj, "power_mw": None,
                  "method": "counter", "boundary": "component", "simulated": False} for ts, mj in at)
    return Told("readings", rows, node, "boot", seq, T0 + 10 * HOUR)


#: 25 years before, as a clock with an empty battery has it.
LONG_AGO = T0 - 25 * 365 * DAY
REFERENCE = [
    Told("nodes", ({"node": "n0", "site": "s", "sku": "box", "event_ms": T0},), "n0", "told", 0, T0 + 10 * HOUR),
    Told("sites", ({"site": "s", "zone": "Z", "pue": 1.5},), "ref", "told", 0, T0 + 10 * HOUR),
    Told("grid", ({"zone": "Z", "start_ms": LONG_AGO - DAY, "end_ms": T0 + DAY, "direct_g_per_kwh": 100.0},), "ref", "told", 1, T0 + 10 * HOUR),
]


def test_readings_decades_apart_cost_the_hours_that_they_lie_in_and_so_do_references(tmp_path: Path) -> None:
    books = Books(tmp_path)
    readings = _told(0, (LONG_AGO, 5), (LONG_AGO + HOUR // 2, 7), (T0, 10**9), (T0 + HOUR // 2, 10**9 + 3))
    books.land_and_account([readings])
    assert [(r["start_ms"], r["energy_mj"]) for r in _rows(books, "fact_energy")] == [(LONG_AGO // HOUR * HOUR, 2), (T0, 3)]
    for record in REFERENCE:  # a place, its figures and its grid hold for all these years
        books.land_and_account([record])
    assert [(r["start_ms"], r["energy_mj"], r["basis"]) for r in _rows(books, "fact_emissions")] == [
        (LONG_AGO // HOUR * HOUR, 2, "period"), (T0, 3, "period")]


@pytest.mark.usefixtures("an_hour_is_long")
def test_a_reading_between_is_bridged_as_far_as_its_neighbours_are_near(tmp_path: Path) -> None:
    """100 minutes are not bridged; the reading that comes late, after 70 of them, is 30 from the one after it."""
    books, once = Books(tmp_path / "late"), Books(tmp_path / "once")
    minute = HOUR // 60
    early, late = _told(0, (T0 - 110 * minute, 0), (T0 - 100 * minute, 100), (T0, 1000)), _told(1, (T0 - 30 * minute, 400))
    books.land_and_account([early])
    assert sum(r["energy_mj"] for r in _rows(books, "fact_energy")) == 100
    books.land_and_account([late])
    assert sum(r["energy_mj"] for r in _rows(books, "fact_energy")) == 100 + 600
    once.land_and_account([early, late])
    assert books.facts() == once.facts()


@pytest.mark.usefixtures("an_hour_is_long")
@pytest.mark.parametrize(("gap", "lives"), [(HOUR, 1), (2 * HOUR, 1), (3 * HOUR, 2)])
def test_what_is_dirty_leaves_out_no_hour_that_may_be_bridged(tmp_path: Path, gap: int, lives: int) -> None:
    books = Books(tmp_path)
    books.land_and_account([_told(0, (T0 - gap, 0), (T0, 10))])
    assert bool(_rows(books, "fact_energy")) == (gap == HOUR)
    find_dirty(books.connection, gather(books.connection))
    assert books.connection.execute("SELECT count(*) FROM node_life").fetchall() == [(lives,)]
