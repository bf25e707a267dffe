-- Energy and emissions of each site, hour by hour, beside the grid's intensity.
--
-- Grain: hour_utc, site, zone, simulated.
-- Columns:
--   hour_utc [UTC]: start of the hour
--   site: where the nodes stood; (unknown) if nobody said
--   zone: the site's grid zone; (unknown) if nobody said
--   simulated: made by `wattlake simulate`, not measured
--   energy_kwh [kWh]: IT energy
--   job_kwh [kWh]: of it, held by jobs
--   overhead_kwh [kWh]: the facility's overhead, IT energy x (PUE - 1)
--   location_kg [kg CO2e]: location-based Scope 2 emissions of the IT energy
--   overhead_location_kg [kg CO2e]: location-based Scope 2 emissions of the overhead
--   upstream_kg [kg CO2e]: fuel chain, plant and losses (Scope 3.3) of IT energy and overhead
--   marginal_screening_kg [kg CO2e]: emissions at the margin of both; what-if only, never an inventory
--   direct_g_per_kwh [g CO2e/kWh]: location-based intensity of the IT energy of the hour; NULL where none of it has a figure
--   water_site_l [L]: water used on site
--   water_grid_l [L]: water used in generation
--   no_location_kwh [kWh]: energy whose location-based emissions are unknown
--   estimated_factor_share: share of the energy whose emissions rest on an estimated or default factor
-- Caveats:
--   The intensity is weighted by energy: emissions over the energy that has a figure.
--   Marginal emissions answer what one kWh more would have done; they are never added to the others.
WITH hourly AS (
    SELECT start_ms - start_ms % 3600000 AS hour_ms, site, zone, simulated,
           sum(energy_mj) AS energy_mj, sum(if(job IS NULL, 0, energy_mj)) AS job_mj, sum(overhead_mj) AS overhead_mj,
           sum(location_ug) AS location_ug, sum(overhead_location_ug) AS overhead_location_ug, sum(upstream_ug) AS upstream_ug,
           sum(marginal_screening_ug) AS marginal_ug, sum(water_site_ul) AS water_site_ul, sum(water_grid_ul) AS water_grid_ul,
           sum(if(location_ug IS NULL, energy_mj, 0)) AS no_location_mj, sum(if(estimated, energy_mj, 0)) AS estimated_factor_mj
    FROM fact_emissions
    GROUP BY ALL
)
SELECT utc(hour_ms) AS hour_utc,
       coalesce(site, '(unknown)') AS site,
       coalesce(zone, '(unknown)') AS zone,
       simulated,
       kwh(energy_mj) AS energy_kwh,
       kwh(job_mj) AS job_kwh,
       kwh(overhead_mj) AS overhead_kwh,
       kg(location_ug) AS location_kg,
       kg(overhead_location_ug) AS overhead_location_kg,
       kg(upstream_ug) AS upstream_kg,
       kg(marginal_ug) AS marginal_screening_kg,
       ratio(location_ug / 1e6, kwh(energy_mj - no_location_mj)) AS direct_g_per_kwh,
       litres(water_site_ul) AS water_site_l,
       litres(water_grid_ul) AS water_grid_l,
       kwh(no_location_mj) AS no_location_kwh,
       ratio(estimated_factor_mj, energy_mj) AS estimated_factor_share
FROM hourly
ORDER BY hour_utc, site, zone, simulated
