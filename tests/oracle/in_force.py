"""What was in force, one stretch of time at a time (docs/accounting.md, section 6)."""

from __future__ import annotations

import itertools

EVER = 2**62


def in_force(rows: list[dict], key: list[str], start: str, end: str) -> list[dict]:
    """Disjoint segments per key, each with the version that holds; neighbours of one version are one."""
    dropped = {*key, start, end, "known_from_ms", "version", "shipped"}
    of_key: dict[tuple, list[dict]] = {}
    for row in rows:
        of_key.setdefault(tuple(row[k] for k in key), []).append(row)
    out = []
    for values in sorted(of_key, key=lambda v: tuple((x is not None, x) for x in v)):
        spans = [(begin(r, start), finish(r, end), r) for r in of_key[values]]
        versions = [(s, e, r) for s, e, r in spans if s < e]
        edges = sorted({t for a, b, _ in versions for t in (a, b)})
        for a, b in itertools.pairwise(edges):
            covering = [(s, e, r) for s, e, r in versions if s <= a and b <= e]
            if not covering:
                continue
            best = max(covering, key=lambda v: (not v[2]["shipped"], v[2]["known_from_ms"], v[0], -v[1], v[2]["version"]))[2]
            if out and out[-1]["end_ms"] == a and out[-1]["version"] == best["version"] and all(out[-1][k] == best[k] for k in key):
                out[-1]["end_ms"] = b
                continue
            payload = {c: v for c, v in best.items() if c not in dropped}
            out.append({**dict(zip(key, values, strict=True)), "start_ms": a, "end_ms": b, **payload, "version": best["version"]})
    return out


def begin(row: dict, start: str) -> int:
    """When it begins to hold."""
    return -EVER if row[start] is None else row[start]


def finish(row: dict, end: str) -> int:
    """When it ceases to hold."""
    return EVER if row[end] is None else row[end]
