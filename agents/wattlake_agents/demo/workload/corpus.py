"""Text to learn from, made by a seeded grammar: the demo needs no download."""

from __future__ import annotations

import random
from collections.abc import Iterator

_SUBJECTS = {
    "general": ("the river", "a gardener", "my neighbour", "the old mill", "a small boat", "the baker", "their teacher", "the north wind"),
    "service": ("the node", "a rack", "the battery", "your meter", "the cooling loop", "a transformer", "the switch", "the feeder"),
}
_VERBS = {
    "general": ("follows", "remembers", "paints", "carries", "finds", "leaves", "watches", "mends"),
    "service": ("reports", "draws", "exceeds", "restores", "limits", "records", "drops", "measures"),
}
_OBJECTS = {
    "general": ("the morning light", "a quiet road", "seven apples", "the long winter", "an open door", "the harvest", "a blue lantern"),
    "service": ("ninety watts", "the night load", "a spare phase", "two kilowatt hours", "the setpoint", "an alarm", "the daily quota"),
}
DATASETS = tuple(_SUBJECTS)


def text(dataset: str, length: int, seed: int) -> Iterator[str]:
    """Sentences of one of DATASETS, a line each, `length` characters in all or a few more.

    The same arguments give the same text. Pieces of some thousand lines are given at a time.
    """
    chance = random.Random(f"{dataset} {seed}")  # noqa: S311  # text to learn from, not a secret
    made = 0
    while made < length:
        parts = [chance.choices(words[dataset], k=4096) for words in (_SUBJECTS, _VERBS, _OBJECTS)]
        numbers = chance.choices(range(1000), k=4096)
        piece = "".join(f"{s} {v} {o} in week {n}.\n" for s, v, o, n in zip(*parts, numbers, strict=True))
        made += len(piece)
        yield piece
