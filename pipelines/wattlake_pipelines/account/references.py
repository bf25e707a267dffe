"""What is in force: jobs, places, devices, sites, grid and inventory, resolved from all that has landed."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from wattlake_contracts.layout import ALIAS
from wattlake_contracts.tables import ACCOUNTED_DEVICES, ACCOUNTED_ITEMS, ACCOUNTED_JOBS, ACCOUNTED_PLACES
from wattlake_pipelines.account.kernels.in_force import in_force
from wattlake_pipelines.account.kernels.jobs import resolve_jobs
from wattlake_pipelines.account.overlay import overlay
from wattlake_pipelines.arrow_schema import conform, table_schema

#: The boot under which figures shipped with Wattlake are kept: they come after all others.
SHIPPED = "shipped"
FOREVER_MS = 2**62


@dataclass(frozen=True)
class References:
    """Resolved reference data; each table's columns are those that the kernels ask for."""

    job_events: pa.Table
    jobs: pa.Table
    places: pa.Table
    devices: pa.Table
    sites: pa.Table
    items: pa.Table


def gather(connection: duckdb.DuckDBPyConnection) -> References:
    """Resolve everything but the grid, which is asked for by span (`grid_in_force`)."""
    events = _read(connection, "SELECT * FROM lake.raw_jobs")
    inventory = _read(connection, "SELECT *, 'x' AS unused FROM lake.raw_nodes WHERE event = 'inventory'")
    sites = in_force(_read(connection, f"""
        SELECT site, valid_from_ms AS start_ms, valid_to_ms AS end_ms, known_from_ms, version, boot = '{SHIPPED}' AS shipped,
               zone, pue, wue_l_per_kwh, coalesce(estimated, false) AS estimated FROM lake.ref_sites"""), ["site"], "start_ms", "end_ms")
    connection.register("inventory", inventory)
    connection.register("sites_in_force", sites)
    try:
        stands = in_force(_read(connection, """
            SELECT node, valid_from_ms AS start_ms, valid_to_ms AS end_ms, event_ms AS known_from_ms, site,
                   md5(concat_ws('|', coalesce(site, ''), sku)) AS version, false AS shipped
            FROM inventory i WHERE device IS NULL OR NOT EXISTS (FROM inventory m WHERE m.node = i.node AND m.device IS NULL)"""),
            ["node"], "start_ms", "end_ms")
        devices = in_force(_read(connection, """
            SELECT node, device, valid_from_ms AS start_ms, valid_to_ms AS end_ms, event_ms AS known_from_ms, parent, max_power_mw,
                   md5(concat_ws('|', parent, '#', max_power_mw)) AS version, false AS shipped FROM inventory WHERE device IS NOT NULL"""),
            ["node", "device"], "start_ms", "end_ms")
        items = _items(connection)
    finally:
        connection.unregister("inventory")
        connection.unregister("sites_in_force")
    places = overlay(stands, sites, "site", {"zone": "zone", "version": "site_version"})
    places = places.select(["node", "site", "zone", "start_ms", "end_ms", "site_version"]).rename_columns(list(table_schema(ACCOUNTED_PLACES).names))
    return References(events, conform(resolve_jobs(events), table_schema(ACCOUNTED_JOBS)), conform(places, table_schema(ACCOUNTED_PLACES)),
                      conform(devices, table_schema(ACCOUNTED_DEVICES)), sites, conform(items, table_schema(ACCOUNTED_ITEMS)))


def _items(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Inventory rows of machines and devices in force, each with the factor in force when its life begins."""
    told = in_force(_read(connection, """
        SELECT node, coalesce(device, '') AS device, valid_from_ms AS start_ms, valid_to_ms AS end_ms, event_ms AS known_from_ms,
               CASE WHEN device IS NULL THEN sku ELSE device_sku END AS sku, acquired_on_ms, retired_on_ms, simulated,
               md5(concat_ws('|', sku, '#', device_sku, '#', acquired_on_ms, '#', retired_on_ms)) AS version, false AS shipped
        FROM inventory WHERE device IS NULL OR device_sku IS NOT NULL"""), ["node", "device"], "start_ms", "end_ms")
    factors = in_force(_read(connection, f"""
        SELECT sku, valid_from_ms AS start_ms, NULL::BIGINT AS end_ms, known_from_ms, version, boot = '{SHIPPED}' AS shipped,
               embodied_ug, life_years, component_of, coalesce(estimated, false) AS estimated FROM lake.ref_embodied"""), ["sku"], "start_ms", "end_ms")
    connection.register("told", told)
    connection.register("factors", factors)
    try:
        # the first figure of a sku also serves hardware older than it: there is no other
        return _read(connection, f"""
            WITH marked AS (
                SELECT *, version IS DISTINCT FROM lag(version) OVER life OR start_ms IS DISTINCT FROM lag(end_ms) OVER life AS begins
                FROM told WINDOW life AS (PARTITION BY node, device ORDER BY start_ms)),
            numbered AS (SELECT *, sum(begins::INTEGER) OVER (PARTITION BY node, device ORDER BY start_ms) AS life FROM marked),
            -- told again, as after every boot, hardware does not begin a new life
            held AS (
                SELECT node, device, sku, acquired_on_ms, retired_on_ms, bool_or(simulated) AS simulated, min(start_ms) AS start_ms, max(end_ms) AS end_ms
                FROM numbered GROUP BY node, device, life, sku, acquired_on_ms, retired_on_ms),
            machine AS (FROM held WHERE device = ''),
            factor AS (SELECT * REPLACE (CASE WHEN row_number() OVER (PARTITION BY sku ORDER BY start_ms) = 1 THEN -{FOREVER_MS} ELSE start_ms END AS start_ms)
                       FROM factors)
            SELECT h.node, nullif(h.device, '') AS device, h.sku, (SELECT min(m.sku) FROM machine m WHERE m.node = h.node) AS machine_sku,
                   h.acquired_on_ms, h.retired_on_ms, CASE WHEN h.start_ms > -{FOREVER_MS} THEN h.start_ms END AS valid_from_ms,
                   CASE WHEN h.end_ms < {FOREVER_MS} THEN h.end_ms END AS valid_to_ms, f.embodied_ug, f.life_years, f.version, f.estimated,
                   f.component_of, h.simulated
            FROM held h LEFT JOIN factor f ON f.sku = h.sku AND f.start_ms <= coalesce(h.acquired_on_ms, h.start_ms)
                                           AND f.end_ms > coalesce(h.acquired_on_ms, h.start_ms)
            ORDER BY h.node, h.device, h.start_ms""")
    finally:
        connection.unregister("told")
        connection.unregister("factors")


def grid_in_force(connection: duckdb.DuckDBPyConnection, from_ms: int, to_ms: int) -> tuple[pa.Table, pa.Table]:
    """(direct, marginal) grid figures in force in a span, resolved apart."""
    common = f"""zone, start_ms, end_ms, known_from_ms, version, boot = '{SHIPPED}' AS shipped, coalesce(estimated, false) AS estimated"""
    where = f"start_ms < {to_ms} AND end_ms > {from_ms}"
    direct = in_force(_read(connection, f"""
        SELECT {common}, direct_g_per_kwh, lifecycle_g_per_kwh, td_loss_fraction, water_l_per_kwh, end_ms - start_ms AS period_ms
        FROM lake.ref_grid WHERE direct_g_per_kwh IS NOT NULL AND {where}"""), ["zone"], "start_ms", "end_ms")
    marginal = in_force(_read(connection, f"""
        SELECT {common}, marginal_g_per_kwh FROM lake.ref_grid WHERE marginal_g_per_kwh IS NOT NULL AND {where}"""), ["zone"], "start_ms", "end_ms")
    return direct, marginal


def _read(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return connection.execute(sql.replace("lake.", f"{ALIAS}.")).to_arrow_table()
