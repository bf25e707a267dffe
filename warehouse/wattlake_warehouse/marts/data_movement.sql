-- Bytes moved between sites, with an average allocation of the network's energy.
--
-- Grain: medium, from_site, to_site, simulated.
-- Columns:
--   medium: wan, lan, object or cdn
--   from_site: where from
--   to_site: where to
--   simulated: made by `wattlake simulate`, not measured
--   transfers: how many
--   moved_gb [GB]: how much, 1 GB = 1e9 bytes
--   energy_kwh [kWh]: average allocation of the medium's energy; NULL where no factor is known
--   low_kwh [kWh]: low end of its range
--   high_kwh [kWh]: high end of its range
--   location_kg [kg CO2e]: location-based emissions of that energy
--   embodied_kg [kg CO2e]: embodied emissions of the network; NULL: no source is good enough yet
--   no_energy_gb [GB]: moved without a known energy
--   no_location_gb [GB]: moved without known emissions
--   factor: the allocation factors used, with year and source
-- Caveats:
--   An average over all traffic, not what these bytes caused: a network draws nearly the same empty or full.
--   Never added to the energy of the sites: it is other people's electricity.
SELECT medium,
       from_site,
       to_site,
       simulated,
       count(*) AS transfers,
       sum(bytes) / 1e9 AS moved_gb,
       kwh(sum(energy_mj)) AS energy_kwh,
       kwh(sum(low_mj)) AS low_kwh,
       kwh(sum(high_mj)) AS high_kwh,
       kg(sum(location_ug)) AS location_kg,
       kg(sum(embodied_ug)) AS embodied_kg,
       sum(if(energy_mj IS NULL, bytes, 0)) / 1e9 AS no_energy_gb,
       sum(if(location_ug IS NULL, bytes, 0)) / 1e9 AS no_location_gb,
       string_agg(DISTINCT factor, '; ' ORDER BY factor) AS factor
FROM fact_transfers
GROUP BY medium, from_site, to_site, simulated
ORDER BY moved_gb DESC, medium, from_site, to_site, simulated
