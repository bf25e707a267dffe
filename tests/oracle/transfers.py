"""Data movement, transfer by transfer (docs/accounting.md, section 9)."""

from __future__ import annotations

from oracle.emissions import at, times
from wattlake_contracts.kinds import TRANSFERS

BYTES_PER_GB = 1e9


def transfer_facts(transfers: list[dict], factors: list[dict], site_zone: list[dict], grid: list[dict]) -> list[dict]:
    """The rows of fact_transfers: of those with one id the one written down last, then the greater content."""
    last: dict[str, dict] = {}
    for row in transfers:
        if row["id"] not in last or order(row) > order(last[row["id"]]):
            last[row["id"]] = row
    return [transfer_row(last[i], factors, site_zone, grid) for i in sorted(last)]


def order(row: dict) -> tuple:
    """Which of two rows of one id holds: the greater."""
    told = [row[c.name] for c in TRANSFERS.columns]
    return row["appended_ms"], [(value is not None, 0 if value is None else value) for value in told]


def direct_at(site: str, t: int, site_zone: list[dict], grid: list[dict]) -> float | None:
    """The direct figure of the zone that a site is in."""
    place = at(site_zone, "site", site, t)
    mix = at(grid, "zone", place["zone"], t) if place else None
    return mix["direct_g_per_kwh"] if mix else None


def transfer_row(row: dict, factors: list[dict], site_zone: list[dict], grid: list[dict]) -> dict:
    """One row of fact_transfers."""
    t = row["ts_ms"]
    factor = next((f for f in factors if f["medium"] == row["medium"] and f["from_ms"] <= t < f["to_ms"]), None)
    energy = allot(row["bytes"], factor, "energy_mj_per_gb")
    ends = [direct_at(row[c], t, site_zone, grid) for c in ("from_site", "to_site")]
    known = [g for g in ends if g is not None]
    mean = None if not known else known[0] if len(known) == 1 else (known[0] + known[1]) / 2
    return {
        **{c: row[c] for c in ("id", "ts_ms", "job", "model", "dataset", "medium", "from_site", "to_site", "bytes")},
        "energy_mj": energy, "low_mj": allot(row["bytes"], factor, "low_mj_per_gb"),
        "high_mj": allot(row["bytes"], factor, "high_mj_per_gb"),
        "location_ug": times(energy, mean), "embodied_ug": None, "factor": factor and factor["factor"], "simulated": row["simulated"],
        "basis": "no factor" if energy is None else ("no grid figure", "one end", "both ends")[len(known)],
    }


def allot(size: int, factor: dict | None, name: str) -> int | None:
    """The energy of so many bytes, half to even."""
    return None if factor is None or factor[name] is None else round(float(size) * factor[name] / BYTES_PER_GB)
