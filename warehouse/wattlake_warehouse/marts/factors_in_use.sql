-- The external figures that went into the emissions: which versions, from where, and how much energy rests on them.
--
-- Grain: kind, subject, source, estimated, simulated.
-- Columns:
--   kind: grid, marginal, site, embodied or network
--   subject: the zone, the site, the sku or the medium
--   source: where the figures come from; (not given) if nobody said
--   estimated: an estimate or a default, not the operator's or the maker's own figure
--   simulated: made by `wattlake simulate`, not measured
--   unit: unit of low and high
--   low: the least value used
--   high: the greatest value used
--   versions: different figures used
--   valid_from_utc [UTC]: from when the first of them holds
--   valid_to_utc [UTC]: until when the last of them holds; NULL if open
--   known_from_utc [UTC]: since when the latest of them was known
--   energy_kwh [kWh]: IT energy that rests on them; for network, the energy allocated; NULL for embodied
-- Caveats:
--   A site's figure is its PUE. A grid's figure is the direct one, of generation; a marginal figure is for what-if only.
WITH grid AS (
    SELECT version, any_value(zone) AS zone, any_value(source) AS source, any_value(estimated) AS estimated, any_value(direct_g_per_kwh) AS direct,
           any_value(marginal_g_per_kwh) AS marginal, any_value(start_ms) AS start_ms, any_value(end_ms) AS end_ms, min(known_from_ms) AS known_from_ms
    FROM ref_grid GROUP BY version
),
sites AS (
    SELECT version, any_value(site) AS site, any_value(source) AS source, any_value(estimated) AS estimated, any_value(pue) AS pue,
           any_value(valid_from_ms) AS valid_from_ms, any_value(valid_to_ms) AS valid_to_ms, min(known_from_ms) AS known_from_ms
    FROM ref_sites GROUP BY version
),
embodied AS (
    SELECT version, any_value(sku) AS sku, any_value(source) AS source, any_value(estimated) AS estimated, any_value(embodied_ug) AS embodied_ug,
           any_value(valid_from_ms) AS valid_from_ms, min(known_from_ms) AS known_from_ms
    FROM ref_embodied GROUP BY version
),
used AS (
    SELECT grid_version, marginal_version, site_version, simulated, sum(energy_mj) AS energy_mj
    FROM fact_emissions GROUP BY ALL
),
found AS (
    SELECT 'grid' AS kind, zone AS subject, source, estimated, simulated, 'g CO2e/kWh' AS unit, direct AS value, version,
           start_ms AS from_ms, end_ms AS to_ms, known_from_ms, energy_mj
    FROM used JOIN grid ON version = grid_version
    UNION ALL
    SELECT 'marginal', zone, source, estimated, simulated, 'g CO2e/kWh', marginal, version, start_ms, end_ms, known_from_ms, energy_mj
    FROM used JOIN grid ON version = marginal_version
    UNION ALL
    SELECT 'site', site, source, estimated, simulated, 'PUE', pue, version, valid_from_ms, valid_to_ms, known_from_ms, energy_mj
    FROM used JOIN sites ON version = site_version
    UNION ALL
    SELECT 'embodied', sku, source, e.estimated, simulated, 'kg CO2e', kg(e.embodied_ug), version, valid_from_ms, NULL, known_from_ms, NULL
    FROM (SELECT DISTINCT version AS used_version, simulated FROM fact_embodied) JOIN embodied e ON version = used_version
    UNION ALL
    SELECT 'network', medium, factor, true, simulated, 'kWh/GB', kwh(energy_mj) / (bytes / 1e9), factor, NULL, NULL, NULL, energy_mj
    FROM fact_transfers WHERE energy_mj IS NOT NULL AND bytes > 0
)
SELECT kind,
       subject,
       coalesce(source, '(not given)') AS source,
       coalesce(estimated, false) AS estimated,
       simulated,
       unit,
       min(value) AS low,
       max(value) AS high,
       count(DISTINCT version) AS versions,
       utc(min(from_ms)) AS valid_from_utc,
       if(bool_or(to_ms IS NULL), NULL, utc(max(to_ms))) AS valid_to_utc,
       utc(max(known_from_ms)) AS known_from_utc,
       kwh(sum(energy_mj)) AS energy_kwh
FROM found
GROUP BY ALL
ORDER BY kind, subject, source, estimated, simulated
