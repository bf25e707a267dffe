-- Plausible rows for a lake: 72 hours from t0. Everything is a formula of the hour and the device, so it is the same every time.
CREATE TEMP TABLE hours AS SELECT h, getvariable('t0') + h * 3600000 AS start_ms FROM range(72) r(h);
CREATE TEMP TABLE sites AS FROM (VALUES ('dublin', 'IE', 1.2, 0.3), ('oslo', 'NO', 1.1, 0.0)) s(site, zone, pue, wue);
CREATE TEMP TABLE machines AS FROM (VALUES
    ('a1', 'dublin', false, 0, 72), ('b1', 'oslo', false, 0, 72), ('c1', NULL, false, 10, 22), ('s1', 'dublin', true, 24, 48)) m(node, site, simulated, from_h, to_h);
-- leaves; method decides the class
CREATE TEMP TABLE leaves AS FROM (VALUES
    ('a1', 'gpu0', 'gpu', 'component', 'measured', 420, 1), ('a1', 'gpu1', 'gpu', 'component', 'measured', 390, 2),
    ('a1', 'cpu-package-0', 'cpu', 'component', 'measured', 140, 3), ('a1', 'wall.rest', 'rest', 'node_ac', 'integrated', 180, 4),
    ('b1', 'gpu0', 'gpu', 'component', 'measured', 350, 5), ('b1', 'wall.rest', 'rest', 'node_ac', 'integrated', 120, 6),
    ('c1', 'cpu-package-0', 'cpu', 'component', 'estimated', 90, 7), ('s1', 'gpu0', 'gpu', 'component', 'measured', 500, 8))
    l(node, device, device_kind, boundary, class, base_w, id);
CREATE TEMP TABLE schedule AS FROM (VALUES
    ('a1', NULL, 'prep-1', 0, 6, 1000000), ('a1', 'gpu0', 'sweep-1', 6, 14, 1000000), ('a1', NULL, 'train-1', 16, 52, 1000000),
    ('a1', 'gpu1', 'eval-1', 54, 58, 1000000), ('a1', 'gpu0', 'tune-1', 54, 66, 500000), ('a1', 'gpu0', 'half-1', 54, 66, 250000),
    ('b1', 'gpu0', 'serve-1', 4, 72, 1000000), ('s1', 'gpu0', 'sim-train', 26, 46, 1000000),
    -- there is no such device
    ('a1', 'gpu9', 'lost-1', 54, 58, 1000000)) j(node, device, job, from_h, to_h, share_ppm);

INSERT INTO lake.ref_sites (site, zone, pue, wue_l_per_kwh, country, valid_from_ms, known_from_ms, source, estimated, writer, boot, seq, version)
SELECT site, zone, pue, wue, zone, getvariable('t0') - 86400000::BIGINT * 60, getvariable('t0') - 86400000::BIGINT * 60,
       if(site = 'oslo', 'Uptime Institute Global Data Center Survey 2024', 'facility report 2025'), site = 'oslo', 'ops', 'b', 1, md5(site) FROM sites;

-- one hour of IE is missing: no grid figure
INSERT INTO lake.ref_grid (zone, start_ms, end_ms, direct_g_per_kwh, marginal_g_per_kwh, lifecycle_g_per_kwh, td_loss_fraction, water_l_per_kwh,
                           flow_basis, known_from_ms, source, estimated, writer, boot, seq, version)
SELECT zone, start_ms, start_ms + 3600000, direct, direct * 1.6, direct * 1.15, 0.07, 1.5, 'consumption', start_ms + 7200000,
       if(zone = 'NO', 'a yearly average', 'a grid operator, hourly'), zone = 'NO', 'ops', 'b', h, md5(zone || start_ms)
FROM (SELECT 'IE' AS zone, h, start_ms, 230 + 90 * sin(h * pi() / 12) + (h * 37) % 40 AS direct FROM hours WHERE h <> 30
      UNION ALL SELECT 'NO', h, start_ms, 28 + h % 5 FROM hours);

CREATE TEMP TABLE device_hours AS
SELECT l.*, m.site, s.zone, m.simulated, h.h, h.start_ms,
       CAST((base_w + (h * 53 + id * 17) % 90) * 3600000 + (h * 7919 + id * 104729) % 997 AS BIGINT)
         * if(EXISTS (SELECT 1 FROM schedule j WHERE j.node = l.node AND coalesce(j.device, l.device) = l.device AND h.h >= j.from_h AND h.h < j.to_h), 10, 3) // 10 AS total_mj,
       -- two hours of a long gap
       l.node = 'b1' AND h.h IN (40, 41) AS gap
FROM leaves l JOIN machines m USING (node) LEFT JOIN sites s USING (site) JOIN hours h ON h.h >= m.from_h AND h.h < m.to_h;

CREATE TEMP TABLE lines AS
WITH held AS (
    SELECT d.*, j.job, total_mj * j.share_ppm // 1000000 AS energy_mj
    FROM device_hours d JOIN schedule j ON j.node = d.node AND coalesce(j.device, d.device) = d.device AND d.h >= j.from_h AND d.h < j.to_h
)
SELECT * REPLACE (energy_mj AS energy_mj), 'job_active' AS line FROM held
UNION ALL BY NAME
SELECT d.*, NULL AS job, d.total_mj - coalesce(x.held_mj, 0) AS energy_mj, 'unattributed' AS line
FROM device_hours d LEFT JOIN (SELECT node, device, h, sum(energy_mj)::BIGINT AS held_mj FROM held GROUP BY ALL) x USING (node, device, h)
WHERE d.total_mj > coalesce(x.held_mj, 0);

INSERT INTO lake.fact_energy BY NAME
SELECT start_ms, start_ms + 3600000 AS end_ms, site, zone, node, device, device_kind, line, job, boundary, simulated, energy_mj,
       -- a rest is wall (integrated) less parts (measured), class by class
       CASE WHEN device_kind = 'rest' THEN -energy_mj WHEN class = 'measured' AND NOT gap THEN energy_mj ELSE 0 END AS measured_mj,
       CASE WHEN gap THEN 0 WHEN device_kind = 'rest' THEN 2 * energy_mj ELSE 0 END AS integrated_mj,
       if(class = 'estimated' AND NOT gap, energy_mj, 0) AS estimated_mj,
       CASE WHEN NOT gap THEN 0 WHEN device_kind = 'rest' THEN 2 * energy_mj ELSE energy_mj END AS imputed_mj,
       if(gap, 0.25, 1.0) AS coverage, if(node = 'c1', 'conflict,outlier', NULL) AS flags
FROM lines;

INSERT INTO lake.fact_emissions BY NAME
WITH known AS (
    SELECT f.*, s.pue, s.wue, g.direct_g_per_kwh AS d, g.lifecycle_g_per_kwh AS lc, g.td_loss_fraction AS l, g.marginal_g_per_kwh AS mg,
           g.water_l_per_kwh AS gw, g.version AS grid_version, md5(s.site) AS site_version, coalesce(g.estimated, false) OR coalesce(s.site = 'oslo', false) AS estimated
    FROM lake.fact_energy f LEFT JOIN sites s ON s.site = f.site LEFT JOIN lake.ref_grid g ON g.zone = f.zone AND g.start_ms = f.start_ms
), overhead AS (SELECT *, CAST(round_even(energy_mj * (pue - 1), 0) AS BIGINT) AS overhead_mj FROM known)
SELECT * EXCLUDE (measured_mj, integrated_mj, estimated_mj, imputed_mj, coverage, flags, pue, wue, d, lc, l, mg, gw),
       CAST(round_even(energy_mj * d / 3600, 0) AS BIGINT) AS location_ug, CAST(round_even(overhead_mj * d / 3600, 0) AS BIGINT) AS overhead_location_ug,
       CAST(round_even((energy_mj + overhead_mj) * ((lc - d) + lc * l / (1 - l)) / 3600, 0) AS BIGINT) AS upstream_ug,
       CAST(round_even((energy_mj + overhead_mj) * mg / 3600, 0) AS BIGINT) AS marginal_screening_ug,
       CAST(round_even(energy_mj * wue / 3600, 0) AS BIGINT) AS water_site_ul, CAST(round_even((energy_mj + overhead_mj) * gw / 3600, 0) AS BIGINT) AS water_grid_ul,
       if(mg IS NULL, NULL, grid_version) AS marginal_version,
       CASE WHEN site IS NULL THEN 'unknown site' WHEN d IS NULL THEN 'no grid figure' ELSE 'hourly' END AS basis
FROM overhead;

INSERT INTO lake.ref_embodied (sku, embodied_ug, life_years, boundary, valid_from_ms, known_from_ms, source, estimated, writer, boot, seq, version)
FROM (VALUES ('host-1u', 900000000000, 5.0, 'cradle-to-gate', getvariable('t0') - 86400000::BIGINT * 900, getvariable('t0'), 'maker''s product carbon footprint', false, 'ops', 'b', 1, md5('host')),
             ('gpu-x', 150000000000, 5.0, 'cradle-to-gate', getvariable('t0') - 86400000::BIGINT * 900, getvariable('t0'), 'an estimate by die area', true, 'ops', 'b', 2, md5('gpu')));

-- embodied: per day and item, split by the hours reserved; c1 has no factor
INSERT INTO lake.fact_embodied BY NAME
WITH items AS (FROM (VALUES ('a1', NULL, 493150685, 'host'), ('a1', 'gpu0', 82191781, 'gpu'), ('a1', 'gpu1', 82191781, 'gpu'),
                            ('b1', NULL, 493150685, 'host'), ('b1', 'gpu0', 82191781, 'gpu'), ('s1', NULL, 493150685, 'host')) i(node, device, day_ug, sku)),
days AS (SELECT d, getvariable('t0') + d * 86400000::BIGINT AS start_ms FROM range(3) r(d)),
reserved AS (
    SELECT i.node, i.device, i.day_ug, i.sku, d.start_ms, j.job,
           (least(j.to_h, (d.d + 1) * 24) - greatest(j.from_h, d.d * 24)) * 3600000 * j.share_ppm // 1000000 AS reserved_ms
    FROM items i CROSS JOIN days d JOIN schedule j ON j.node = i.node AND (j.device IS NULL OR j.device = i.device)
         AND j.from_h < (d.d + 1) * 24 AND j.to_h > d.d * 24
),
lines AS (
    SELECT node, device, start_ms, job, 'job_active' AS line, reserved_ms, day_ug * reserved_ms // 86400000::BIGINT AS embodied_ug, sku FROM reserved
    UNION ALL
    SELECT i.node, i.device, d.start_ms, NULL, 'unattributed', 86400000::BIGINT - coalesce(sum(r.reserved_ms), 0)::BIGINT,
           (i.day_ug - coalesce(sum(i.day_ug * r.reserved_ms // 86400000::BIGINT), 0))::BIGINT, i.sku
    FROM items i CROSS JOIN days d LEFT JOIN reserved r ON r.node = i.node AND r.device IS NOT DISTINCT FROM i.device AND r.start_ms = d.start_ms
    GROUP BY i.node, i.device, d.start_ms, i.day_ug, i.sku
)
SELECT start_ms, start_ms + 86400000::BIGINT AS end_ms, node, device, line, job, embodied_ug, reserved_ms, md5(sku) AS version, sku = 'gpu' AS estimated,
       node = 's1' AS simulated, 'inventory' AS basis FROM lines
UNION ALL
SELECT start_ms, start_ms + 86400000::BIGINT, 'c1', NULL, 'unattributed', NULL, NULL, 86400000::BIGINT, NULL, false, false, 'no factor for the sku' FROM days;

INSERT INTO lake.fact_transfers BY NAME
FROM (VALUES
    ('t-1', getvariable('t0') + 3600000, 'prep-1', 'llama-mini', 'web-2025', 'wan', 'oslo', 'dublin', 2500000000000, 67500000000, 16875000000, 540000000000, 4100000000, NULL, 'Aslan et al. 2018, 0.0075 kWh/GB (2021)', false, 'both ends'),
    ('t-2', getvariable('t0') + 7200000, 'train-1', 'llama-mini', 'web-2025', 'lan', 'dublin', 'dublin', 900000000000, NULL, NULL, NULL, NULL, NULL, NULL, false, 'no factor for the medium'))
    t(id, ts_ms, job, model, dataset, medium, from_site, to_site, bytes, energy_mj, low_mj, high_mj, location_ug, embodied_ug, factor, simulated, basis);

INSERT INTO lake.fact_serving BY NAME
SELECT start_ms, start_ms + 3600000 AS end_ms, 'llama-mini-chat' AS model, 'serve-1' AS job, 'b1' AS node, 'oslo' AS site,
       1800 + (h * 131) % 900 AS requests, (1800 + (h * 131) % 900) * 420 AS tokens_in, (1800 + (h * 131) % 900) * 180 AS tokens_out, false AS simulated
FROM hours WHERE h >= 4;

INSERT INTO lake.dim_jobs BY NAME
SELECT job, getvariable('t0') + from_h * 3600000 AS start_ms, getvariable('t0') + to_h * 3600000 AS end_ms, job = 'serve-1' AS open, 1 AS nodes,
       "user", team, project, model, base_model, phase, status, job = 'sim-train' AS simulated
FROM schedule JOIN (VALUES
    ('prep-1', 'ada', 'nlp', 'assistant', 'llama-mini', NULL, 'data', 'ok'), ('sweep-1', 'ada', 'nlp', 'assistant', 'llama-mini', NULL, 'experiment', 'failed'),
    ('train-1', 'ada', 'nlp', 'assistant', 'llama-mini', NULL, 'train', 'ok'), ('eval-1', 'bob', 'nlp', 'assistant', 'llama-mini-chat', 'llama-mini', 'evaluate', 'ok'),
    ('tune-1', 'bob', 'nlp', 'assistant', 'llama-mini-chat', 'llama-mini', 'finetune', 'cancelled'), ('serve-1', 'ops', 'platform', 'assistant', 'llama-mini-chat', 'llama-mini', 'inference', NULL),
    ('lost-1', 'bob', 'nlp', 'assistant', 'llama-mini-chat', 'llama-mini', 'evaluate', 'ok'),
    ('half-1', NULL, NULL, NULL, NULL, NULL, NULL, 'ok'), ('sim-train', NULL, 'research', NULL, 'what-if-xl', NULL, 'train', 'ok'))
    j(job, "user", team, project, model, base_model, phase, status) USING (job);
INSERT INTO lake.accounted_jobs BY NAME
SELECT job, node, device, getvariable('t0') + from_h * 3600000 AS start_ms, getvariable('t0') + to_h * 3600000 AS end_ms, share_ppm, job = 'serve-1' AS open FROM schedule;
INSERT INTO lake.accounted_places BY NAME
SELECT node, site, zone, getvariable('t0') - 86400000::BIGINT * 400 AS start_ms, 4611686018427387904 AS end_ms, md5(site) AS version FROM machines LEFT JOIN sites USING (site);
INSERT INTO lake.dim_nodes BY NAME
SELECT node, site, if(node = 'c1', 'unknown-box', 'host-1u') AS sku, 'owned' AS ownership, getvariable('t0') - 86400000::BIGINT * 400 AS acquired_on_ms, simulated FROM machines;
INSERT INTO lake.dim_devices BY NAME
SELECT l.node, l.device, l.device_kind, if(l.device_kind = 'gpu', 'gpu-x', NULL) AS device_sku, m.simulated FROM leaves l JOIN machines m USING (node) WHERE l.device_kind <> 'rest';
INSERT INTO lake.dim_models BY NAME
FROM (VALUES ('llama-mini', NULL, 1200000000, 3), ('llama-mini-chat', 'llama-mini', 1200000000, 3), ('what-if-xl', NULL, NULL, 1)) m(model, base_model, params, jobs);

-- counters: those of the leaves, and the wall that holds all the leaves of its node
INSERT INTO lake.reading_bounds BY NAME
WITH counters AS (
    SELECT node, device, device_kind, class, boundary, simulated, h, start_ms, total_mj FROM device_hours WHERE device_kind <> 'rest'
    UNION ALL
    SELECT node, 'wall', 'node', 'integrated', 'node_ac', simulated, h, start_ms, sum(total_mj)::BIGINT FROM device_hours WHERE node IN ('a1', 'b1') GROUP BY ALL
),
summed AS (SELECT *, 1000 + sum(total_mj) OVER (PARTITION BY node, device ORDER BY h)::BIGINT AS after_mj FROM counters)
SELECT node, device, device_kind, 'e1' AS epoch, start_ms AS ts_ms, after_mj - total_mj AS energy_mj, boundary, simulated, start_ms AS hour_ms, 1 AS batch FROM summed
UNION ALL
SELECT node, device, device_kind, 'e1', start_ms + 3600000, after_mj, boundary, simulated, start_ms + 3600000, 1 FROM summed
QUALIFY h = max(h) OVER (PARTITION BY node, device);

-- what the bounds were taken from: here every reading is one
INSERT INTO lake.raw_readings BY NAME
SELECT node, device, device_kind, epoch, ts_ms, energy_mj, 'counter' AS method, boundary, simulated, 'boot-1' AS boot, row_number() OVER (PARTITION BY node ORDER BY ts_ms, device) AS seq
FROM lake.reading_bounds;
INSERT INTO lake.rejects BY NAME
FROM (VALUES ('readings', 'a1/x/5/3', 'energy_mj: -5 is below 0', '{"energy_mj":-5}'), ('readings', 'a1/x/6/1', 'energy_mj: -5 is below 0', '{}'),
             ('jobs', 'jobs.csv line 3', 'the end must be after the start', 'x,<script>alert(1)</script>')) r(kind, place, reason, body);
INSERT INTO lake.commits BY NAME
SELECT 1 AS batch, 'account' AS stage, 'x' AS attempt, 100 AS rows, 3 AS rejects, getvariable('t0') + 72 * 3600000 AS watermark_ms, getvariable('t0') + 73 * 3600000 AS committed_ms;
