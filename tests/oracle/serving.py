"""Serving counters (docs/accounting.md, section 9)."""

from __future__ import annotations

import itertools

from oracle.intervals import is_outlier
from oracle.tree import HOUR_MS

LONGEST_GAP_MS = 400 * 24 * HOUR_MS
COUNTERS = ("requests", "tokens_in", "tokens_out", "tokens_cached", "units")
SERIES = ("model", "node", "job", "site", "unit", "epoch")
KEY = ("model", "job", "node", "site", "unit")


def serving_facts(rows: list[dict], hours_ms: list[int]) -> list[dict]:
    """The rows of fact_serving for these hours."""
    series: dict[tuple, list[dict]] = {}
    for row in rows:
        series.setdefault(tuple(row[c] for c in SERIES), []).append(row)
    sums: dict[tuple, dict] = {}
    for same in series.values():
        for a, b in intervals(same):
            for hour in sorted(set(hours_ms)):
                start, end = max(hour, a["ts_ms"]), min(hour + HOUR_MS, b["ts_ms"])
                if start >= end:
                    continue
                total = sums.setdefault((hour, *(b[c] for c in KEY), b["simulated"]), dict.fromkeys(COUNTERS))
                for c in COUNTERS:
                    if a[c] is not None and b[c] is not None:
                        total[c] = (total[c] or 0) + upto(a, b, c, end) - upto(a, b, c, start)
    out = [{"start_ms": k[0], "end_ms": k[0] + HOUR_MS, **dict(zip(KEY, k[1:-1], strict=True)), "simulated": k[-1], **total}
           for k, total in sums.items()]
    return sorted(out, key=lambda r: tuple(nulls_first(r[c]) for c in ("start_ms", "model", "job", "node", "site", "unit", "simulated")))


def nulls_first(value) -> tuple:
    """A key to sort by."""
    return (False, 0) if value is None else (True, value)


def upto(a: dict, b: dict, counter: str, t: int) -> int:
    """The counter's growth from a to t, rounded half up once."""
    length = b["ts_ms"] - a["ts_ms"]
    return (2 * (b[counter] - a[counter]) * (t - a["ts_ms"]) + length) // (2 * length)


def intervals(rows: list[dict]) -> list[tuple[dict, dict]]:
    """Pairs of readings between which every counter may be told."""
    by_ts: dict[int, list[dict]] = {}
    for row in rows:
        by_ts.setdefault(row["ts_ms"], []).append(row)
    kept = [max(by_ts[t], key=lambda r: tuple(nulls_first(r[c]) for c in (*COUNTERS, "simulated"))) for t in sorted(by_ts)]
    left = [r for i, r in enumerate(kept) if not (0 < i < len(kept) - 1 and out_of_line(kept[i - 1], r, kept[i + 1]))]
    return [(a, b) for a, b in itertools.pairwise(left)
            if b["ts_ms"] - a["ts_ms"] <= LONGEST_GAP_MS and not any(known(a, b, c) and b[c] < a[c] for c in COUNTERS)]


def known(a: dict, b: dict, counter: str) -> bool:
    """Whether both ends tell the counter."""
    return a[counter] is not None and b[counter] is not None


def out_of_line(before: dict, row: dict, after: dict) -> bool:
    """Whether one of its counters is an outlier."""
    return any(
        None not in (before[c], row[c], after[c]) and is_outlier(before[c], row[c], after[c]) for c in COUNTERS
    )
