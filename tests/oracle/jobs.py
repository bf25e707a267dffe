"""From job events to job records (docs/accounting.md, section 4)."""

from __future__ import annotations

from wattlake_contracts.kinds import JOBS


def resolve_jobs(events: list[dict]) -> list[dict]:
    """One record per (job, node, device, start)."""
    of_key: dict[tuple, list[dict]] = {}
    for e in events:
        of_key.setdefault((e["job"], e["node"], e["device"], e["start_ms"]), []).append(e)
    out = []
    for (job, node, device, start), same in of_key.items():
        best = max(same, key=lambda e: (e["end_ms"] is not None, e["event_ms"], content(e)))
        still_open = best["end_ms"] is None
        end = max(start, best["event_ms"] + best["lease_ms"]) if still_open else best["end_ms"]
        share = 1_000_000 if best["share_ppm"] is None else best["share_ppm"]
        out.append({"job": job, "node": node, "device": device, "start_ms": start, "end_ms": end, "share_ppm": share, "open": still_open})
    return out


def content(event: dict) -> tuple:
    """What the event says, so that any two different ones have an order."""
    told = [event.get(c.name) for c in JOBS.columns]
    return tuple((value is not None, 0 if value is None else value) for value in told)
