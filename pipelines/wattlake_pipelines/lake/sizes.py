"""Which files are worth writing anew as one: few rewritings of each row, and few files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_File = TypeVar("_File")


def small_ones(sizes: Sequence[tuple[_File, int]], joined: int, small: int) -> list[_File]:
    """Of (file, size): those below `small`, and then, from the least, each that is no larger than all taken before it together.

    joined: the size of what they are to be joined with. What is left grows at least twofold from one file
    to the next, so there are no more than the logarithm of the whole, and each row is written as often.
    """
    taken = []
    for name, size in sorted(sizes, key=lambda pair: pair[1]):
        if size >= small and size > joined:
            break
        taken.append(name)
        joined += size
    return taken
