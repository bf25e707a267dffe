"""Energy facts, cell by cell (docs/accounting.md, sections 2 to 5)."""

from __future__ import annotations

import itertools
from typing import Any

from oracle.intervals import CLASSES, Piece, Settings, device_pieces
from oracle.shares import lines, split, widest
from oracle.tree import HOUR_MS, Cell, coverage, rank

DEFAULTS = Settings()


def energy_facts(
    readings: list[dict], hours_ms: list[int], jobs: list[dict], places: list[dict], cuts: list[dict], devices: list[dict],
    settings: Any = DEFAULTS,
) -> list[dict]:
    """The rows of fact_energy for these hours."""
    of_node: dict[str, dict[str, list[Piece]]] = {}
    for (node, device), pieces in device_pieces(readings, devices, settings).items():
        of_node.setdefault(node, {})[device] = pieces
    rows = []
    for hour in sorted(set(hours_ms)):
        for node, pieces in of_node.items():
            rows += node_hour(node, hour, pieces, jobs, places, cuts, devices)
    return sorted(rows, key=row_order)


def row_order(row: dict) -> tuple:
    """How fact_energy is sorted."""
    first = tuple(row[c] for c in ("start_ms", "node", "device", "line"))
    return (*first, row["job"] or "", row["boundary"], row["simulated"], row["device_kind"])


def node_hour(
    node: str, hour: int, pieces: dict[str, list[Piece]], jobs: list[dict], places: list[dict], cuts: list[dict], devices: list[dict],
) -> list[dict]:
    """The rows of one node and hour."""
    end = hour + HOUR_MS
    known = {d: found for d, all_ in pieces.items() if (found := [p for p in all_ if p.touches(hour, end)])}
    held = [j for j in jobs if j["node"] == node and j["start_ms"] < j["end_ms"]]
    periods = period_edges(node, hour, cuts)
    edges = cell_edges(node, hour, known, jobs, cuts, devices)
    sums: dict[tuple, tuple[dict[str, int], set]] = {}
    owner_of: dict[tuple, str] = {}
    for start, stop in itertools.pairwise(edges):
        period = max(t for t in periods if t <= start)
        for leaf in Cell(node, start, stop, known, devices).leaves():
            records = [j for j in held if j["start_ms"] <= start and stop <= j["end_ms"] and j["device"] in (None, leaf.owner)]
            takers, oversubscribed = lines(widest(records))
            flags = leaf.flags | ({"oversubscribed"} if oversubscribed else set())
            parts = {klass: split(leaf.energy[klass], [w for _, _, w in takers]) for klass in CLASSES}
            for i, (line, job, _) in enumerate(takers):
                key = (period, leaf.device, line, job, leaf.boundary, leaf.simulated, leaf.device_kind)
                energy, seen = sums.setdefault(key, (dict.fromkeys(CLASSES, 0), set()))
                for klass in CLASSES:
                    energy[klass] += parts[klass][i]
                seen |= flags
                owner_of[key] = leaf.owner
    rows = []
    for key, (energy, seen) in sums.items():
        period, device, line, job, boundary, simulated, device_kind = key
        stop = min(t for t in periods if t > period)
        place = next((p for p in places if p["node"] == node and p["start_ms"] <= period < p["end_ms"]), None)
        read = [p for p in known[owner_of[key]] if p.of.klass != "imputed"]
        covered = sum(max(0, min(stop, p.end) - max(period, p.start)) for p in read)
        rows.append({
            "start_ms": period, "end_ms": stop, "site": place and place["site"], "zone": place and place["zone"], "node": node,
            "device": device, "device_kind": device_kind, "line": line, "job": job, "boundary": boundary, "simulated": simulated,
            "energy_mj": sum(energy.values()), **{f"{k}_mj": energy[k] for k in CLASSES},
            "coverage": covered / (stop - period), "flags": ",".join(sorted(seen)) or None,
        })
    return rows


def period_edges(node: str, hour: int, cuts: list[dict]) -> list[int]:
    """The hour and what cuts it into periods."""
    return inside(hour, hour + HOUR_MS, [c["cut_ms"] for c in cuts if c["node"] == node])


def cell_edges(node: str, hour: int, known: dict[str, list[Piece]], jobs: list[dict], cuts: list[dict], devices: list[dict]) -> list[int]:
    """Section 2: the hour and all that cuts it."""
    of_jobs = [t for j in jobs if j["node"] == node and j["start_ms"] < j["end_ms"] for t in (j["start_ms"], j["end_ms"])]
    parents = [d for d in known if can_be_parent(node, d, hour, known[d], devices)]
    of_coverage = [t for d in parents for span in coverage(known[d]) for t in span]
    return inside(hour, hour + HOUR_MS, period_edges(node, hour, cuts), of_jobs, of_coverage)


def inside(start: int, end: int, *instants: list[int]) -> list[int]:
    """Edges in order: start, end and the instants between."""
    return sorted({start, end, *(t for some in instants for t in some if start < t < end)})


def can_be_parent(node: str, device: str, hour: int, pieces: list[Piece], devices: list[dict]) -> bool:
    """Whether the device's coverage cuts the hour: by its rank, or because the inventory names it."""
    named = [d for d in devices if d["node"] == node and d["parent"] == device and d["start_ms"] < hour + HOUR_MS and d["end_ms"] > hour]
    return bool(named) or any(rank(p.of.device_kind, p.of.boundary) > 0 for p in pieces)
