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
--   unexplained_mj [mJ]: the difference where no rule of accounting explains it, else 0; NULL where nothing is compared
--   outermost: whether the row stands for all that no other row holds: these rows hold every joule once
--   note: why the two differ, or why they are not compared
-- Caveats:
--   Made from the outermost readings of each hour (reading_bounds), not from the facts: an independent check of closure.
--   Where the two differ, the device's raw readings are opened, and what accounting leaves out by its rules (docs/accounting.md, section 1) is counted again in SQL.
WITH ends AS (
    SELECT node, device, simulated, epoch, min(ts_ms) AS first_ms, max(ts_ms) AS last_ms,
           -- of two values at one instant accounting keeps the greater
           max_by(energy_mj, (-ts_ms, energy_mj)) AS first_mj, max_by(energy_mj, (ts_ms, energy_mj)) AS last_mj,
           bool_and(energy_mj IS NOT NULL) AS counts, max(batch) AS batch,
           max(CASE WHEN boundary = 'facility' THEN 6 WHEN boundary = 'pdu' THEN 5 WHEN device_kind = 'node' AND boundary = 'node_ac' THEN 4
                    WHEN device_kind = 'node' THEN 3 WHEN device_kind = 'psu' THEN 2 WHEN device_kind = 'psys' THEN 1 ELSE 0 END) AS rank
    FROM reading_bounds
    GROUP BY node, device, simulated, epoch
),
devices AS (
    SELECT node, device, simulated, count(*) AS epochs, min(first_ms) AS first_ms, max(last_ms) AS last_ms, bool_and(counts) AS counts,
           CAST(sum(last_mj - first_mj) AS BIGINT) AS counter_mj, max(rank) AS rank, max(batch) AS batch,
           count(*) OVER (PARTITION BY node, device) > 1 AS mixed
    FROM ends GROUP BY node, device, simulated
),
leaves AS (
    SELECT node, device, simulated, sum(energy_mj) AS energy_mj, bool_or(contains(coalesce(flags, ''), 'overlap')) AS overlap
    FROM fact_energy GROUP BY node, device, simulated
),
wholes AS (
    -- a device with a rest is a whole; the outermost one of a node holds all its leaves
    SELECT d.node, d.device, d.simulated
    FROM devices d SEMI JOIN leaves l ON l.node = d.node AND l.simulated = d.simulated AND l.device = d.device || '.rest'
    QUALIFY rank() OVER (PARTITION BY d.node, d.simulated ORDER BY d.rank DESC) = 1 AND count(*) OVER (PARTITION BY d.node, d.simulated, d.rank) = 1
),
held AS (
    SELECT w.node, w.device, w.simulated, CAST(sum(l.energy_mj) AS BIGINT) AS facts_mj, bool_or(overlap) AS overlap, true AS whole
    FROM wholes w JOIN leaves l USING (node, simulated) GROUP BY ALL
    UNION ALL
    SELECT node, device, simulated, CAST(energy_mj AS BIGINT), overlap, false
    FROM leaves l WHERE NOT ends_with(device, '.rest')
      AND NOT EXISTS (SELECT 1 FROM leaves r WHERE r.node = l.node AND r.simulated = l.simulated AND r.device = l.device || '.rest')
),
compared AS (
    SELECT d.* EXCLUDE (counter_mj), d.counts AND NOT mixed AS comparable, if(comparable, counter_mj, NULL) AS counter_mj,
           coalesce(held.whole, false) AS whole, coalesce(held.overlap, false) AS overlap,
           -- a counter that nothing in the facts stands for is missing from them, unless it is a whole within a whole
           if(facts_mj IS NULL AND comparable AND r.node IS NULL, 0, facts_mj) AS facts_mj
    FROM devices d
    LEFT JOIN held USING (node, device, simulated)
    LEFT JOIN leaves r ON r.node = d.node AND r.simulated = d.simulated AND r.device = d.device || '.rest'
),
differing AS (SELECT node, device, simulated, whole FROM compared WHERE facts_mj <> counter_mj),
readings AS (
    SELECT node, device, simulated, epoch, ts_ms, max(energy_mj) AS energy_mj
    FROM raw_readings SEMI JOIN differing USING (node, device, simulated) GROUP BY ALL
),
beside AS (
    SELECT *, lag(energy_mj) OVER series AS before_mj, lead(energy_mj) OVER series AS after_mj
    FROM readings WINDOW series AS (PARTITION BY node, device, simulated, epoch ORDER BY ts_ms)
),
steps AS (
    SELECT node, device, simulated, lag(ts_ms) OVER series AS from_ms, ts_ms - from_ms AS length_ms, energy_mj - lag(energy_mj) OVER series AS step_mj
    FROM beside
    -- an outlier is left out
    WHERE NOT coalesce(before_mj <= after_mj AND NOT energy_mj BETWEEN before_mj AND after_mj, false)
    WINDOW series AS (PARTITION BY node, device, simulated, epoch ORDER BY ts_ms)
),
judged AS (
    SELECT s.*, step_mj < 0 AS fell, step_mj >= 0 AND length_ms > longest_gap_ms() AS too_long,
           -- over 1.5 times what the inventory says that it can draw
           coalesce(CAST(step_mj AS HUGEINT) * 2000 > CAST(max_power_mw AS HUGEINT) * 3 * length_ms, false) AS implausible
    FROM steps s LEFT JOIN accounted_devices a ON a.node = s.node AND a.device = s.device AND from_ms >= a.start_ms AND from_ms < a.end_ms
    WHERE step_mj IS NOT NULL
),
kept AS (
    -- what accounting by its rules keeps of each counter that differs
    SELECT node, device, simulated, CAST(coalesce(sum(step_mj) FILTER (NOT fell AND NOT implausible AND NOT too_long), 0) AS BIGINT) AS kept_mj,
           bool_or(fell) AS fell, bool_or(implausible AND NOT too_long) AS implausible, bool_or(too_long) AS too_long
    FROM judged GROUP BY ALL
),
periods AS (
    -- of each period in which a whole that differs, or a part of it, was read
    SELECT w.node, w.device, w.simulated, f.start_ms, sum(f.energy_mj) AS energy_mj,
           coalesce(max(f.coverage) FILTER (f.device IN (w.device, w.device || '.rest')), -1) AS whole_coverage,
           max(f.coverage) FILTER (f.device NOT IN (w.device, w.device || '.rest')) AS part_coverage, sum(abs(f.imputed_mj)) > 0 AS imputed
    FROM fact_energy f JOIN differing w ON f.node = w.node AND f.simulated = w.simulated AND w.whole
    GROUP BY ALL
),
alone AS (
    -- no more energy than this can have come from parts that were read while the whole was not
    SELECT node, device, simulated, sum(energy_mj) AS most_mj
    FROM periods WHERE part_coverage > whole_coverage OR imputed GROUP BY ALL
),
explained AS (
    SELECT c.*, fell, implausible, too_long, coalesce(kept_mj, if(facts_mj <> counter_mj, NULL, counter_mj)) AS expected_mj, coalesce(most_mj, 0) AS most_mj,
           coalesce(c.batch >= (SELECT min(batch) FROM dirty WHERE cause = 'readings'), false) AS waiting
    FROM compared c LEFT JOIN kept USING (node, device, simulated) LEFT JOIN alone USING (node, device, simulated)
),
noted AS (
    SELECT *,
           CASE WHEN NOT counts THEN 'gives power only: integrated in accounting'
                WHEN mixed THEN 'simulated in part: not compared'
                WHEN facts_mj IS NULL THEN 'a whole within a whole: not compared'
                WHEN facts_mj = counter_mj THEN 'equal'
                WHEN facts_mj = expected_mj AND too_long THEN 'nothing is spread over more than 400 days without a reading (see long_gaps)'
                     || if(fell, '; the counter fell within an epoch: it began again', '')
                     || if(implausible, '; readings beyond what the device can draw were left out', '')
                WHEN facts_mj = expected_mj AND fell AND implausible THEN 'the counter began again within an epoch, and readings beyond what it can draw were left out'
                WHEN facts_mj = expected_mj AND fell THEN 'the counter fell within an epoch: it began again'
                WHEN facts_mj = expected_mj AND implausible THEN 'readings beyond what the device can draw were left out'
                WHEN waiting THEN 'readings are not accounted yet'
                WHEN overlap AND facts_mj < expected_mj THEN 'several series of the device overlap: each instant counts once'
                WHEN whole AND facts_mj > expected_mj AND facts_mj - expected_mj <= most_mj THEN 'parts were read while the whole was not'
           END AS reason
    FROM explained
)
SELECT node,
       device,
       simulated,
       epochs,
       utc(first_ms) AS first_utc,
       utc(last_ms) AS last_utc,
       counter_mj,
       facts_mj,
       facts_mj - counter_mj AS difference_mj,
       if(reason IS NULL, facts_mj - counter_mj, if(comparable AND facts_mj IS NOT NULL, 0, NULL)) AS unexplained_mj,
       (whole OR NOT EXISTS (SELECT 1 FROM wholes w WHERE w.node = noted.node AND w.simulated = noted.simulated)) AND facts_mj IS NOT NULL AS outermost,
       coalesce(reason, 'unexplained: the facts are not what was read') AS note
FROM noted
ORDER BY node, device, simulated
