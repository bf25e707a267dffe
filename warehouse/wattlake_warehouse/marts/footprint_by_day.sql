-- What each team, model and phase used and emitted, day by day and site by site, and what no job held: for last month, and for trends.
--
-- Grain: day_utc, team, phase, model, site, line, simulated.
-- Columns:
--   day_utc [UTC]: the day
--   team: who answers for it; (none) where the job names none, (unattributed) or (pool_idle) for what no job held
--   phase: data, experiment, train, finetune, evaluate, inference or other; (none) and the others as in team
--   model: the model; (none) and the others as in team
--   site: where the machine stood; (unknown) if nobody said
--   line: job_active, job_idle, pool_idle or unattributed
--   simulated: made by `wattlake simulate`, not measured
--   jobs: jobs of that day
--   energy_kwh [kWh]: IT energy; NULL where nothing was read
--   overhead_kwh [kWh]: the facility's overhead, IT energy x (PUE - 1)
--   location_kg [kg CO2e]: location-based Scope 2 emissions of the IT energy
--   overhead_location_kg [kg CO2e]: location-based Scope 2 emissions of the overhead
--   upstream_kg [kg CO2e]: fuel chain, plant and losses (Scope 3.3) of IT energy and overhead
--   embodied_kg [kg CO2e]: embodied emissions accrued (SCI's M)
--   water_site_l [L]: water used on site
--   water_grid_l [L]: water used in generation
--   no_overhead_kwh [kWh]: energy whose overhead is unknown
--   no_location_kwh [kWh]: energy whose location-based emissions are unknown
--   no_upstream_kwh [kWh]: energy whose upstream emissions are unknown
--   no_water_kwh [kWh]: energy whose water is unknown
--   no_embodied_days: item-days whose embodied emissions are unknown
-- Caveats:
--   A sum leaves out what is unknown; the no_… column says how much that is.
--   Embodied emissions run from each machine's first day, energy from its first reading: compare them over the same days.
--   A job in which nothing was read is in `jobs_without_energy`. For sums over days that are exact to the integer add up `daily_totals`.
SELECT t.day_utc,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.team, '(none)')) AS team,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.phase, '(none)')) AS phase,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.model, '(none)')) AS model,
       coalesce(t.site, '(unknown)') AS site,
       t.line,
       t.simulated,
       count(DISTINCT t.job) AS jobs,
       kwh(sum(energy_mj)) AS energy_kwh,
       kwh(sum(overhead_mj)) AS overhead_kwh,
       kg(sum(location_ug)) AS location_kg,
       kg(sum(overhead_location_ug)) AS overhead_location_kg,
       kg(sum(upstream_ug)) AS upstream_kg,
       kg(sum(embodied_ug)) AS embodied_kg,
       litres(sum(water_site_ul)) AS water_site_l,
       litres(sum(water_grid_ul)) AS water_grid_l,
       kwh(sum(no_overhead_mj)) AS no_overhead_kwh,
       kwh(sum(no_location_mj)) AS no_location_kwh,
       kwh(sum(no_upstream_mj)) AS no_upstream_kwh,
       kwh(sum(no_water_mj)) AS no_water_kwh,
       CAST(sum(no_embodied_days) AS BIGINT) AS no_embodied_days
FROM daily_totals t
LEFT JOIN dim_jobs d ON d.job = t.job
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 1, 2, 3, 4, 5, 6, 7
