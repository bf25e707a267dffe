-- What each job used and emitted, and what no job held, in the lake's own integers. The other footprint marts add this up.
--
-- Grain: line, job, simulated.
-- Columns:
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
--   no_energy_jobs: 1 for a job in which nothing was read, in whole or on one of its machines or devices
-- Caveats:
--   A sum leaves out what is unknown; the no_… column beside it says how much that is.
--   What a machine draws beyond its parts (`rest`) counts as the class of the machine's own reading; in fact_energy its classes are differences.
--   Integers are exact: energy_mj is the sum of its four classes, and over all rows it is the sum of fact_energy.
WITH parts AS (
    FROM daily_totals
    UNION ALL BY NAME
    -- a job that nothing was read in is there all the same, its energy unknown
    SELECT DISTINCT 'job_active' AS line, job, simulated, 1 AS no_energy_jobs FROM jobs_without_energy
)
SELECT line, job, simulated,
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
       CAST(coalesce(sum(estimated_embodied_ug), 0) AS BIGINT) AS estimated_embodied_ug,
       CAST(coalesce(max(no_energy_jobs), 0) AS BIGINT) AS no_energy_jobs
FROM parts
GROUP BY line, job, simulated
ORDER BY line, job, simulated
