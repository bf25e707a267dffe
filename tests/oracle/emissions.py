"""Emissions of one row of energy after the other (docs/accounting.md, section 7)."""

from __future__ import annotations

from oracle.tree import HOUR_MS

KEY = ("start_ms", "end_ms", "site", "zone", "node", "device", "device_kind", "line", "job", "boundary", "simulated")
MJ_PER_KWH_MILLIONTH = 3600  # mJ x g/kWh / 3600 = ug


def emission_facts(energy: list[dict], sites: list[dict], grid: list[dict], marginal: list[dict], places: list[dict]) -> list[dict]:
    """The rows of fact_emissions, in the order of the energy rows."""
    return [emission_row(row, sites, grid, marginal, places) for row in energy]


def at(segments: list[dict], key: str, value: str | None, t: int) -> dict | None:
    """The segment of that key in force at t."""
    for s in segments:
        if value is not None and s[key] == value and s["start_ms"] <= t < s["end_ms"]:
            return s
    return None


def emission_row(row: dict, sites: list[dict], grid: list[dict], marginal: list[dict], places: list[dict]) -> dict:
    """One row of fact_emissions."""
    start = row["start_ms"]
    site, mix = at(sites, "site", row["site"], start), at(grid, "zone", row["zone"], start)
    margin = at(marginal, "zone", row["zone"], start)
    direct, lifecycle = figure(mix, "direct_g_per_kwh"), figure(mix, "lifecycle_g_per_kwh")
    loss, pue = figure(mix, "td_loss_fraction"), figure(site, "pue")
    energy = row["energy_mj"]
    overhead = None
    if row["boundary"] == "facility":
        overhead = 0
    elif pue is not None:
        overhead = round(float(energy) * (pue - 1))
    both = None if overhead is None else energy + overhead
    upstream = None
    if direct is not None and lifecycle is not None and loss is not None:
        upstream = (lifecycle - direct) + lifecycle * loss / (1 - loss)
    key = {c: row[c] for c in KEY}
    used = [s for s in (site, mix, margin) if s is not None]
    return {
        **key, "energy_mj": energy, "overhead_mj": overhead,
        "location_ug": times(energy, direct), "overhead_location_ug": times(overhead, direct), "upstream_ug": times(both, upstream),
        "marginal_screening_ug": times(both, figure(margin, "marginal_g_per_kwh")),
        "water_site_ul": times(energy, figure(site, "wue_l_per_kwh")), "water_grid_ul": times(both, figure(mix, "water_l_per_kwh")),
        "grid_version": figure(mix, "version"), "site_version": figure(site, "version"), "marginal_version": figure(margin, "version"),
        "estimated": any(bool(s["estimated"]) for s in used) if used else None,
        "basis": basis(row, mix, places),
    }


def figure(segment: dict | None, name: str):
    """A figure of a segment, None if there is none."""
    return None if segment is None else segment[name]


def times(amount: int | None, per_kwh: float | None) -> int | None:
    """mJ x something per kWh, in millionths of that something, half to even."""
    return None if amount is None or per_kwh is None else round(float(amount) * per_kwh / MJ_PER_KWH_MILLIONTH)


def basis(row: dict, mix: dict | None, places: list[dict]) -> str:
    """What the figures rest on, or why they are unknown."""
    if at(places, "node", row["node"], row["start_ms"]) is None:
        return "unknown node"
    if row["zone"] is None:
        return "unknown site"
    if mix is None or mix["direct_g_per_kwh"] is None:
        return "no grid figure"
    if mix["period_ms"] == HOUR_MS:
        return "hourly"
    return "subhourly" if mix["period_ms"] < HOUR_MS else "period"
