"""How many examples a property is tried on."""

from __future__ import annotations

import os

#: Outside CI a property is tried on a quarter of its examples: `make test` is to take minutes, and other examples are drawn each time.
_SHARE = 1 if os.environ.get("CI") else 4


def examples(number: int) -> int:
    """Of so many that CI tries, how many are tried here."""
    return number // _SHARE
