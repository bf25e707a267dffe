"""What a lake holds, in figures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from wattlake_contracts.layout import ALIAS
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.connection import attach


def status(lake: Path) -> tuple[list[str], list[list[object]], list[str]]:
    """(columns, one row per table with files, remarks on the last commit and what waits)."""
    about = meta.read(lake)
    connection = attach(lake.resolve())
    try:
        rows = connection.execute(f"""
            SELECT table_name, sum(rows)::BIGINT, count(*), sum(bytes)::BIGINT FROM {ALIAS}.files GROUP BY table_name ORDER BY table_name""").fetchall()
        last = connection.execute(f"SELECT stage, committed_ms, watermark_ms FROM {ALIAS}.commits ORDER BY batch DESC LIMIT 1").fetchone()
        waiting = connection.execute(f"SELECT count(*) FROM {ALIAS}.dirty").fetchall()[0][0]
    finally:
        connection.close()
    remarks = [f"layout {about['lake_version']}, {about['shards']} shard(s)"]
    if last is not None:
        remarks.append(f"last commit: {last[0]} at {_utc(last[1])}" + (f"; data up to {_utc(last[2])}" if last[2] is not None else ""))
    remarks.append(f"{waiting} marks wait to be accounted: run `wattlake account`" if waiting else "everything landed is accounted for")
    return ["table", "rows", "files", "bytes"], [list(row) for row in rows], remarks


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
