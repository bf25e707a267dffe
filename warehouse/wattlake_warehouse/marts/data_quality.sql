-- What to know before a figure is quoted: rejected rows, silent machines, unknown factors, estimates and flags.
--
-- Grain: topic, subject, simulated.
-- Columns:
--   topic: rejects, silent, long gap, jobs without energy, basis, class, flag, estimated factor or embodied basis
--   subject: the kind and reason of the rejects, what is silent in what way, what was not spread over a long gap, why nothing was read in jobs, the basis of the emissions, the class or the flag of the energy
--   simulated: made by `wattlake simulate`, not measured; NULL for rejects, which nobody could read
--   rows: rows concerned; of what is silent, machines or devices; of long gaps, gaps; of jobs without energy, jobs
--   energy_kwh [kWh]: energy concerned; NULL where that makes no sense
--   energy_share: of all energy of the same `simulated`
--   emissions_known: whether these rows have location-based (or embodied) emissions
-- Caveats:
--   Topics overlap: each looks at all rows from one side. Within `class` and within `basis` they add up to all energy.
--   What a machine draws beyond its parts (`rest`) counts as the class of the machine's own reading; in fact_energy its classes are differences.
WITH whole AS (SELECT simulated, sum(energy_mj) AS whole_mj FROM fact_energy GROUP BY simulated),
found AS (
    SELECT 'rejects' AS topic, coalesce(kind, 'unreadable') || ': ' || reason AS subject, CAST(NULL AS BOOLEAN) AS simulated,
           count(*) AS rows, CAST(NULL AS HUGEINT) AS energy_mj, CAST(NULL AS BOOLEAN) AS emissions_known
    FROM rejects GROUP BY ALL
    UNION ALL
    SELECT 'silent', if(item = '(machine)', 'machine', 'device') || ' ' || note, simulated, count(*), NULL, NULL
    FROM silent GROUP BY ALL
    UNION ALL
    SELECT 'long gap', 'energy of more than 400 days without a reading, in no period', simulated, count(*), sum(energy_mj), NULL
    FROM long_gaps GROUP BY simulated
    UNION ALL
    SELECT 'jobs without energy', note, simulated, count(DISTINCT job), NULL, NULL
    FROM jobs_without_energy GROUP BY note, simulated
    UNION ALL
    SELECT 'basis', basis, simulated, count(*), sum(energy_mj), bool_and(location_ug IS NOT NULL)
    FROM fact_emissions GROUP BY basis, simulated
    UNION ALL
    SELECT 'estimated factor', 'grid, PUE or marginal figure is an estimate or a default', simulated, count(*), sum(energy_mj), NULL
    FROM fact_emissions WHERE estimated GROUP BY simulated
    UNION ALL
    SELECT 'class', class.name, simulated, count(*), sum(class.mj), NULL
    FROM (SELECT simulated, unnest(if(device_kind = 'rest',
                 [{'name': class_of_rest(measured_mj, integrated_mj, estimated_mj, imputed_mj), 'mj': energy_mj}],
                 [{'name': 'measured', 'mj': measured_mj}, {'name': 'integrated', 'mj': integrated_mj},
                  {'name': 'estimated', 'mj': estimated_mj}, {'name': 'imputed', 'mj': imputed_mj}])) AS class
          FROM fact_energy)
    WHERE class.mj <> 0 GROUP BY class.name, simulated
    UNION ALL
    SELECT 'flag', flag, simulated, count(*), sum(energy_mj), NULL
    FROM (SELECT simulated, energy_mj, unnest(string_split(flags, ',')) AS flag FROM fact_energy WHERE coalesce(flags, '') <> '')
    GROUP BY flag, simulated
    UNION ALL
    SELECT 'embodied basis', basis, simulated, count(*), NULL, bool_and(embodied_ug IS NOT NULL)
    FROM fact_embodied GROUP BY basis, simulated
)
SELECT topic,
       subject,
       simulated,
       rows,
       kwh(energy_mj) AS energy_kwh,
       ratio(energy_mj, whole_mj) AS energy_share,
       emissions_known
FROM found
LEFT JOIN whole USING (simulated)
-- what is missing comes first
ORDER BY topic NOT IN ('rejects', 'silent', 'long gap', 'jobs without energy'), topic, rows DESC, subject, simulated
