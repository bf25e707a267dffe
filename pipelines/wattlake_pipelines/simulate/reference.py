"""What others would send: sites, embodied figures, the hourly grid and its later restatements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wattlake_contracts.kinds import EMBODIED
from wattlake_contracts.layout import DAY_MS, HOUR_MS
from wattlake_pipelines.simulate.events import Event, Row
from wattlake_pipelines.simulate.fleet import table
from wattlake_pipelines.simulate.options import GRID, Options

SOURCE = "wattlake simulate"
#: An hour's first figures are known so long after it, and one day in three is restated so much later.
_PUBLISHED_MS, _RESTATED_MS, _RESTATED_SHARE = HOUR_MS, 3 * DAY_MS, 1 / 3
#: A restatement moves a figure by so much (standard deviation, as a fraction).
_RESTATED_BY = 0.05


def sites(options: Options) -> Event:
    """The sites, from long before the start; some have another PUE from the middle on."""
    rows: list[Row] = []
    for site in table("sites.csv"):
        row: Row = {
            "site": site["site"], "zone": site["zone"], "pue": float(site["pue"]), "wue_l_per_kwh": float(site["wue_l_per_kwh"]),
            "reporting_tz": "UTC", "legal_entity": site["legal_entity"], "source": SOURCE, "estimated": False,
            "valid_from_ms": options.start_ms - 365 * DAY_MS, "known_from_ms": options.start_ms,
        }
        middle = options.start_ms + options.hours // 2 * HOUR_MS
        if site["later_pue"] and middle > options.start_ms:
            rows += [{**row, "valid_to_ms": middle}, {**row, "pue": float(site["later_pue"]), "valid_from_ms": middle}]
        else:
            rows.append(row)
    return Event(options.start_ms, "sites", tuple(rows))


def embodied(options: Options) -> Event:
    """What it took to build the simulated hardware (kg CO2e in the file, µg in the rows)."""
    scale = EMBODIED.column("embodied_ug").inputs[0].scale
    rows: tuple[Row, ...] = tuple({
        "sku": r["sku"], "embodied_ug": round(float(r["embodied_kg"]) * scale), "low_ug": round(float(r["low_kg"]) * scale),
        "high_ug": round(float(r["high_kg"]) * scale), "life_years": float(r["life_years"]), "boundary": "cradle-to-gate",
        "stages": "made up", "source": SOURCE, "estimated": True, "valid_from_ms": options.start_ms - 5 * 365 * DAY_MS,
        "known_from_ms": options.start_ms,
    } for r in table("hardware.csv"))
    return Event(options.start_ms, "embodied", rows)


def grid(options: Options) -> Iterator[Event]:
    """One record per zone and day, by time; of some days a second one, later, with other figures for part of the day.

    The first figures are marked estimated, the later ones not.
    """
    first = options.start_ms - options.start_ms % DAY_MS
    events = []
    for z, zone in enumerate(table("zones.csv")):
        for day, start in enumerate(range(first, options.end_ms, DAY_MS)):
            random = options.random(GRID, z, day)
            rows = _hours(zone, start, random)
            known = start + DAY_MS + _PUBLISHED_MS
            events.append(Event(known, "grid", rows))
            if random.random() < _RESTATED_SHARE or day == z == 0:
                later = known + _RESTATED_MS
                factors = 1 + _RESTATED_BY * random.standard_normal(len(rows))
                from_hour = int(random.integers(0, len(rows) - 1))
                again = tuple({
                    **row, **{k: round(float(str(row[k])) * f, 3) for k in ("direct_g_per_kwh", "lifecycle_g_per_kwh")},
                    "known_from_ms": later, "estimated": False,
                } for row, f in zip(rows, factors.tolist(), strict=True))
                events.append(Event(later, "grid", again[from_hour:]))
    yield from sorted(events, key=lambda e: (e.at_ms, str(e.rows[0]["zone"])))


def _hours(zone: dict[str, str], day_ms: int, random: np.random.Generator) -> tuple[Row, ...]:
    """24 hours: lowest at midday, when the sun shines, highest in the evening; noise of 4 %."""
    hours = np.arange(24)
    shape = 1 - float(zone["daily_swing"]) * np.exp(-(((hours - 12.5) / 3.5) ** 2)) + 0.12 * np.exp(-(((hours - 19.5) / 2.0) ** 2))
    direct = np.round(float(zone["direct_g_per_kwh"]) * shape * (1 + 0.04 * random.standard_normal(24)), 3)
    lifecycle = np.round(direct + float(zone["lifecycle_extra_g_per_kwh"]), 3)
    marginal = np.round(float(zone["marginal_g_per_kwh"]) * (1 + 0.1 * random.standard_normal(24)), 3)
    return tuple({
        "zone": zone["zone"], "start_ms": start, "end_ms": start + HOUR_MS, "direct_g_per_kwh": d, "lifecycle_g_per_kwh": lc,
        "marginal_g_per_kwh": m, "marginal_kind": "made up", "td_loss_fraction": float(zone["td_loss_fraction"]),
        "water_l_per_kwh": float(zone["water_l_per_kwh"]), "flow_basis": "consumption", "known_from_ms": start + HOUR_MS + _PUBLISHED_MS,
        "source": SOURCE, "estimated": True,
    } for start, d, lc, m in zip(
        range(day_ms, day_ms + DAY_MS, HOUR_MS), direct.tolist(), lifecycle.tolist(), marginal.tolist(), strict=True))
