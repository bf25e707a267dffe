"""The factors that come with Wattlake, put into a lake so that what rests on them can be traced."""

from __future__ import annotations

from uuid import uuid4

import pyarrow as pa

from wattlake_contracts.column import LATEST_MS
from wattlake_contracts.factors import starter_embodied, starter_grid
from wattlake_contracts.kinds import EMBODIED, GRID
from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import TABLES
from wattlake_pipelines.account.references import SHIPPED
from wattlake_pipelines.arrow_schema import conform, table_schema
from wattlake_pipelines.lake.committer import Committer
from wattlake_pipelines.lake.manifest import Manifest, stage
from wattlake_pipelines.land.write_book import versions

#: Who is named as the writer of what no log record brought.
WRITER = "wattlake"


def seed(committer: Committer) -> int:
    """Add the shipped factors that the lake does not hold yet; give their number. One commit, or none."""
    attempt = uuid4().hex[:12]
    staging = committer.staging(attempt)
    files, dirty = [], []
    for kind, rows, cause in ((GRID, starter_grid(LATEST_MS), "grid"), (EMBODIED, starter_embodied(), "embodied")):
        table = TABLES[kind.table]
        made = pa.Table.from_pylist([{"writer": WRITER, "boot": SHIPPED, "seq": 0, "appended_ms": r["known_from_ms"], **r} for r in rows])
        made = conform(made, pa.schema([f for f in table_schema(table) if f.name != "version"]))
        made = made.append_column("version", pa.array(versions(made, kind)))
        have = {v for (v,) in committer.query(f"SELECT version FROM {ALIAS}.{table.name} WHERE boot = '{SHIPPED}'").fetchall()}
        new = made.filter(pa.array([v not in have for v in made["version"].to_pylist()]))
        if new.num_rows:
            files.append(stage(table.name, new.select(list(table.names)), staging, f"{attempt}.parquet"))
            if kind is GRID:
                dirty += [(cause, z, 0, LATEST_MS) for z in sorted(set(new["zone"].to_pylist()))]
            else:
                dirty.append((cause, "", 0, LATEST_MS))
    if not files:
        return 0
    rows_added = sum(f.rows for f in files)
    committer.commit(Manifest("seed", attempt, tuple(files), dirty=tuple(dirty), rows=rows_added))
    return rows_added
