-- From when to when each machine's data runs: what a coverage is measured against.
--
-- Grain: node, simulated.
-- Columns:
--   node: the machine
--   simulated: made by `wattlake simulate`, not measured
--   first_ms [ms]: its first reading
--   last_ms [ms]: its last reading
--   end_ms [ms]: the end of the data: the lake's data watermark, or the latest reading of any machine where the lake holds simulated data beside measured
-- Caveats:
--   Of the whole lake, whatever days are asked for.
WITH latest AS (SELECT node, simulated, min(ts_ms) AS first_ms, max(ts_ms) AS last_ms FROM reading_bounds GROUP BY ALL),
kinds AS (SELECT simulated, max(last_ms) AS end_ms, count(*) OVER () AS kinds FROM latest GROUP BY simulated)
SELECT node,
       simulated,
       first_ms,
       last_ms,
       if(kinds > 1, end_ms, greatest(end_ms, (SELECT max(watermark_ms) FROM commits))) AS end_ms
FROM latest
JOIN kinds USING (simulated)
ORDER BY node, simulated
