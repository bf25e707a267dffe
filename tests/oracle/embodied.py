"""Embodied emissions, item by item and day by day (docs/accounting.md, section 8)."""

from __future__ import annotations

import itertools
import math

from oracle.energy import inside
from oracle.shares import lines, split, widest

DAY_MS = 86_400_000
YEAR_MS = 8_760 * 3_600_000


def embodied_facts(items: list[dict], jobs: list[dict], days_ms: list[int], watermark_ms: int) -> list[dict]:
    """The rows of fact_embodied for these days."""
    sums: dict[tuple, list] = {}
    for item in items:
        for day in sorted(set(days_ms)):
            for key, ug, ms in item_day(item, jobs, day, watermark_ms):
                total = sums.setdefault(key, [None, 0])
                total[1] += ms
                if ug is not None:
                    total[0] = (total[0] or 0) + ug
    names = ("start_ms", "end_ms", "node", "device", "line", "job", "version", "estimated", "simulated", "basis")
    rows = [{**dict(zip(names, key, strict=True)), "embodied_ug": ug, "reserved_ms": ms} for key, (ug, ms) in sums.items()]
    return sorted(rows, key=lambda r: tuple((r[c] is not None, r[c]) if r[c] is not None else (False, "")
                                            for c in ("start_ms", "node", "device", "line", "job", "version", "basis", "simulated")))


def item_day(item: dict, jobs: list[dict], day: int, watermark_ms: int) -> list[tuple]:
    """(key, embodied_ug, reserved_ms) of one item in one day, cell by cell."""
    if item["component_of"] is not None and item["component_of"] == item["machine_sku"]:
        return []
    if item["device"] is not None and item["sku"] is None:
        return []
    acquired, valid_from = item["acquired_on_ms"], item["valid_from_ms"]
    t0 = valid_from if acquired is None else acquired
    start = max(t for t in (acquired, valid_from, day) if t is not None)
    end = min(t for t in (item["retired_on_ms"], item["valid_to_ms"], watermark_ms, day + DAY_MS) if t is not None)
    reason = None
    if item["sku"] is None:
        reason = "no sku"
    elif item["embodied_ug"] is None or item["life_years"] is None:
        reason = "no factor"
    elif t0 is None:
        reason = "no start"
    elif (life_end := t0 + life_ms(item)) < end:
        end = life_end
    if start >= end:
        return []
    common = (item["version"], item["estimated"], item["simulated"])
    whole = (day, day + DAY_MS, item["node"], item["device"])
    if reason is not None:
        return [((*whole, "unattributed", None, *common, reason), None, end - start)]
    holding = [j for j in jobs if j["node"] == item["node"] and j["start_ms"] < j["end_ms"] and j["device"] in (None, item["device"])]
    basis = "valid_from" if acquired is None else "acquired_on"
    edges = inside(start, end, [t for j in holding for t in (j["start_ms"], j["end_ms"])])
    out = []
    for a, b in itertools.pairwise(edges):
        takers, _ = lines(widest([j for j in holding if j["start_ms"] <= a and b <= j["end_ms"]]))
        weights = [w for _, _, w in takers]
        ug = split(accrued(item, t0, b) - accrued(item, t0, a), weights)
        ms = split(b - a, weights)
        out += [((*whole, line, job, *common, basis), ug[i], ms[i]) for i, (line, job, _) in enumerate(takers)]
    return out


def life_ms(item: dict) -> int:
    """Years of 8,760 h, to the nearest ms."""
    return math.floor(item["life_years"] * YEAR_MS + 0.5)


def accrued(item: dict, t0: int, t: int) -> int:
    """A(t), rounded half up once."""
    life = life_ms(item)
    return (2 * item["embodied_ug"] * min(t - t0, life) + life) // (2 * life)
