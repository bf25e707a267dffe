"""Splits by largest remainder (docs/accounting.md, section 4)."""

from __future__ import annotations

WHOLE = 1_000_000


def split(amount: int, weights: list[int]) -> list[int]:
    """The amount in parts that follow the weights and add up to it; ties go to the earlier part."""
    total = sum(weights)
    size = abs(amount)
    parts = [size * w // total for w in weights]
    left = size - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % total), i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return [-p for p in parts] if amount < 0 else parts


def lines(weight_of_job: dict[str, int]) -> tuple[list[tuple[str, str | None, int]], bool]:
    """Who takes part in a split: (line, job, weight) in order, and whether the jobs ask for too much."""
    named = [("job_active", job, weight_of_job[job]) for job in sorted(weight_of_job)]
    asked = sum(weight_of_job.values())
    return [*named, ("unattributed", None, max(0, WHOLE - asked))], asked > WHOLE


def widest(records: list[dict]) -> dict[str, int]:
    """Per job the greatest share of its records."""
    weights: dict[str, int] = {}
    for record in records:
        weights[record["job"]] = max(weights.get(record["job"], 0), record["share_ppm"])
    return weights
