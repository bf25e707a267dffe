-- How well each device was read, day by day.
--
-- Grain: day_utc, node, device, simulated.
-- Columns:
--   day_utc [UTC]: the day
--   node: the machine
--   device: the device, or `X.rest` for what X draws beyond its parts
--   simulated: made by `wattlake simulate`, not measured
--   device_kind: what it is
--   energy_kwh [kWh]: IT energy
--   covered_h [h]: time that was read without a long gap
--   known_h [h]: time of the periods that have a figure at all
--   expected_h [h]: of it, what lies between the machine's first reading and the end of the data
--   coverage: covered over expected time
--   day_coverage: covered time over what of the day lies between the machine's first reading and the end of the data
--   imputed_share: share of the energy that was spread evenly over a gap
--   flags: what to know about it: conflict, implausible, outlier, overlap, oversubscribed, parts_missing
-- Caveats:
--   A day without any reading has no row: no readings is a gap, never a zero. What is silent now is in `silent`.
--   fact_energy.coverage is measured against the whole period, the hour in which the agent began included.
WITH periods AS (
    -- coverage is the same on every line of a device and period, so each period counts once
    SELECT start_ms, end_ms, node, device, simulated, any_value(device_kind) AS device_kind, sum(energy_mj) AS energy_mj,
           sum(of_class('imputed', imputed_mj, device_kind, energy_mj, measured_mj, integrated_mj, estimated_mj, imputed_mj)) AS imputed_mj,
           CAST(round(max(coverage) * (end_ms - start_ms)) AS BIGINT) AS covered_ms,
           list_distinct(flatten(list(string_split(flags, ',')) FILTER (flags IS NOT NULL))) AS flags
    FROM fact_energy
    GROUP BY start_ms, end_ms, node, device, simulated
),
days AS (
    SELECT p.start_ms - p.start_ms % 86400000 AS day_ms, node, device, simulated, any_value(device_kind) AS device_kind, any_value(first_ms) AS first_ms,
           any_value(s.end_ms) AS last_ms, sum(energy_mj) AS energy_mj, sum(imputed_mj) AS imputed_mj, sum(covered_ms) AS covered_ms,
           sum(p.end_ms - p.start_ms) AS known_ms, sum(expected(p.start_ms, p.end_ms, first_ms, s.end_ms)) AS expected_ms,
           array_to_string(list_sort(list_distinct(flatten(list(flags) FILTER (flags IS NOT NULL)))), ',') AS flags
    FROM periods p LEFT JOIN spans s USING (node, simulated)
    GROUP BY ALL
)
SELECT utc_day(day_ms) AS day_utc,
       node,
       device,
       simulated,
       device_kind,
       kwh(energy_mj) AS energy_kwh,
       hours(covered_ms) AS covered_h,
       hours(known_ms) AS known_h,
       hours(expected_ms) AS expected_h,
       portion(covered_ms, expected_ms) AS coverage,
       portion(covered_ms, expected(day_ms, day_ms + 86400000, first_ms, last_ms)) AS day_coverage,
       ratio(imputed_mj, energy_mj) AS imputed_share,
       nullif(flags, '') AS flags
FROM days
ORDER BY day_utc, node, device, simulated
