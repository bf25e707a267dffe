-- Where the energy of each device went, day by day: the lines are disjoint and add up to it exactly.
--
-- Grain: day_utc, node, device, simulated.
-- Columns:
--   day_utc [UTC]: the day
--   node: the machine
--   device: the device, or `X.rest` for what X draws beyond its parts
--   simulated: made by `wattlake simulate`, not measured
--   job_active_mj [mJ]: jobs' shares
--   job_idle_mj [mJ]: idle floor of devices that jobs held
--   pool_idle_mj [mJ]: idle floor of devices that no job held
--   unattributed_mj [mJ]: what no job held
--   total_mj [mJ]: energy of the device in the day
--   measured_mj [mJ]: of it, counted by the hardware
--   integrated_mj [mJ]: of it, summed up from power
--   estimated_mj [mJ]: of it, from a model
--   imputed_mj [mJ]: of it, spread evenly over a gap
--   lines_difference_mj [mJ]: total less the four lines: what is on any other line; 0 in a sound lake
--   classes_difference_mj [mJ]: total less the four classes; 0 in a sound lake
-- Caveats:
--   The classes of a `rest` are differences, wall less parts, so one of them may be negative; the total may be too.
--   Integers on purpose: closure is exact or it is broken. It holds the facts against themselves; `counters` holds them against the hardware.
SELECT utc_day(start_ms - start_ms % 86400000) AS day_utc,
       node,
       device,
       simulated,
       CAST(sum(if(line = 'job_active', energy_mj, 0)) AS BIGINT) AS job_active_mj,
       CAST(sum(if(line = 'job_idle', energy_mj, 0)) AS BIGINT) AS job_idle_mj,
       CAST(sum(if(line = 'pool_idle', energy_mj, 0)) AS BIGINT) AS pool_idle_mj,
       CAST(sum(if(line = 'unattributed', energy_mj, 0)) AS BIGINT) AS unattributed_mj,
       CAST(sum(energy_mj) AS BIGINT) AS total_mj,
       CAST(sum(measured_mj) AS BIGINT) AS measured_mj,
       CAST(sum(integrated_mj) AS BIGINT) AS integrated_mj,
       CAST(sum(estimated_mj) AS BIGINT) AS estimated_mj,
       CAST(sum(imputed_mj) AS BIGINT) AS imputed_mj,
       CAST(sum(if(line IN ('job_active', 'job_idle', 'pool_idle', 'unattributed'), 0, energy_mj)) AS BIGINT) AS lines_difference_mj,
       CAST(sum(energy_mj - measured_mj - integrated_mj - estimated_mj - imputed_mj) AS BIGINT) AS classes_difference_mj
FROM fact_energy
GROUP BY ALL
ORDER BY day_utc, node, device, simulated
