"""Landing, accounting and dumping a lake in tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from wattlake_contracts.tables import FACTS
from wattlake_pipelines.account.account import Accounted, account
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.seed import seed
from wattlake_pipelines.land.land import land
from wattlake_pipelines.land.source import Source


def run(lake: Path, log: Path | Source, *, shards: int = 1, pieces: int = 1, options: tuple[str, ...] = (), round_bytes: int = 2**28,
        on_step: Callable[[str], None] | None = None, shipped: bool = False) -> Accounted:
    """Land all that the log holds and account for it."""
    with Committer(lake, shards=shards, on_step=on_step) as committer:
        if shipped:
            seed(committer)
        land(committer, log, round_bytes=round_bytes, pieces=pieces, options=options)
        return account(committer, options=options)


def rows(lake: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query on the lake (attached as `lake`)."""
    with Committer(lake) as committer:
        return committer.query(sql).fetchall()


def dump(lake: Path) -> dict[str, str]:
    """sha256 of the sorted dump of every fact table."""
    with Committer(lake) as committer:
        return dump_of(committer)


def dump_of(committer: Committer) -> dict[str, str]:
    """The same of a lake that is open."""
    return {name: hashlib.sha256("\n".join(map(repr, committer.query(f"SELECT * FROM lake.{name} ORDER BY ALL").fetchall())).encode()).hexdigest()
            for name in FACTS}
