"""How many of something, in words that fit the number."""

from __future__ import annotations

_OF_ONE = {"are": "is", "were": "was", "have": "has"}


def amount(count: int, noun: str, verb: str = "") -> str:
    """`1 record`, `2,000 records`; with a verb, given as it fits several: `1 record is`, `2 records are`. noun: of one; it takes an s."""
    several = count != 1
    did = verb if several or not verb else _OF_ONE.get(verb) or f"{verb}s"
    return f"{count:,} {noun}{'s' * several}{did and f' {did}'}"
