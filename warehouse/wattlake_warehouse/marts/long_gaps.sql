-- Silences of a counter or a power that are too long to spread anything over: what was used meanwhile is in no period.
--
-- Grain: node, device, epoch, simulated, from_utc.
-- Columns:
--   node: the machine
--   device: the device that was not read
--   epoch: the life of its counter; '' of powers, which are one series
--   simulated: made by `wattlake simulate`, not measured
--   from_utc [UTC]: the last reading before
--   to_utc [UTC]: the first reading after
--   gap_d [d]: how long it was silent: more than 400 days
--   energy_mj [mJ]: what the counter counted meanwhile and no fact holds; NULL of powers, of which nobody knows
-- Caveats:
--   Made from the outermost readings of each hour (reading_bounds); a counter that is lower afterwards began again, and is not listed.
--   A clock that was years off, as after an empty battery, looks like this too: then the reading of the wrong time is what is amiss.
WITH series AS (
    SELECT node, device, if(power_mw IS NULL, epoch, '') AS epoch, power_mw IS NOT NULL AS power, ts_ms, energy_mj, simulated FROM reading_bounds
),
-- which series fell silent for long, told by the ends of stretches of 50 days: only those are looked at in full
stretches AS (
    SELECT node, device, epoch, power, min(ts_ms) AS low_ms, max(ts_ms) AS high_ms FROM series GROUP BY node, device, epoch, power, ts_ms // 4320000000
),
silent AS (
    SELECT DISTINCT node, device, epoch, power
    FROM (FROM stretches QUALIFY low_ms - lag(high_ms) OVER (PARTITION BY node, device, epoch, power ORDER BY low_ms) > 8640000000)
),
readings AS (
    SELECT node, device, epoch, power, ts_ms, max(energy_mj) AS energy_mj, bool_or(simulated) AS simulated
    FROM series SEMI JOIN silent USING (node, device, epoch, power) GROUP BY ALL
),
beside AS (
    SELECT *, lag(energy_mj) OVER by_time AS before_mj, lead(energy_mj) OVER by_time AS after_mj
    FROM readings WINDOW by_time AS (PARTITION BY node, device, epoch, power ORDER BY ts_ms)
),
steps AS (
    SELECT *, lag(ts_ms) OVER by_time AS from_ms, energy_mj - lag(energy_mj) OVER by_time AS step_mj
    FROM beside
    -- an outlier is left out
    WHERE NOT coalesce(before_mj <= after_mj AND NOT energy_mj BETWEEN before_mj AND after_mj, false)
    WINDOW by_time AS (PARTITION BY node, device, epoch, power ORDER BY ts_ms)
)
SELECT node,
       device,
       epoch,
       simulated,
       utc(from_ms) AS from_utc,
       utc(ts_ms) AS to_utc,
       (ts_ms - from_ms) / 8.64e7 AS gap_d,
       step_mj AS energy_mj
FROM steps
WHERE ts_ms - from_ms > longest_gap_ms() AND coalesce(step_mj >= 0, true)
ORDER BY node, device, epoch, from_ms
