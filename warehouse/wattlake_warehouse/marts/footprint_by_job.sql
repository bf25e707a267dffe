-- What each job used and emitted, with what is known of it.
--
-- Grain: job, line, simulated.
-- Columns:
--   job: the job; (unattributed) or (pool_idle) for what no job held
--   line: job_active, job_idle, pool_idle or unattributed
--   simulated: made by `wattlake simulate`, not measured
--   model: its model; (none) where it names none
--   phase: its place in the life cycle; (none) where it names none
--   team: who answers for it; (none) where it names none
--   project: what it belongs to; (none) where it names none
--   user: who started it
--   status: ok, failed, cancelled; open where no stop was seen; NULL where nothing is known
--   start_utc [UTC]: its earliest start on any node
--   end_utc [UTC]: its latest end
--   nodes: on how many nodes it ran
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
--   not_read: where nothing was read in its time, and why: its energy there is unknown and not in the sum; NULL where every part was read
-- Caveats:
--   Of all time: embodied emissions run from each machine's first day, energy from its first reading. `footprint_by_day` has the same by day.
--   A sum leaves out what is unknown; the no_… column says how much that is.
--   What a machine draws beyond its parts (`rest`) counts as the class of the machine's own reading; in fact_energy its classes are differences.
--   What no job held is there too, under (unattributed), (pool_idle): the rows add up to the whole lake.
SELECT if(t.job IS NULL, '(' || t.line || ')', t.job) AS job,
       t.line,
       t.simulated,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.model, '(none)')) AS model,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.phase, '(none)')) AS phase,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.team, '(none)')) AS team,
       if(t.job IS NULL, '(' || t.line || ')', coalesce(d.project, '(none)')) AS project,
       d."user",
       if(d.open, 'open', d.status) AS status,
       utc(d.start_ms) AS start_utc,
       utc(d.end_ms) AS end_utc,
       d.nodes,
       kwh(energy_mj) AS energy_kwh,
       kwh(overhead_mj) AS overhead_kwh,
       kg(location_ug) AS location_kg,
       kg(overhead_location_ug) AS overhead_location_kg,
       kg(upstream_ug) AS upstream_kg,
       kg(embodied_ug) AS embodied_kg,
       kg(location_ug + overhead_location_ug + embodied_ug) AS operational_plus_embodied_kg,
       litres(water_site_ul) AS water_site_l,
       litres(water_grid_ul) AS water_grid_l,
       ratio(measured_mj, energy_mj) AS measured_share,
       ratio(integrated_mj, energy_mj) AS integrated_share,
       ratio(estimated_mj, energy_mj) AS estimated_share,
       ratio(imputed_mj, energy_mj) AS imputed_share,
       portion(covered_ms, period_ms) AS coverage,
       ratio(estimated_factor_mj, energy_mj) AS estimated_factor_share,
       kwh(no_overhead_mj) AS no_overhead_kwh,
       kwh(no_location_mj) AS no_location_kwh,
       kwh(no_upstream_mj) AS no_upstream_kwh,
       kwh(no_water_mj) AS no_water_kwh,
       no_embodied_days,
       w.not_read
FROM footprint_totals t
LEFT JOIN dim_jobs d ON d.job = t.job
LEFT JOIN (
    SELECT job, simulated, string_agg(part, '; ' ORDER BY part) AS not_read
    FROM (SELECT DISTINCT job, simulated, concat(node, if(item = '(machine)', '', ' ' || item), ': ', note) AS part FROM jobs_without_energy)
    GROUP BY job, simulated) w ON w.job = t.job AND w.simulated = t.simulated
ORDER BY energy_kwh DESC, job, line, simulated
