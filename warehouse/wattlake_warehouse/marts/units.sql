-- Conversions of the stored integers, used in the last step of a mart only: sums are over integers.
CREATE TEMP MACRO kwh(mj) AS mj / 3.6e9;             -- 1 kWh = 3.6e6 J = 3.6e9 mJ
CREATE TEMP MACRO kg(ug) AS ug / 1e9;                -- 1 kg = 1e9 µg
CREATE TEMP MACRO litres(ul) AS ul / 1e6;            -- 1 L = 1e6 µL
CREATE TEMP MACRO hours(ms) AS ms / 3.6e6;           -- 1 h = 3.6e6 ms
CREATE TEMP MACRO ratio(part, whole) AS part / nullif(whole, 0);
CREATE TEMP MACRO utc(ms) AS epoch_ms(ms);           -- a TIMESTAMP without a zone, in UTC
CREATE TEMP MACRO utc_day(ms) AS CAST(epoch_ms(ms) AS DATE);
