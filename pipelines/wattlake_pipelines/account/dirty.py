"""Which hours of which nodes must be accounted again, and how deep.

`energy`: the readings are opened. `emissions`: the energy facts stand, and only what is derived
from them is made anew. Everything here reads books and edges of series, never readings.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from wattlake_contracts.layout import ALIAS, HOUR_MS, LONGEST_GAP_MS
from wattlake_pipelines.account.changes import changed_spans
from wattlake_pipelines.account.references import FOREVER_MS, References

#: Whether a reading counts depends on its neighbours, and theirs on theirs: this many readings
#: beyond a new one are looked at again.
REACH_READINGS = 4
#: So many hours with readings to either side hold as many that count, but where outliers follow on outliers for longer.
_NEAR_HOURS = 12


@dataclass(frozen=True)
class Dirty:
    """What there is to do. energy, emissions: tables (node, hour_ms); energy's hours are in both.

    consumed: the marks up to this batch are dealt with. causes: why, for what has no hours of its own.
    """

    energy: pa.Table
    emissions: pa.Table
    consumed: int
    causes: frozenset[str]


def find_dirty(connection: duckdb.DuckDBPyConnection, now: References) -> Dirty:
    """Compare the marks and the references with what the facts rest on."""
    execute = connection.execute
    marks = execute(f"SELECT cause, key, min(from_ms), max(to_ms), min(batch), max(batch) FROM {ALIAS}.dirty GROUP BY ALL").fetchall()
    consumed = max((m[5] for m in marks), default=-1)
    _spans_table(connection, "energy_spans", _energy_spans(connection, now))
    _beyond_limits(connection, now)
    _spans_table(connection, "emission_spans", _emission_spans(connection, now))
    zone_marks = execute(f"SELECT key, from_ms, to_ms FROM {ALIAS}.dirty WHERE cause = 'grid'").fetchall()
    _spans_table(connection, "zone_spans", zone_marks)
    first_batch = min((m[4] for m in marks if m[0] == "readings"), default=None)
    _lives(connection)
    _reading_hours(connection, first_batch)
    execute(f"""
        CREATE OR REPLACE TEMP TABLE energy_dirty AS
        SELECT node, hour_ms FROM reading_hours
        UNION
        SELECT node, unnest(range(greatest(s.from_ms, l.from_ms) // {HOUR_MS} * {HOUR_MS}, least(s.to_ms, l.to_ms), {HOUR_MS})) AS hour_ms
        FROM energy_spans s JOIN node_life l ON l.node = s.key WHERE s.from_ms < l.to_ms AND s.to_ms > l.from_ms""")
    connection.register("places_now", now.places)
    execute(f"""
        CREATE OR REPLACE TEMP TABLE emission_dirty AS
        WITH by_zone AS (
            SELECT p.node, greatest(p.start_ms, z.from_ms) AS from_ms, least(p.end_ms, z.to_ms) AS to_ms
            FROM zone_spans z JOIN places_now p ON p.zone = z.key WHERE p.start_ms < z.to_ms AND p.end_ms > z.from_ms),
        spans AS (SELECT key AS node, from_ms, to_ms FROM emission_spans UNION ALL FROM by_zone)
        SELECT node, hour_ms FROM energy_dirty
        UNION
        SELECT s.node, unnest(range(greatest(s.from_ms, l.from_ms) // {HOUR_MS} * {HOUR_MS}, least(s.to_ms, l.to_ms), {HOUR_MS}))
        FROM spans s JOIN node_life l USING (node) WHERE s.from_ms < l.to_ms AND s.to_ms > l.from_ms""")
    _recut(connection)
    return Dirty(
        execute("SELECT node, hour_ms FROM energy_dirty ORDER BY ALL").to_arrow_table(),
        execute("SELECT node, hour_ms FROM emission_dirty UNION SELECT node, hour_ms FROM energy_dirty ORDER BY ALL").to_arrow_table(),
        consumed, frozenset(m[0] for m in marks))


def _energy_spans(connection: duckdb.DuckDBPyConnection, now: References) -> list[tuple[str, int, int]]:
    """Spans whose energy is held or placed otherwise than the facts have it."""
    old = {name: connection.execute(f"SELECT * FROM {ALIAS}.{name}").to_arrow_table() for name in ("accounted_jobs", "accounted_places", "accounted_devices")}
    return [
        *changed_spans(old["accounted_jobs"], now.jobs, "node", ["job", "device", "share_ppm"]),
        *changed_spans(old["accounted_places"], now.places, "node", ["site", "zone"]),
        *changed_spans(old["accounted_devices"], now.devices, "node", ["device", "parent", "max_power_mw"]),
    ]


def _beyond_limits(connection: duckdb.DuckDBPyConnection, now: References) -> None:
    """Add to energy_spans what the limits of devices reach beyond the spans in which they are others than the facts have.

    A limit counts where an interval begins, and an interval may end hours after the limit does.
    """
    old = connection.execute(f"SELECT * FROM {ALIAS}.accounted_devices").to_arrow_table()
    ended = [s for s in changed_spans(old, now.devices, "node", ["device", "max_power_mw"]) if s[2] < FOREVER_MS]
    if not ended:
        return
    _spans_table(connection, "limit_spans", ended)
    _counted(connection, f"SELECT *, false AS fresh FROM {ALIAS}.reading_bounds WHERE node IN (SELECT key FROM limit_spans)")
    connection.execute(f"""
        INSERT INTO energy_spans
        WITH series AS (SELECT DISTINCT node, device, epoch, power FROM counted),
        ended AS (
            SELECT s.node, s.to_ms, s.device, s.epoch, s.power, c.upto
            FROM (SELECT DISTINCT e.*, to_ms FROM limit_spans JOIN series e ON node = key) s ASOF JOIN counted c
                ON c.node = s.node AND c.device = s.device AND c.epoch = s.epoch AND c.power = s.power AND s.to_ms > c.hour_ms)
        SELECT e.node, e.to_ms, max(b.hour_ms) + {HOUR_MS}
        FROM ended e ASOF JOIN reach_on b
            ON b.node = e.node AND b.device = e.device AND b.epoch = e.epoch AND b.power = e.power AND e.upto + {REACH_READINGS} > b.before
        GROUP BY ALL HAVING max(b.hour_ms) + {HOUR_MS} > e.to_ms""")


def _emission_spans(connection: duckdb.DuckDBPyConnection, now: References) -> list[tuple[str, int, int]]:
    """Spans whose site's figures are others than the facts have."""
    old = connection.execute(f"SELECT * FROM {ALIAS}.accounted_places").to_arrow_table()
    return changed_spans(old, now.places, "node", ["version"])


def _lives(connection: duckdb.DuckDBPyConnection) -> None:
    """`node_life`: from when to when each node may have facts; where it was silent for too long to bridge, it has none, whatever is told."""
    # a gap that long begins and ends in other stretches of half its length: so a few rows per node stand for all its hours
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE node_life AS
        WITH stretches AS (
            SELECT node, min(hour_ms) AS low, max(hour_ms) AS high FROM {ALIAS}.reading_bounds GROUP BY node, hour_ms // ({LONGEST_GAP_MS} // 2)),
        marked AS (
            SELECT *, coalesce(low - lag(high) OVER by_time > {LONGEST_GAP_MS} + {HOUR_MS}, true) AS begins
            FROM stretches WINDOW by_time AS (PARTITION BY node ORDER BY low)),
        numbered AS (SELECT *, sum(begins::INTEGER) OVER (PARTITION BY node ORDER BY low) AS life FROM marked)
        SELECT node, min(low) AS from_ms, max(high) + {HOUR_MS} AS to_ms FROM numbered GROUP BY node, life""")


def _spans_table(connection: duckdb.DuckDBPyConnection, name: str, spans: list[tuple[str, int, int]]) -> None:
    schema = pa.schema([("key", pa.string()), ("from_ms", pa.int64()), ("to_ms", pa.int64())])
    table = pa.table([pa.array([span[i] for span in spans], field.type) for i, field in enumerate(schema)], schema=schema)
    connection.register("spans_in", table)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM spans_in")
    connection.unregister("spans_in")


def _counted(connection: duckdb.DuckDBPyConnection, edges: str) -> None:
    """`counted`: per series and hour, how many of its edges count, up to and before it; edges: a query on reading_bounds with a column fresh.

    An outlier does not count, nor is it a wall: what changes before it may show behind it. `reach_back` and `reach_on` say
    which is the first, or the last, of the hours that have as many before them.
    """
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE counted AS
        WITH line AS (
            SELECT node, device, CASE WHEN power_mw IS NULL THEN epoch ELSE '' END AS epoch, power_mw IS NOT NULL AS power, hour_ms, ts_ms,
                   max(energy_mj) AS energy_mj, bool_or(fresh) AS fresh, bool_or(NOT fresh) AS old
            FROM ({edges}) GROUP BY ALL),
        judged AS (
            SELECT *, coalesce(lag(energy_mj) OVER w <= lead(energy_mj) OVER w
                               AND NOT (energy_mj BETWEEN lag(energy_mj) OVER w AND lead(energy_mj) OVER w), false) AS outlier
            FROM line WINDOW w AS (PARTITION BY node, device, epoch, power ORDER BY ts_ms)),
        hours AS (
            SELECT node, device, epoch, power, hour_ms, count(*) FILTER (NOT outlier) AS readings, bool_or(fresh) AS fresh,
                   min(ts_ms) FILTER (fresh) AS first_fresh, max(ts_ms) FILTER (fresh) AS last_fresh, list_sort(list(ts_ms) FILTER (old)) AS old,
                   arg_min(outlier, ts_ms) AS outlier_first, arg_max(outlier, ts_ms) AS outlier_last
            FROM judged GROUP BY ALL)
        SELECT *, (sum(readings) OVER through)::BIGINT AS upto, (sum(readings) OVER through)::BIGINT - readings AS before
        FROM hours WINDOW through AS (PARTITION BY node, device, epoch, power ORDER BY hour_ms)""")
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE reach_back AS SELECT node, device, epoch, power, upto, min(hour_ms) AS hour_ms FROM counted GROUP BY ALL""")
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE reach_on AS SELECT node, device, epoch, power, before, max(hour_ms) AS hour_ms FROM counted GROUP BY ALL""")


def _reading_hours(connection: duckdb.DuckDBPyConnection, first_batch: int | None) -> None:
    """(node, hour) that the readings landed since first_batch touch, from neighbour to neighbour."""
    if first_batch is None:
        connection.execute("CREATE OR REPLACE TEMP TABLE reading_hours (node VARCHAR, hour_ms BIGINT)")
        return
    # first the hours near those of new readings, some to either side, in which a change may show: they are few
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE near_hours AS
        WITH hours AS (
            SELECT node, device, hour_ms, bool_or(batch >= {first_batch}) AS fresh, power_mw IS NOT NULL AS power,
                   CASE WHEN power_mw IS NULL THEN epoch ELSE '' END AS life
            FROM {ALIAS}.reading_bounds
            SEMI JOIN (SELECT DISTINCT node, device FROM {ALIAS}.reading_bounds WHERE batch >= {first_batch}) USING (node, device) GROUP BY ALL)
        FROM hours QUALIFY bool_or(fresh) OVER (PARTITION BY node, device, life, power ORDER BY hour_ms
                                                ROWS BETWEEN {_NEAR_HOURS} PRECEDING AND {_NEAR_HOURS} FOLLOWING)""")
    _counted(connection, f"""
        SELECT b.*, b.batch >= {first_batch} AS fresh FROM {ALIAS}.reading_bounds b SEMI JOIN near_hours n
        ON n.node = b.node AND n.device = b.device AND n.hour_ms = b.hour_ms AND n.power = (b.power_mw IS NOT NULL)
           AND n.life = CASE WHEN b.power_mw IS NULL THEN b.epoch ELSE '' END""")
    # A new reading inside the two outermost old ones on a side cannot change what lies beyond that side, unless the outermost is an outlier.
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE reading_hours AS
        WITH hours AS (
            SELECT *, before - {REACH_READINGS} AS least, upto + {REACH_READINGS} AS most,
                   len(old) IS NULL OR len(old) < 2 OR first_fresh <= old[2] OR outlier_first AS reaches_back,
                   len(old) IS NULL OR len(old) < 2 OR last_fresh >= old[-2] OR outlier_last AS reaches_on
            FROM counted WHERE fresh),
        -- the earliest hour with fewer than the reach of readings between it and this one, and the latest
        spans AS (
            SELECT node, hour_ms AS from_ms, hour_ms AS to_ms FROM hours
            UNION ALL SELECT h.node, b.hour_ms, h.hour_ms FROM (FROM hours WHERE reaches_back) h ASOF JOIN reach_back b
                ON b.node = h.node AND b.device = h.device AND b.epoch = h.epoch AND b.power = h.power AND h.least < b.upto
            UNION ALL SELECT h.node, h.hour_ms, b.hour_ms FROM (FROM hours WHERE reaches_on) h ASOF JOIN reach_on b
                ON b.node = h.node AND b.device = h.device AND b.epoch = h.epoch AND b.power = h.power AND h.most > b.before)
        SELECT DISTINCT s.node, unnest(range(greatest(s.from_ms, l.from_ms), least(s.to_ms + 1, l.to_ms), {HOUR_MS})) AS hour_ms
        FROM (SELECT DISTINCT * FROM spans) s JOIN node_life l USING (node)""")


def _recut(connection: duckdb.DuckDBPyConnection) -> None:
    """Hours whose energy rows are not cut where the periods are now: their readings are opened after all."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE zone_cuts AS
        SELECT DISTINCT zone, cut_ms FROM (
            SELECT zone, start_ms AS cut_ms FROM {ALIAS}.ref_grid UNION ALL SELECT zone, end_ms FROM {ALIAS}.ref_grid)
        WHERE cut_ms % {HOUR_MS} != 0""")
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE place_cuts AS
        SELECT DISTINCT node, cut_ms FROM (SELECT node, start_ms AS cut_ms FROM places_now UNION ALL SELECT node, end_ms FROM places_now)
        WHERE cut_ms % {HOUR_MS} != 0 AND abs(cut_ms) < {FOREVER_MS}""")
    connection.execute(f"""
        INSERT INTO energy_dirty
        WITH have AS (
            SELECT DISTINCT node, zone, start_ms, end_ms, start_ms // {HOUR_MS} * {HOUR_MS} AS hour_ms
            FROM {ALIAS}.fact_energy f SEMI JOIN emission_dirty d ON d.node = f.node AND d.hour_ms = f.start_ms // {HOUR_MS} * {HOUR_MS}),
        cuts AS (
            SELECT h.node, h.hour_ms, c.cut_ms FROM (SELECT DISTINCT node, zone, hour_ms FROM have) h
            JOIN zone_cuts c ON c.zone = h.zone AND c.cut_ms > h.hour_ms AND c.cut_ms < h.hour_ms + {HOUR_MS}
            UNION SELECT h.node, h.hour_ms, c.cut_ms FROM (SELECT DISTINCT node, hour_ms FROM have) h
            JOIN place_cuts c ON c.node = h.node AND c.cut_ms > h.hour_ms AND c.cut_ms < h.hour_ms + {HOUR_MS})
        SELECT node, hour_ms FROM (
            SELECT h.node, h.hour_ms FROM have h JOIN cuts c ON c.node = h.node AND c.cut_ms > h.start_ms AND c.cut_ms < h.end_ms
            UNION
            SELECT node, hour_ms FROM (
                SELECT node, hour_ms, start_ms AS edge FROM have UNION SELECT node, hour_ms, end_ms FROM have) e
            WHERE edge % {HOUR_MS} != 0 AND NOT EXISTS (FROM cuts c WHERE c.node = e.node AND c.cut_ms = e.edge))
        EXCEPT SELECT node, hour_ms FROM energy_dirty""")
