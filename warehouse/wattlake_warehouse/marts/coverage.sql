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
--   coverage: covered time over the time of those periods
--   day_coverage: covered time over the whole day, or what of it lies before the lake's data watermark
--   imputed_share: share of the energy that was spread evenly over a gap
--   flags: what to know about it: conflict, implausible, outlier, overlap, oversubscribed, parts_missing
-- Caveats:
--   A day without any reading has no row: no readings is a gap, never a zero.
WITH watermark AS (SELECT max(watermark_ms) AS at_ms FROM commits),
periods AS (
    -- coverage is the same on every line of a device and period, so each period counts once
    SELECT start_ms, end_ms, node, device, simulated, any_value(device_kind) AS device_kind,
           sum(energy_mj) AS energy_mj, sum(imputed_mj) AS imputed_mj,
           CAST(round(max(coverage) * (end_ms - start_ms)) AS BIGINT) AS covered_ms,
           list_distinct(flatten(list(string_split(flags, ',')) FILTER (flags IS NOT NULL))) AS flags
    FROM fact_energy
    GROUP BY start_ms, end_ms, node, device, simulated
),
days AS (
    SELECT start_ms - start_ms % 86400000 AS day_ms, node, device, simulated, any_value(device_kind) AS device_kind,
           sum(energy_mj) AS energy_mj, sum(imputed_mj) AS imputed_mj, sum(covered_ms) AS covered_ms, sum(end_ms - start_ms) AS known_ms,
           array_to_string(list_sort(list_distinct(flatten(list(flags) FILTER (flags IS NOT NULL)))), ',') AS flags
    FROM periods
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
       ratio(covered_ms, known_ms) AS coverage,
       least(1, ratio(covered_ms, greatest(known_ms, least(86400000, coalesce(at_ms, day_ms + 86400000) - day_ms)))) AS day_coverage,
       ratio(imputed_mj, energy_mj) AS imputed_share,
       nullif(flags, '') AS flags
FROM days, watermark
ORDER BY day_utc, node, device, simulated
