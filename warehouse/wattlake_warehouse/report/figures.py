"""The figures of the report, as rows in the units that their names say; all sums are over integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from wattlake_contracts.errors import WattlakeError
from wattlake_contracts.layout import DAY_MS
from wattlake_warehouse.lake import open_lake

Row = dict[str, Any]

#: beyond this many days the time series goes by days instead of hours
_HOURLY_DAYS = 14
TOP_JOBS = 15

_WATERMARK = """
    SELECT (SELECT max(watermark_ms) FROM commits) AS watermark_ms, (SELECT max(batch) FROM commits) AS batch,
           (SELECT max(committed_ms) FROM commits) AS committed_ms, (SELECT count(*) FROM raw_readings) AS readings
"""
_SPAN = """
    SELECT min(start_ms) AS from_ms, max(end_ms) AS to_ms
    FROM (SELECT start_ms, end_ms FROM fact_energy UNION ALL SELECT start_ms, end_ms FROM fact_embodied)
"""

#: whole UTC days from the first to the last measured instant
_MEASURED = """
    SELECT min(start_ms) // 86400000 * 86400000 AS from_ms, (max(end_ms) + 86399999) // 86400000 * 86400000 AS to_ms FROM fact_energy
"""
_OUTSIDE = """
    SELECT simulated, kg(sum(embodied_ug)) AS embodied_kg, utc(min(start_ms)) AS from_utc, utc(max(end_ms)) AS to_utc, CAST(sum(jobs) AS BIGINT) AS jobs
    FROM (SELECT simulated, embodied_ug, start_ms, end_ms, 0 AS jobs FROM fact_embodied WHERE start_ms < {from_ms} OR start_ms >= {to_ms}
          UNION ALL
          SELECT simulated, NULL, NULL, NULL, 1 FROM dim_jobs WHERE coalesce(end_ms, start_ms) < {from_ms} OR start_ms >= {to_ms})
    GROUP BY simulated ORDER BY simulated
"""

_HEADLINE = """
    SELECT simulated, kwh(sum(energy_mj)) AS energy_kwh, kwh(sum(overhead_mj)) AS overhead_kwh, kwh(sum(energy_mj) FILTER (job IS NOT NULL)) AS job_kwh,
           kg(sum(location_ug) + sum(overhead_location_ug)) AS location_kg, kg(sum(overhead_location_ug)) AS overhead_location_kg,
           kg(sum(upstream_ug)) AS upstream_kg, kg(sum(embodied_ug)) AS embodied_kg, litres(sum(water_site_ul)) AS water_site_l,
           litres(sum(water_grid_ul)) AS water_grid_l, ratio(sum(measured_mj), sum(energy_mj)) AS measured_share,
           ratio(sum(integrated_mj), sum(energy_mj)) AS integrated_share, ratio(sum(estimated_mj), sum(energy_mj)) AS estimated_share,
           ratio(sum(imputed_mj), sum(energy_mj)) AS imputed_share, ratio(sum(estimated_factor_mj), sum(energy_mj)) AS estimated_factor_share,
           kwh(sum(no_overhead_mj)) AS no_overhead_kwh, kwh(sum(no_location_mj)) AS no_location_kwh, kwh(sum(no_upstream_mj)) AS no_upstream_kwh,
           CAST(sum(no_embodied_days) AS BIGINT) AS no_embodied_days, kg(sum(estimated_embodied_ug)) AS estimated_embodied_kg,
           CAST(sum(no_energy_jobs) AS BIGINT) AS no_energy_jobs, any_value(c.coverage) AS coverage, any_value(c.nodes) AS nodes,
           any_value(c.devices) AS devices
    FROM footprint_totals LEFT JOIN (
        SELECT simulated, portion(sum(CAST(round(covered_h * 3.6e6) AS BIGINT)), sum(CAST(round(expected_h * 3.6e6) AS BIGINT))) AS coverage,
               count(DISTINCT node) AS nodes, count(DISTINCT (node, device)) AS devices
        FROM coverage GROUP BY simulated) c USING (simulated)
    GROUP BY simulated ORDER BY simulated
"""
_SERIES = """
    SELECT utc(start_ms - start_ms % {step_ms}) AS start_utc, simulated, kwh(sum(energy_mj) FILTER (job IS NOT NULL)) AS job_kwh,
           kwh(sum(energy_mj) FILTER (job IS NULL)) AS no_job_kwh, kwh(sum(overhead_mj)) AS overhead_kwh,
           ratio(sum(location_ug) / 1e6, kwh(sum(energy_mj) FILTER (location_ug IS NOT NULL))) AS direct_g_per_kwh,
           kwh(sum(if(location_ug IS NULL, energy_mj, 0))) AS no_location_kwh
    FROM fact_emissions GROUP BY ALL ORDER BY simulated, start_utc
"""
_ZONES = """
    SELECT utc(start_ms - start_ms % {step_ms}) AS start_utc, zone, simulated,
           ratio(sum(location_ug) / 1e6, kwh(sum(energy_mj) FILTER (location_ug IS NOT NULL))) AS direct_g_per_kwh
    FROM fact_emissions JOIN (SELECT zone, sum(energy_mj) AS zone_mj FROM fact_emissions GROUP BY zone) USING (zone)
    WHERE zone IS NOT NULL GROUP BY 1, 2, 3, zone_mj ORDER BY simulated, zone_mj DESC, zone, start_utc
"""
_JOBS = """
    SELECT t.job, t.simulated, coalesce(d.model, '(none)') AS model, coalesce(d.phase, '(none)') AS phase, coalesce(d.team, '(none)') AS team,
           if(d.open, 'open', coalesce(d.status, 'unknown')) AS status, utc(d.start_ms) AS start_utc, hours(d.end_ms - d.start_ms) AS duration_h,
           kwh(sum(energy_mj)) AS energy_kwh, kg(sum(location_ug) + sum(overhead_location_ug)) AS location_kg, kg(sum(upstream_ug)) AS upstream_kg,
           kg(sum(embodied_ug)) AS embodied_kg, kwh(sum(no_location_mj)) AS no_location_kwh
    FROM footprint_totals t LEFT JOIN dim_jobs d ON d.job = t.job
    WHERE t.job IS NOT NULL GROUP BY ALL ORDER BY energy_kwh DESC, t.job, t.simulated
"""
_SITES = """
    SELECT coalesce(site, '(unknown)') AS site, coalesce(zone, '(unknown)') AS zone, simulated, kwh(sum(energy_mj)) AS energy_kwh,
           kwh(sum(overhead_mj)) AS overhead_kwh, kg(sum(location_ug) + sum(overhead_location_ug)) AS location_kg, kg(sum(upstream_ug)) AS upstream_kg,
           litres(sum(water_site_ul)) AS water_site_l, litres(sum(water_grid_ul)) AS water_grid_l,
           ratio(sum(location_ug) / 1e6, kwh(sum(energy_mj) FILTER (location_ug IS NOT NULL))) AS direct_g_per_kwh,
           kwh(sum(if(location_ug IS NULL, energy_mj, 0))) AS no_location_kwh
    FROM fact_emissions GROUP BY site, zone, simulated ORDER BY simulated, energy_kwh DESC, 1
"""
_EMBODIED = """
    SELECT coalesce(d.device_sku, if(f.device IS NULL, n.sku, NULL)) AS sku, f.simulated, count(DISTINCT (f.node, f.device)) AS items,
           kg(sum(f.embodied_ug)) AS embodied_kg, coalesce(kg(sum(f.embodied_ug) FILTER (f.job IS NOT NULL)), if(count(f.embodied_ug) > 0, 0, NULL)) AS job_kg,
           count(*) FILTER (f.embodied_ug IS NULL) AS unknown_days, string_agg(DISTINCT f.basis, '; ' ORDER BY f.basis) AS basis,
           CASE WHEN count(f.embodied_ug) = 0 THEN 'none known' WHEN bool_or(f.estimated) THEN 'estimate or default' ELSE 'given' END AS factor
    FROM fact_embodied f LEFT JOIN dim_devices d ON d.node = f.node AND d.device = f.device LEFT JOIN dim_nodes n ON n.node = f.node
    GROUP BY 1, f.simulated ORDER BY f.simulated, embodied_kg DESC NULLS LAST, sku
"""
_UNKNOWN_EMBODIED = """
    SELECT basis, simulated, count(DISTINCT (node, device)) AS items FROM fact_embodied WHERE embodied_ug IS NULL GROUP BY ALL ORDER BY simulated, basis
"""
_OVERSUBSCRIBED = """
    SELECT simulated, count(DISTINCT job) AS jobs, kwh(sum(energy_mj)) AS energy_kwh
    FROM fact_energy WHERE job IS NOT NULL AND list_contains(string_split(flags, ','), 'oversubscribed') GROUP BY simulated ORDER BY simulated
"""
_LINES = """
    SELECT line, simulated, CAST(sum(energy_mj) AS BIGINT) AS energy_mj
    FROM fact_energy GROUP BY line, simulated
    ORDER BY simulated, list_position(['job_active', 'job_idle', 'pool_idle', 'unattributed'], line)
"""
_COUNTERS = """
    WITH facts AS (SELECT simulated, CAST(sum(energy_mj) AS BIGINT) AS facts_mj FROM fact_energy GROUP BY simulated),
    compared AS (
        SELECT simulated, CAST(sum(counter_mj) AS BIGINT) AS counter_mj, CAST(sum(facts_mj) AS BIGINT) AS compared_mj, count(*) AS counters
        FROM counters WHERE outermost AND counter_mj IS NOT NULL GROUP BY simulated)
    SELECT simulated, f.facts_mj, coalesce(counters, 0) AS counters, counter_mj, coalesce(compared_mj, 0) - counter_mj AS difference_mj,
           f.facts_mj - coalesce(compared_mj, 0) AS not_compared_mj
    FROM facts f LEFT JOIN compared USING (simulated) ORDER BY simulated
"""
_DIFFERENCES = """
    SELECT note, simulated, count(*) AS devices, CAST(sum(difference_mj) AS BIGINT) AS difference_mj
    FROM counters WHERE outermost AND (difference_mj IS NULL OR difference_mj <> 0) GROUP BY ALL ORDER BY simulated, note
"""


@dataclass(frozen=True)
class Figures:
    """All that the report shows.

    window_ms: the days asked for; None for those of the readings, or for the whole lake.
    outside: what lies outside the days of the readings and is not in the figures, simulated or not.
    """

    window_ms: tuple[int, int] | None
    lake: Row
    from_utc: Any
    to_utc: Any
    outside: list[Row]
    headline: list[Row]
    life_cycle: list[Row]
    teams: list[Row]
    series: list[Row]
    series_step: str
    zones: list[Row]
    sites: list[Row]
    jobs: list[Row]
    lines: list[Row]
    counters: list[Row]
    differences: list[Row]
    inference: list[Row]
    data_movement: list[Row]
    embodied: list[Row]
    unknown_embodied: list[Row]
    quality: list[Row]
    silent: list[Row]
    unread: list[Row]
    oversubscribed: list[Row]
    factors: list[Row]
    simulated: bool = field(default=False)


def collect(lake: Path, window_ms: tuple[int, int] | None = None, *, everything: bool = False) -> Figures:
    """The figures of a lake, of the whole UTC days [from, to) in epoch ms.

    Without days, of those from the first to the last measured instant: embodied emissions accrue from the
    day of purchase, and years of them beside an hour of energy mislead. What lies outside is in `outside`.
    With `everything`, of all there is. WattlakeError if the lake holds nothing accounted in that time; it
    says what to do.
    """
    if window_ms is not None:
        with open_lake(lake) as whole:  # a counter's life is not cut at the window
            counted = _counted(whole)
        with open_lake(lake, window_ms) as connection:
            return _collected(connection, lake, window_ms, [], counted)
    with open_lake(lake) as whole:
        measured = _rows(whole, _MEASURED)[0]
        outside = [] if everything or measured["from_ms"] is None else _rows(whole, _OUTSIDE.format(**measured))
        counted = _counted(whole)
        if not outside:
            return _collected(whole, lake, None, [], counted)
    with open_lake(lake, (measured["from_ms"], measured["to_ms"])) as connection:
        return _collected(connection, lake, None, outside, counted)


def _collected(connection: duckdb.DuckDBPyConnection, lake: Path, window_ms: tuple[int, int] | None, outside: list[Row],
               counted: dict[str, list[Row]]) -> Figures:
    about = _rows(connection, _WATERMARK)[0]
    span = _rows(connection, _SPAN)[0]
    if span["from_ms"] is None:
        raise _nothing(lake, window_ms, about)
    days = (span["to_ms"] - span["from_ms"]) / DAY_MS
    step = "hour" if days <= _HOURLY_DAYS else "day"
    step_ms = DAY_MS // 24 if step == "hour" else DAY_MS
    headline = _rows(connection, _HEADLINE)
    figures = {
        "headline": headline,
        "life_cycle": _rows(connection, "FROM footprint_by_phase"),
        "teams": _rows(connection, "FROM footprint_by_team"),
        "series": _rows(connection, _SERIES.format(step_ms=step_ms)),
        "zones": _rows(connection, _ZONES.format(step_ms=step_ms)),
        "sites": _rows(connection, _SITES),
        "jobs": _rows(connection, _JOBS),
        "lines": _rows(connection, _LINES),
        "inference": _rows(connection, "FROM inference"),
        "data_movement": _rows(connection, "FROM data_movement"),
        "embodied": _rows(connection, _EMBODIED),
        "unknown_embodied": _rows(connection, _UNKNOWN_EMBODIED),
        "quality": _rows(connection, "FROM data_quality"),
        "silent": _rows(connection, "FROM silent"),
        "unread": _rows(connection, "FROM jobs_without_energy"),
        "oversubscribed": _rows(connection, _OVERSUBSCRIBED),
        "factors": _rows(connection, "FROM factors_in_use"),
    }
    shown = _rows(connection, f"SELECT utc({span['from_ms']}) AS a, utc({span['to_ms']}) AS b")[0]
    return Figures(window_ms=window_ms, lake=about, from_utc=shown["a"], to_utc=shown["b"], outside=outside, series_step=step,
                   simulated=any(row["simulated"] for row in headline), **figures, **counted)


def _counted(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Row]]:
    return {"counters": _rows(connection, _COUNTERS), "differences": _rows(connection, _DIFFERENCES)}


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    result = connection.execute(query)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _nothing(lake: Path, window_ms: tuple[int, int] | None, about: Row) -> WattlakeError:
    if window_ms is not None:
        return WattlakeError("holds nothing accounted in those days", subject=str(lake),
                             next_step="leave --from and --to out to see which days there are")
    if about["readings"]:
        return WattlakeError(f"holds {about['readings']:,} reading{'' if about['readings'] == 1 else 's'} and nothing accounted yet",
                             subject=str(lake), next_step="`wattlake account`")
    return WattlakeError("holds no readings and nothing accounted yet", subject=str(lake),
                         next_step="`wattlake run` fills it from the log; `wattlake demo` shows how it looks")
