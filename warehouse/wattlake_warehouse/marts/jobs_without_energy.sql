-- Where nothing was read while a job ran: its energy there is unknown, not zero. Often a mistyped device, or a machine without an agent.
--
-- Grain: job, node, item, start_utc, simulated.
-- Columns:
--   job: the job
--   node: the machine that it names
--   item: the device that it names, or (machine) where it held the whole machine
--   start_utc [UTC]: when it began there
--   simulated: made by `wattlake simulate`, not measured
--   end_utc [UTC]: when it ended; for an open one, its last renewal and the lease
--   duration_h [h]: how long it held it
--   model: its model; NULL where it names none
--   phase: its place in the life cycle; NULL where it names none
--   team: who answers for it; NULL where it names none
--   note: why: no reading of the machine, no reading of the device, no reading in its time, or no time at all
-- Caveats:
--   A part that was read for some of its time is not here: `coverage` says how much of it was read.
--   Judged by the rows of the facts, which are at most an hour long: of two runs of one job in the same hour on one device, one that was read hides the other.
WITH records AS (
    SELECT a.job, a.node, a.device, a.start_ms, max(a.end_ms) AS end_ms
    FROM accounted_jobs a WHERE a.share_ppm > 0 GROUP BY ALL
),
held AS (SELECT DISTINCT job, node, device, start_ms, end_ms FROM fact_energy WHERE job IS NOT NULL),
found AS (
    SELECT job, node, device, start_ms, end_ms FROM records
    EXCEPT
    SELECT r.job, r.node, r.device, r.start_ms, r.end_ms
    FROM records r JOIN held h ON h.job = r.job AND h.node = r.node AND h.start_ms < r.end_ms AND h.end_ms > r.start_ms
    WHERE r.device IS NULL OR h.device = r.device OR h.device = r.device || '.rest'
),
devices AS (SELECT DISTINCT node, device FROM reading_bounds)
SELECT f.job,
       f.node,
       coalesce(f.device, '(machine)') AS item,
       utc(f.start_ms) AS start_utc,
       coalesce(j.simulated, false) AS simulated,
       utc(f.end_ms) AS end_utc,
       hours(f.end_ms - f.start_ms) AS duration_h,
       j.model,
       j.phase,
       j.team,
       CASE WHEN f.end_ms <= f.start_ms THEN 'no time at all: it ends when it begins'
            WHEN f.node NOT IN (SELECT node FROM devices) THEN 'no reading of the machine'
            WHEN f.device IS NOT NULL AND (f.node, f.device) NOT IN (FROM devices) THEN 'no reading of the device'
            ELSE 'no reading in its time' END AS note
FROM found f
LEFT JOIN dim_jobs j ON j.job = f.job
ORDER BY start_utc, job, node, item, simulated
