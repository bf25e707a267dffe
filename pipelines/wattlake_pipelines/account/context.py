"""The neighbours that an element of work needs: edges of series from the books, and which hours to open.

A reading beyond the hours asked for counts only through the interval that reaches into them. The
outermost readings of the neighbouring hours, which `reading_bounds` keeps, tell it without opening
a file, unless one of them is an outlier: then its hour is opened too.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from wattlake_contracts.kinds import READINGS
from wattlake_contracts.layout import ALIAS
from wattlake_pipelines.account.dirty import REACH_READINGS

_COLUMNS = ", ".join(c.name for c in READINGS.columns)


@dataclass(frozen=True)
class Context:
    """edges: readings of neighbouring hours. opened: (node, hour_ms) whose readings are to be read, more than are produced."""

    edges: pa.Table
    opened: pa.Table


def find_context(connection: duckdb.DuckDBPyConnection, wanted: pa.Table) -> Context:
    """The context of the (node, hour_ms) of `wanted`; several calls of one day share nothing."""
    connection.register("wanted_in", wanted)
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT node, hour_ms FROM wanted_in")
    connection.unregister("wanted_in")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE near AS
        WITH bounds AS (
            SELECT {_COLUMNS}, hour_ms, CASE WHEN power_mw IS NULL THEN epoch ELSE '' END AS life, power_mw IS NOT NULL AS power,
                   w.low, w.high
            FROM {ALIAS}.reading_bounds b JOIN (SELECT node, min(hour_ms) AS low, max(hour_ms) AS high FROM wanted GROUP BY node) w USING (node))
        SELECT * EXCLUDE (low, high) FROM bounds
        QUALIFY hour_ms BETWEEN low AND high
             OR (hour_ms < low AND dense_rank() OVER (PARTITION BY node, device, life, power, hour_ms < low ORDER BY hour_ms DESC) <= {REACH_READINGS})
             OR (hour_ms > high AND dense_rank() OVER (PARTITION BY node, device, life, power, hour_ms > high ORDER BY hour_ms) <= {REACH_READINGS})""")
    # Beside an hour that is opened stands an edge that is an outlier: open its hour as well, and look again.
    while connection.execute("""
        INSERT INTO wanted
        WITH line AS (
            SELECT DISTINCT ON (node, device, life, ts_ms) node, device, life, hour_ms, ts_ms, energy_mj,
                   (node, hour_ms) IN (SELECT (node, hour_ms) FROM wanted) AS full_hour
            FROM near WHERE NOT power ORDER BY node, device, life, ts_ms, energy_mj DESC),
        beside AS (
            SELECT *, lag(energy_mj) OVER w AS before, lead(energy_mj) OVER w AS after,
                   lag(full_hour) OVER w OR lead(full_hour) OVER w AS at_full
            FROM line WINDOW w AS (PARTITION BY node, device, life ORDER BY ts_ms))
        SELECT DISTINCT node, hour_ms FROM beside
        WHERE NOT full_hour AND at_full AND before <= after AND NOT (energy_mj BETWEEN before AND after)
        RETURNING 1""").fetchall():
        pass
    edges = connection.execute(f"SELECT {_COLUMNS} FROM near WHERE (node, hour_ms) NOT IN (SELECT (node, hour_ms) FROM wanted)").to_arrow_table()
    opened = connection.execute("""
        SELECT DISTINCT w.node, w.hour_ms FROM wanted w SEMI JOIN near n ON n.node = w.node AND n.hour_ms = w.hour_ms ORDER BY ALL""").to_arrow_table()
    return Context(edges, opened)
