-- What each job used and emitted, and what no job held, day by day and site by site, in the lake's own integers. The footprint marts add this up.
--
-- Grain: day_utc, site, line, job, simulated.
-- Columns:
--   day_utc [UTC]: the day
--   site: where the node stood, for embodied emissions at the end of the day; NULL if nobody said
--   line: job_active, job_idle, pool_idle or unattributed
--   job: the job; NULL where no job held the device
--   simulated: made by `wattlake simulate`, not measured
--   energy_mj [mJ]: IT energy; NULL where nothing was read
--   measured_mj [mJ]: of it, counted by the hardware
--   integrated_mj [mJ]: of it, summed up from power
--   estimated_mj [mJ]: of it, from a model
--   imputed_mj [mJ]: of it, known in sum but spread evenly over a gap in the readings
--   covered_ms [ms]: device time that was read without a long gap
--   period_ms [ms]: device time that the rows stand for, between the machine's first reading and the end of the data
--   overhead_mj [mJ]: the facility's overhead, energy x (PUE - 1)
--   location_ug [µg CO2e]: location-based Scope 2 emissions of the IT energy
--   overhead_location_ug [µg CO2e]: the same of the overhead
--   upstream_ug [µg CO2e]: fuel chain, plant and losses (Scope 3.3) of both
--   water_site_ul [µL]: water used on site
--   water_grid_ul [µL]: water used in generation
--   no_overhead_mj [mJ]: energy whose overhead is unknown
--   no_location_mj [mJ]: energy whose location-based emissions are unknown
--   no_upstream_mj [mJ]: energy whose upstream emissions are unknown
--   no_water_mj [mJ]: energy whose water, on site or in generation, is unknown
--   estimated_factor_mj [mJ]: energy whose emissions rest on an estimated or default factor
--   embodied_ug [µg CO2e]: embodied emissions accrued
--   no_embodied_days: item-days whose embodied emissions are unknown
--   estimated_embodied_ug [µg CO2e]: of embodied_ug, from an estimated or default factor
-- Caveats:
--   A sum leaves out what is unknown; the no_… column beside it says how much that is.
--   What a machine draws beyond its parts (`rest`) counts as the class of the machine's own reading; in fact_energy its classes are differences.
--   Integers are exact: energy_mj is the sum of its four classes, and over all rows it is the sum of fact_energy.
--   A job in which nothing was read has no row, unless embodied emissions fall to it: see `jobs_without_energy`.
WITH parts AS (
    SELECT f.start_ms - f.start_ms % 86400000 AS day_ms, site, line, job, simulated, energy_mj,
           of_class('measured', measured_mj, device_kind, energy_mj, measured_mj, integrated_mj, estimated_mj, imputed_mj) AS measured_mj,
           of_class('integrated', integrated_mj, device_kind, energy_mj, measured_mj, integrated_mj, estimated_mj, imputed_mj) AS integrated_mj,
           of_class('estimated', estimated_mj, device_kind, energy_mj, measured_mj, integrated_mj, estimated_mj, imputed_mj) AS estimated_mj,
           of_class('imputed', imputed_mj, device_kind, energy_mj, measured_mj, integrated_mj, estimated_mj, imputed_mj) AS imputed_mj,
           -- an integer before it is added up: sums of doubles depend on the order
           CAST(round(coverage * (f.end_ms - start_ms)) AS BIGINT) AS covered_ms, expected(start_ms, f.end_ms, first_ms, s.end_ms) AS period_ms
    FROM fact_energy f LEFT JOIN spans s USING (node, simulated)
    UNION ALL BY NAME
    SELECT start_ms - start_ms % 86400000 AS day_ms, site, line, job, simulated, overhead_mj, location_ug, overhead_location_ug, upstream_ug, water_site_ul, water_grid_ul,
           if(overhead_mj IS NULL, energy_mj, 0) AS no_overhead_mj,
           if(location_ug IS NULL, energy_mj, 0) AS no_location_mj,
           if(upstream_ug IS NULL, energy_mj, 0) AS no_upstream_mj,
           if(water_site_ul IS NULL OR water_grid_ul IS NULL, energy_mj, 0) AS no_water_mj,
           if(estimated, energy_mj, 0) AS estimated_factor_mj
    FROM fact_emissions
    UNION ALL BY NAME
    SELECT e.start_ms - e.start_ms % 86400000 AS day_ms, if(p.end_ms > e.start_ms, p.site, NULL) AS site, line, job, simulated,
           embodied_ug, if(embodied_ug IS NULL, 1, 0) AS no_embodied_days, if(estimated, embodied_ug, 0) AS estimated_embodied_ug
    -- the one place that began last before the day ended
    FROM fact_embodied e ASOF LEFT JOIN accounted_places p ON p.node = e.node AND p.start_ms < e.end_ms
)
SELECT utc_day(day_ms) AS day_utc, site, line, job, simulated,
       CAST(sum(energy_mj) AS BIGINT) AS energy_mj,
       CAST(sum(measured_mj) AS BIGINT) AS measured_mj,
       CAST(sum(integrated_mj) AS BIGINT) AS integrated_mj,
       CAST(sum(estimated_mj) AS BIGINT) AS estimated_mj,
       CAST(sum(imputed_mj) AS BIGINT) AS imputed_mj,
       CAST(coalesce(sum(covered_ms), 0) AS BIGINT) AS covered_ms,
       CAST(coalesce(sum(period_ms), 0) AS BIGINT) AS period_ms,
       CAST(sum(overhead_mj) AS BIGINT) AS overhead_mj,
       CAST(sum(location_ug) AS BIGINT) AS location_ug,
       CAST(sum(overhead_location_ug) AS BIGINT) AS overhead_location_ug,
       CAST(sum(upstream_ug) AS BIGINT) AS upstream_ug,
       CAST(sum(water_site_ul) AS BIGINT) AS water_site_ul,
       CAST(sum(water_grid_ul) AS BIGINT) AS water_grid_ul,
       CAST(coalesce(sum(no_overhead_mj), 0) AS BIGINT) AS no_overhead_mj,
       CAST(coalesce(sum(no_location_mj), 0) AS BIGINT) AS no_location_mj,
       CAST(coalesce(sum(no_upstream_mj), 0) AS BIGINT) AS no_upstream_mj,
       CAST(coalesce(sum(no_water_mj), 0) AS BIGINT) AS no_water_mj,
       CAST(coalesce(sum(estimated_factor_mj), 0) AS BIGINT) AS estimated_factor_mj,
       CAST(sum(embodied_ug) AS BIGINT) AS embodied_ug,
       CAST(coalesce(sum(no_embodied_days), 0) AS BIGINT) AS no_embodied_days,
       CAST(coalesce(sum(estimated_embodied_ug), 0) AS BIGINT) AS estimated_embodied_ug
FROM parts
GROUP BY day_ms, site, line, job, simulated
ORDER BY day_ms, site, line, job, simulated
