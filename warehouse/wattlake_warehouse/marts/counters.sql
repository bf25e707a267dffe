-- The facts beside the hardware's own counters: the same joules, counted a second way.
--
-- Grain: node, device, simulated.
-- Columns:
--   node: the machine
--   device: the device whose counter is compared; of a whole and its parts, the whole
--   simulated: made by `wattlake simulate`, not measured
--   epochs: lives of the counter
--   first_utc [UTC]: its first reading
--   last_utc [UTC]: its last reading
--   counter_mj [mJ]: last less first value, over all its lives; NULL where the device gives power only
--   facts_mj [mJ]: energy in fact_energy of the device; of a whole, with all its parts
--   difference_mj [mJ]: facts less counter; 0 unless the note says why not
--   outermost: whether the row stands for all that no other row holds: these rows hold every joule once
--   note: why the two may differ, or why they are not compared
-- Caveats:
--   Made from the outermost readings of each hour (reading_bounds), not from the facts: an independent check of closure.
WITH ends AS (
    SELECT node, device, simulated, epoch, min(ts_ms) AS first_ms, max(ts_ms) AS last_ms,
           -- of two values at one instant accounting keeps the greater
           max_by(energy_mj, (-ts_ms, energy_mj)) AS first_mj, max_by(energy_mj, (ts_ms, energy_mj)) AS last_mj,
           bool_and(energy_mj IS NOT NULL) AS counts,
           max(CASE WHEN boundary = 'facility' THEN 6 WHEN boundary = 'pdu' THEN 5 WHEN device_kind = 'node' AND boundary = 'node_ac' THEN 4
                    WHEN device_kind = 'node' THEN 3 WHEN device_kind = 'psu' THEN 2 WHEN device_kind = 'psys' THEN 1 ELSE 0 END) AS rank
    FROM reading_bounds
    GROUP BY node, device, simulated, epoch
),
falls AS (
    SELECT DISTINCT node, device
    FROM (SELECT node, device, energy_mj, lag(energy_mj) OVER (PARTITION BY node, device, epoch ORDER BY ts_ms, energy_mj) AS before_mj FROM reading_bounds)
    WHERE energy_mj < before_mj
),
devices AS (
    SELECT node, device, simulated, count(*) AS epochs, min(first_ms) AS first_ms, max(last_ms) AS last_ms, bool_and(counts) AS counts,
           sum(last_mj - first_mj) AS counter_mj, max(rank) AS rank
    FROM ends GROUP BY node, device, simulated
),
leaves AS (
    SELECT node, device, simulated, sum(energy_mj) AS energy_mj, bool_or(contains(coalesce(flags, ''), 'overlap')) AS overlap,
           bool_or(contains(coalesce(flags, ''), 'outlier')) AS outlier, bool_or(contains(coalesce(flags, ''), 'parts_missing')) AS parts_missing
    FROM fact_energy GROUP BY node, device, simulated
),
wholes AS (
    -- a device with a rest is a whole; the outermost one of a node holds all its leaves
    SELECT d.node, d.device, d.simulated
    FROM devices d SEMI JOIN leaves l ON l.node = d.node AND l.simulated = d.simulated AND l.device = d.device || '.rest'
    QUALIFY rank() OVER (PARTITION BY d.node, d.simulated ORDER BY d.rank DESC) = 1 AND count(*) OVER (PARTITION BY d.node, d.simulated, d.rank) = 1
),
held AS (
    SELECT w.node, w.device, w.simulated, sum(l.energy_mj) AS facts_mj, bool_or(overlap) AS overlap, bool_or(outlier) AS outlier,
           bool_or(parts_missing) AS parts_missing, true AS whole
    FROM wholes w JOIN leaves l USING (node, simulated) GROUP BY ALL
    UNION ALL
    SELECT node, device, simulated, energy_mj, overlap, outlier, false, false
    FROM leaves l WHERE NOT ends_with(device, '.rest')
      AND NOT EXISTS (SELECT 1 FROM leaves r WHERE r.node = l.node AND r.simulated = l.simulated AND r.device = l.device || '.rest')
)
SELECT node,
       device,
       simulated,
       epochs,
       utc(first_ms) AS first_utc,
       utc(last_ms) AS last_utc,
       CAST(if(counts, counter_mj, NULL) AS BIGINT) AS counter_mj,
       CAST(facts_mj AS BIGINT) AS facts_mj,
       CAST(if(counts, facts_mj - counter_mj, NULL) AS BIGINT) AS difference_mj,
       coalesce(whole OR NOT EXISTS (SELECT 1 FROM wholes w WHERE w.node = devices.node AND w.simulated = devices.simulated), false)
         AND facts_mj IS NOT NULL AS outermost,
       CASE WHEN NOT counts THEN 'gives power only: integrated in accounting'
            WHEN facts_mj IS NULL THEN 'a whole within a whole, or a part without figures: not compared'
            WHEN facts_mj = counter_mj THEN 'equal'
            WHEN f.node IS NOT NULL THEN 'the counter fell within an epoch: it began again'
            WHEN overlap THEN 'several series of the device overlap: each instant counts once'
            WHEN whole THEN 'parts were read while the whole was not'
            ELSE 'readings were dropped as implausible, or are not accounted yet'
       END AS note
FROM devices
LEFT JOIN held USING (node, device, simulated)
LEFT JOIN falls f USING (node, device)
ORDER BY node, device, simulated
