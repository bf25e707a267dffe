-- What it takes to answer a request and to handle 1000 tokens, per model served.
--
-- Grain: model, simulated.
-- Columns:
--   model: the model served
--   simulated: made by `wattlake simulate`, not measured
--   jobs: its jobs in phase inference that have energy
--   requests: requests answered; NULL where no serving counters came
--   tokens_in: tokens read
--   tokens_out: tokens written
--   tokens_cached: of tokens_in, those from a cache
--   energy_kwh [kWh]: IT energy of its inference jobs; NULL where there are none
--   overhead_kwh [kWh]: the facility's overhead
--   location_kg [kg CO2e]: location-based Scope 2 emissions of the IT energy
--   overhead_location_kg [kg CO2e]: location-based Scope 2 emissions of the overhead
--   upstream_kg [kg CO2e]: fuel chain, plant and losses (Scope 3.3)
--   embodied_kg [kg CO2e]: embodied emissions accrued
--   energy_wh_per_request [Wh]: IT energy per request
--   location_g_per_request [g CO2e]: location-based emissions of IT energy and overhead per request
--   upstream_g_per_request [g CO2e]: upstream emissions (Scope 3.3) per request
--   embodied_g_per_request [g CO2e]: embodied emissions per request
--   energy_wh_per_1000_tokens [Wh]: IT energy per 1000 tokens, read and written
--   location_g_per_1000_tokens [g CO2e]: location-based emissions of IT energy and overhead per 1000 tokens
--   upstream_g_per_1000_tokens [g CO2e]: upstream emissions (Scope 3.3) per 1000 tokens
--   embodied_g_per_1000_tokens [g CO2e]: embodied emissions per 1000 tokens
--   no_location_kwh [kWh]: energy whose location-based emissions are unknown
-- Caveats:
--   Energy is that of the jobs whose phase is inference and whose model is this one, idle hours of the service included.
--   Requests are all that the serving counters of the model say. Where a service ran without a job, or a job without counters, the ratio is off.
WITH energy AS (
    SELECT d.model, t.simulated, count(DISTINCT t.job) FILTER (energy_mj IS NOT NULL) AS jobs, sum(energy_mj) AS energy_mj, sum(overhead_mj) AS overhead_mj,
           sum(location_ug) AS location_ug, sum(overhead_location_ug) AS overhead_location_ug, sum(upstream_ug) AS upstream_ug,
           sum(embodied_ug) AS embodied_ug, sum(no_location_mj) AS no_location_mj
    FROM footprint_totals t
    JOIN dim_jobs d ON d.job = t.job
    WHERE d.phase = 'inference' AND d.model IS NOT NULL
    GROUP BY ALL
),
served AS (
    SELECT model, simulated, sum(requests) AS requests, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out, sum(tokens_cached) AS tokens_cached
    FROM fact_serving
    GROUP BY ALL
)
SELECT model,
       simulated,
       coalesce(jobs, 0) AS jobs,
       CAST(requests AS BIGINT) AS requests,
       CAST(tokens_in AS BIGINT) AS tokens_in,
       CAST(tokens_out AS BIGINT) AS tokens_out,
       CAST(tokens_cached AS BIGINT) AS tokens_cached,
       kwh(energy_mj) AS energy_kwh,
       kwh(overhead_mj) AS overhead_kwh,
       kg(location_ug) AS location_kg,
       kg(overhead_location_ug) AS overhead_location_kg,
       kg(upstream_ug) AS upstream_kg,
       kg(embodied_ug) AS embodied_kg,
       ratio(kwh(energy_mj) * 1000, requests) AS energy_wh_per_request,
       ratio(kg(location_ug + overhead_location_ug) * 1000, requests) AS location_g_per_request,
       ratio(kg(upstream_ug) * 1000, requests) AS upstream_g_per_request,
       ratio(kg(embodied_ug) * 1000, requests) AS embodied_g_per_request,
       ratio(kwh(energy_mj) * 1e6, tokens_in + tokens_out) AS energy_wh_per_1000_tokens,
       ratio(kg(location_ug + overhead_location_ug) * 1e6, tokens_in + tokens_out) AS location_g_per_1000_tokens,
       ratio(kg(upstream_ug) * 1e6, tokens_in + tokens_out) AS upstream_g_per_1000_tokens,
       ratio(kg(embodied_ug) * 1e6, tokens_in + tokens_out) AS embodied_g_per_1000_tokens,
       kwh(no_location_mj) AS no_location_kwh
FROM energy
FULL JOIN served USING (model, simulated)
ORDER BY model, simulated
