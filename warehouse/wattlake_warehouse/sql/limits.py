"""How much one statement may use."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one statement. A result of more than `rows` is cut; the other bounds end it with an error."""

    rows: int = 10_000
    timeout_s: float = 60.0
    memory_mib: int = 1024
    threads: int = 2
    #: of the result as it travels to the parent
    result_mib: int = 64
    #: what may spill to disk
    spill_mib: int = 2048
