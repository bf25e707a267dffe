-- What each model used and emitted, over all its phases, failed and cancelled runs included.
--
-- Grain: model, simulated.
-- Columns:
--   model: the model; (none) where the job names none
--   simulated: made by `wattlake simulate`, not measured
--   jobs: jobs that worked on it
--   energy_kwh [kWh]: IT energy; NULL where nothing was read
--   overhead_kwh [kWh]: the facility's overhead, IT energy x (PUE - 1)
--   location_kg [kg CO2e]: location-based Scope 2 emissions of the IT energy
--   overhead_location_kg [kg CO2e]: location-based Scope 2 emissions of the overhead
--   upstream_kg [kg CO2e]: fuel chain, plant and losses (Scope 3.3) of IT energy and overhead
--   embodied_kg [kg CO2e]: embodied emissions accrued (SCI's M)
--   operational_plus_embodied_kg [kg CO2e]: location_kg + overhead_location_kg + embodied_kg, as the SCI adds them up; NULL while one is unknown
--   water_site_l [L]: water used on site
--   water_grid_l [L]: water used in generation
--   measured_share: share of the energy counted by the hardware
--   integrated_share: share of the energy summed up from power
--   estimated_share: share of the energy from a model
--   imputed_share: share of the energy that is known in sum but spread evenly over a gap in the readings
--   coverage: share of the device time, from the machine's first reading to the end of the data, that was read without a long gap
--   estimated_factor_share: share of the energy whose emissions rest on an estimated or default factor
--   no_overhead_kwh [kWh]: energy whose overhead is unknown
--   no_location_kwh [kWh]: energy whose location-based emissions are unknown
--   no_upstream_kwh [kWh]: energy whose upstream emissions are unknown
--   no_water_kwh [kWh]: energy whose water is unknown
--   no_embodied_days: item-days whose embodied emissions are unknown
--   no_energy_jobs: jobs in which nothing was read, in whole or on one of their machines or devices: their energy is unknown and not in the sum
-- Caveats:
--   Of all time: embodied emissions run from each machine's first day, energy from its first reading. `footprint_by_day` has the same by day.
--   A sum leaves out what is unknown; the no_… column says how much that is.
--   What a machine draws beyond its parts (`rest`) counts as the class of the machine's own reading; in fact_energy its classes are differences.
--   What no job held is there too, under (unattributed), (pool_idle): the rows add up to the whole lake.
SELECT if(t.job IS NULL, '(' || t.line || ')', coalesce(d.model, '(none)')) AS model,
       t.simulated,
       count(DISTINCT t.job) AS jobs,
       kwh(sum(energy_mj)) AS energy_kwh,
       kwh(sum(overhead_mj)) AS overhead_kwh,
       kg(sum(location_ug)) AS location_kg,
       kg(sum(overhead_location_ug)) AS overhead_location_kg,
       kg(sum(upstream_ug)) AS upstream_kg,
       kg(sum(embodied_ug)) AS embodied_kg,
       kg(sum(location_ug) + sum(overhead_location_ug) + sum(embodied_ug)) AS operational_plus_embodied_kg,
       litres(sum(water_site_ul)) AS water_site_l,
       litres(sum(water_grid_ul)) AS water_grid_l,
       ratio(sum(measured_mj), sum(energy_mj)) AS measured_share,
       ratio(sum(integrated_mj), sum(energy_mj)) AS integrated_share,
       ratio(sum(estimated_mj), sum(energy_mj)) AS estimated_share,
       ratio(sum(imputed_mj), sum(energy_mj)) AS imputed_share,
       portion(sum(covered_ms), sum(period_ms)) AS coverage,
       ratio(sum(estimated_factor_mj), sum(energy_mj)) AS estimated_factor_share,
       kwh(sum(no_overhead_mj)) AS no_overhead_kwh,
       kwh(sum(no_location_mj)) AS no_location_kwh,
       kwh(sum(no_upstream_mj)) AS no_upstream_kwh,
       kwh(sum(no_water_mj)) AS no_water_kwh,
       CAST(sum(no_embodied_days) AS BIGINT) AS no_embodied_days,
       CAST(sum(no_energy_jobs) AS BIGINT) AS no_energy_jobs
FROM footprint_totals t
LEFT JOIN dim_jobs d ON d.job = t.job
GROUP BY 1, 2
ORDER BY 1, 2
