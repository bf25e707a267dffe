-- Conversions of the stored integers, used in the last step of a mart only: sums are over integers.
CREATE TEMP MACRO kwh(mj) AS mj / 3.6e9;             -- 1 kWh = 3.6e6 J = 3.6e9 mJ
CREATE TEMP MACRO kg(ug) AS ug / 1e9;                -- 1 kg = 1e9 µg
CREATE TEMP MACRO litres(ul) AS ul / 1e6;            -- 1 L = 1e6 µL
CREATE TEMP MACRO hours(ms) AS ms / 3.6e6;           -- 1 h = 3.6e6 ms
CREATE TEMP MACRO ratio(part, whole) AS part / nullif(whole, 0);
CREATE TEMP MACRO portion(part, whole) AS CASE WHEN whole > 0 THEN if(part > whole, 1, part / whole) END;
CREATE TEMP MACRO utc(ms) AS epoch_ms(ms);           -- a TIMESTAMP without a zone, in UTC
CREATE TEMP MACRO utc_day(ms) AS CAST(epoch_ms(ms) AS DATE);
-- The classes of a `rest` are differences (wall less parts) and may be negative. As a share of energy it counts as one class, that of
-- the whole's own reading, which is the greatest of the four.
CREATE TEMP MACRO class_of_rest(measured, integrated, estimated, imputed) AS
    CASE greatest(measured, integrated, estimated, imputed)
        WHEN measured THEN 'measured' WHEN integrated THEN 'integrated' WHEN estimated THEN 'estimated' ELSE 'imputed' END;
CREATE TEMP MACRO of_class(class, part, kind, energy, measured, integrated, estimated, imputed) AS
    if(kind = 'rest', if(class_of_rest(measured, integrated, estimated, imputed) = class, energy, 0), part);
-- What of a period lies between a machine's first reading and the end of the data; all of it where that is not known.
CREATE TEMP MACRO expected(start_ms, end_ms, first_ms, last_ms) AS greatest(0, least(end_ms, last_ms) - greatest(start_ms, first_ms));
