"""What a lake holds, in figures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from wattlake_contracts.amount import amount
from wattlake_contracts.kafkalog.message import BY_PLACE
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import SET_ASIDE
from wattlake_pipelines.lake import meta
from wattlake_pipelines.lake.connection import attach

#: Records by node whose numbers lie between those that their writers' other records have. What has no number of its writer's has that of its place,
#: and not every place holds a record.
_MISSING = f"""
    SELECT node, sum(missing)::BIGINT FROM (
        SELECT node, max(to_seq) - min(from_seq) - sum(to_seq - from_seq) AS missing FROM {ALIAS}.seen WHERE NOT starts_with(boot, ?) GROUP BY node, boot)
    WHERE missing > 0 GROUP BY node ORDER BY 2 DESC, 1"""
_MOST_NODES = 5


def status(lake: Path) -> tuple[list[str], list[list[object]], list[str]]:
    """(columns, one row per table with files, remarks on the last commit and what waits)."""
    about = meta.read(lake)
    connection = attach(lake.resolve())
    try:
        rows = connection.execute(f"""
            SELECT table_name, sum(rows)::BIGINT, count(*), sum(bytes)::BIGINT FROM {ALIAS}.files GROUP BY table_name ORDER BY table_name""").fetchall()
        last = connection.execute(f"SELECT stage, committed_ms, watermark_ms FROM {ALIAS}.commits ORDER BY batch DESC LIMIT 1").fetchone()
        aside = sum(row[1] for row in rows if row[0] == SET_ASIDE.name)
        waiting = connection.execute(f"SELECT count(*) FROM {ALIAS}.dirty").fetchall()[0][0]
        missing = connection.execute(_MISSING, [BY_PLACE]).fetchall()
    finally:
        connection.close()
    remarks = [f"layout {about['lake_version']}, {amount(int(about['shards']), 'shard')}"]
    if last is not None:
        remarks.append(f"last commit: {last[0]} at {_utc(last[1])}" + (f"; data up to {_utc(last[2])}" if last[2] is not None else ""))
    remarks.append(f"{amount(waiting, 'mark', 'wait')} to be accounted: run `wattlake account`" if waiting else "everything landed is accounted for")
    if missing:
        shown = ", ".join(f"{node}: {count:,}" for node, count in missing[:_MOST_NODES]) + (", …" if len(missing) > _MOST_NODES else "")
        remarks.append(f"{amount(sum(count for _, count in missing), 'record', 'are')} missing between those that landed ({shown}): still on "
                       "the way, or lost with a topic that was deleted, a spool that was full or damaged, or a write that failed")
    if aside:
        remarks.append(f"{amount(aside, 'record', 'are')} of kinds that this version does not know: upgrade Wattlake, and the next landing takes them up")
    return ["table", "rows", "files", "bytes"], [list(row) for row in rows], remarks


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
