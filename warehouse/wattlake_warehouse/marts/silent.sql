-- Machines and devices of the inventory without a reading in the last hour of the data: alive but silent, or gone and not retired.
--
-- Grain: node, item, simulated.
-- Columns:
--   node: the machine
--   item: the device, or (machine) where no device of the machine is read
--   simulated: made by `wattlake simulate`, not measured
--   site: where it stands
--   last_utc [UTC]: its last reading; NULL if it never had one
--   until_utc [UTC]: the end of the data, as in `spans`
--   silent_h [h]: from its last reading, or from when the inventory names it, to the end of the data; NULL where nobody said since when
--   note: fell silent, or never read
-- Caveats:
--   What the inventory does not name is not looked for. What has left it (retired_on, valid_to) is not missed.
--   Its energy is not in the lake, unless a meter above it was read. A device that is never read may have no sensor.
WITH latest AS (SELECT node, device, simulated, max(ts_ms) AS last_ms FROM reading_bounds GROUP BY ALL),
ends AS (
    SELECT simulated, coalesce(max(end_ms), (SELECT max(watermark_ms) FROM commits)) AS end_ms
    FROM (SELECT DISTINCT simulated FROM dim_nodes) LEFT JOIN spans USING (simulated) GROUP BY simulated
),
machines AS (
    SELECT n.node, '(machine)' AS item, n.simulated, n.site, n.valid_from_ms AS from_ms, e.end_ms,
           s.last_ms
    FROM dim_nodes n JOIN ends e USING (simulated) LEFT JOIN spans s USING (node, simulated)
    WHERE coalesce(n.retired_on_ms > e.end_ms, true)
      AND (NOT EXISTS (SELECT 1 FROM accounted_places p WHERE p.node = n.node)
           OR EXISTS (SELECT 1 FROM accounted_places p WHERE p.node = n.node AND p.start_ms <= e.end_ms AND p.end_ms > e.end_ms))
),
silent_machines AS (
    -- facts go by hours, and what a machine tells may take a while to get here
    SELECT * FROM machines WHERE end_ms - coalesce(last_ms, from_ms, 0) > 3600000
),
parts AS (
    SELECT d.node, d.device AS item, d.simulated, m.site,
           (SELECT min(start_ms) FROM accounted_devices a WHERE a.node = d.node AND a.device = d.device AND a.start_ms > -4611686018427387904) AS from_ms,
           m.end_ms, l.last_ms
    FROM dim_devices d JOIN machines m USING (node, simulated) LEFT JOIN latest l ON l.node = d.node AND l.device = d.device AND l.simulated = d.simulated
    WHERE NOT EXISTS (SELECT 1 FROM silent_machines s WHERE s.node = d.node AND s.simulated = d.simulated)
      AND NOT EXISTS (SELECT 1 FROM accounted_items i WHERE i.node = d.node AND i.device = d.device AND i.retired_on_ms <= m.end_ms)
      AND (NOT EXISTS (SELECT 1 FROM accounted_devices a WHERE a.node = d.node AND a.device = d.device)
           OR EXISTS (SELECT 1 FROM accounted_devices a WHERE a.node = d.node AND a.device = d.device AND a.start_ms <= m.end_ms AND a.end_ms > m.end_ms))
),
found AS (
    FROM silent_machines
    UNION ALL BY NAME
    SELECT * FROM parts WHERE end_ms - coalesce(last_ms, from_ms, 0) > 3600000
)
SELECT node,
       item,
       simulated,
       site,
       utc(last_ms) AS last_utc,
       utc(end_ms) AS until_utc,
       hours(end_ms - coalesce(last_ms, from_ms)) AS silent_h,
       if(last_ms IS NULL, 'never read', 'fell silent') AS note
FROM found
ORDER BY last_ms IS NULL, item <> '(machine)', silent_h DESC, node, item, simulated
