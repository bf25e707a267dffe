"""The neighbours that elements of work need: edges of series from the books, and which hours to open.

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
    """By the part that they are for: a day, or a stretch of its hours, by its beginning. edges: part_ms and readings of neighbouring hours.

    opened: (part_ms, node, hour_ms) whose readings are to be read, more than are produced.
    """

    edges: pa.Table
    opened: pa.Table


def find_context(connection: duckdb.DuckDBPyConnection, wanted: pa.Table) -> Context:
    """The context of the (part_ms, node, hour_ms) of `wanted`, of all parts in one go; each has its own."""
    connection.register("wanted_in", wanted)
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT part_ms, node, hour_ms FROM wanted_in")
    connection.unregister("wanted_in")
    _bounds(connection)
    _near(connection)
    # Next to a wanted hour, or to an hour that is opened, stands an edge that is an outlier: open its hour as well, and look again.
    while connection.execute("""
        INSERT INTO wanted
        WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY part_ms, node ORDER BY hour_ms) AS upto FROM wanted),
        line AS (
            SELECT DISTINCT ON (n.part_ms, n.node, device, life, ts_ms) n.part_ms, n.node, device, life, n.hour_ms, ts_ms, energy_mj,
                   coalesce(w.hour_ms = n.hour_ms, false) AS full_hour, coalesce(w.upto, 0) AS upto
            FROM near n ASOF LEFT JOIN numbered w ON w.part_ms = n.part_ms AND w.node = n.node AND n.hour_ms >= w.hour_ms
            WHERE NOT power ORDER BY n.part_ms, n.node, device, life, ts_ms, energy_mj DESC),
        -- whether the time from this reading to the next is in an hour that is opened, or spans one that is wanted and has no reading
        beside AS (
            SELECT *, lag(energy_mj) OVER w AS before, lead(energy_mj) OVER w AS after,
                   full_hour OR lead(full_hour) OVER w OR lead(upto) OVER w - CAST(lead(full_hour) OVER w AS INTEGER) > upto AS at_full
            FROM line WINDOW w AS (PARTITION BY part_ms, node, device, life ORDER BY ts_ms)),
        sides AS (SELECT *, at_full OR lag(at_full) OVER (PARTITION BY part_ms, node, device, life ORDER BY ts_ms) AS near_full FROM beside)
        SELECT DISTINCT part_ms, node, hour_ms FROM sides
        WHERE NOT full_hour AND near_full AND before <= after AND NOT (energy_mj BETWEEN before AND after)
        RETURNING 1""").fetchall():
        _near(connection)
    edges = connection.execute(f"SELECT part_ms, {_COLUMNS} FROM near ANTI JOIN wanted USING (part_ms, node, hour_ms) ORDER BY part_ms").to_arrow_table()
    opened = connection.execute("FROM wanted SEMI JOIN near USING (part_ms, node, hour_ms) ORDER BY ALL").to_arrow_table()
    return Context(edges, opened)


def _bounds(connection: duckdb.DuckDBPyConnection) -> None:
    """`bounds`: the edges of all series of the nodes, the hours of each numbered."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE bounds AS
        SELECT {_COLUMNS}, hour_ms, CASE WHEN power_mw IS NULL THEN epoch ELSE '' END AS life, power_mw IS NOT NULL AS power,
               dense_rank() OVER (PARTITION BY node, device, life, power ORDER BY hour_ms) AS place
        FROM {ALIAS}.reading_bounds SEMI JOIN wanted USING (node)""")


def _near(connection: duckdb.DuckDBPyConnection) -> None:
    """`near`: the edges of each series from a few of its hours before a part's first wanted or opened hour to a few after the last."""
    # places are counted and joined by equality, for a comparison of spans would meet every hour with every part
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE near AS
        WITH parts AS (SELECT part_ms, node, min(hour_ms) AS low, max(hour_ms) AS high FROM wanted GROUP BY ALL),
        series AS (SELECT DISTINCT node, device, life, power FROM bounds),
        asked AS (SELECT * FROM parts JOIN series USING (node)),
        hours AS (SELECT DISTINCT node, device, life, power, hour_ms, place FROM bounds),
        upto AS (
            SELECT a.*, coalesce(h.place, 0) AS last FROM asked a ASOF LEFT JOIN hours h
                ON h.node = a.node AND h.device = a.device AND h.life = a.life AND h.power = a.power AND a.high >= h.hour_ms),
        spans AS (
            SELECT u.*, coalesce(h.place, 0) AS before FROM upto u ASOF LEFT JOIN hours h
                ON h.node = u.node AND h.device = u.device AND h.life = u.life AND h.power = u.power AND u.low > h.hour_ms),
        places AS (
            SELECT part_ms, node, device, life, power, unnest(range(before - {REACH_READINGS} + 1, last + {REACH_READINGS} + 1)) AS place FROM spans)
        SELECT p.part_ms, b.* EXCLUDE (place) FROM places p JOIN bounds b USING (node, device, life, power, place)""")
