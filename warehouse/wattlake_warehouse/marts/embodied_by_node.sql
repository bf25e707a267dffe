-- Embodied emissions accrued by each machine and its devices, reserved by jobs or not.
--
-- Grain: node, item, simulated.
-- Columns:
--   node: the machine
--   item: the device, or (machine) for the machine itself
--   simulated: made by `wattlake simulate`, not measured
--   sku: its model in the inventory
--   embodied_kg [kg CO2e]: accrued in all (SCI's M); NULL where unknown
--   job_kg [kg CO2e]: of it, reserved by jobs
--   unattributed_kg [kg CO2e]: of it, reserved by nobody
--   reserved_h [h]: wall-clock time reserved by jobs, by share
--   from_utc [UTC]: first day
--   to_utc [UTC]: end of the last day
--   unknown_days: days without a figure
--   estimated: whether a factor is an estimate or a default
--   basis: what the figures rest on, or why they are missing
-- Caveats:
--   Spread evenly over the life of the hardware. The whole amount in the year of purchase (Scope 3 category 2) is another ledger; never add the two.
SELECT f.node,
       coalesce(f.device, '(machine)') AS item,
       f.simulated,
       any_value(coalesce(d.device_sku, if(f.device IS NULL, n.sku, NULL))) AS sku,
       kg(sum(f.embodied_ug)) AS embodied_kg,
       kg(sum(f.embodied_ug) FILTER (f.job IS NOT NULL)) AS job_kg,
       kg(sum(f.embodied_ug) FILTER (f.job IS NULL)) AS unattributed_kg,
       hours(sum(f.reserved_ms) FILTER (f.job IS NOT NULL)) AS reserved_h,
       utc(min(f.start_ms)) AS from_utc,
       utc(max(f.end_ms)) AS to_utc,
       count(DISTINCT f.start_ms) FILTER (f.embodied_ug IS NULL) AS unknown_days,
       bool_or(f.estimated) AS estimated,
       string_agg(DISTINCT f.basis, '; ' ORDER BY f.basis) AS basis
FROM fact_embodied f
LEFT JOIN dim_devices d ON d.node = f.node AND d.device = f.device
LEFT JOIN dim_nodes n ON n.node = f.node
GROUP BY f.node, f.device, f.simulated
ORDER BY f.node, item, f.simulated
