-- Flights with the weather at their airport an hour before departure and with their aeroplane, as numbers that a model can read.
-- Everything is known an hour before departure but `late`, the label. A flight that has not departed is no sample.
SELECT
  f.time_hour, f.month, f.carrier, f.origin,
  -- Each sample has a number of its own: month, day, hour, carrier, flight.
  (((f.month * 100 + f.day) * 100 + f.hour) * 100 + (strpos('9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV', f.carrier) + 2) / 3) * 10000 + f.flight AS id,
  CAST(CASE WHEN f.dep_delay > 15 THEN 1 ELSE 0 END AS REAL) AS late,
  CAST(1 AS REAL) AS weight,                              -- 0 in the copies that fill up the last round
  -- Numbers near 0. A null becomes 0, and a number beside it says so. Temperatures would tell the season, and the months to come have another.
  COALESCE((w.humid - 60) / 20, 0) AS humid,              -- per cent
  COALESCE((w.wind_speed - 10) / 6, 0) AS wind_speed,     -- miles an hour
  COALESCE((w.visib - 9) / 2, 0) AS visib,                -- miles
  COALESCE(ln(1 + 100 * w.precip), 0) AS precip,          -- inches
  COALESCE((w.pressure - 1015) / 7, 0) AS pressure,       -- millibars
  CASE WHEN w.humid IS NULL THEN 1 ELSE 0 END AS no_weather,
  CASE WHEN w.pressure IS NULL THEN 1 ELSE 0 END AS no_pressure,
  CASE WHEN w.wind_gust IS NULL THEN 0 ELSE 1 END AS gusts,
  (f.distance - 1000) / 700.0 AS distance,                -- miles
  (f.minute - 30) / 20.0 AS minute,
  COALESCE((p.seats - 140) / 70.0, 0) AS seats,
  COALESCE((2013 - p.year - 13) / 7.0, 0) AS age,         -- years
  CASE WHEN p.year IS NULL THEN 1 ELSE 0 END AS no_age,
  -- Categories, as small whole numbers.
  (strpos('EWR JFK LGA', f.origin) + 3) / 4 AS origin_code,                                              -- 0 to 3
  (strpos('9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV', f.carrier) + 2) / 3 AS carrier_code,        -- 0 to 16
  (ascii(f.dest) * 961 + ascii(substr(f.dest, 2)) * 31 + ascii(substr(f.dest, 3))) % 512 AS dest_code,   -- 0 to 511
  f.hour AS hour_code,                                                                                   -- 0 to 23
  CAST(date_part('dow', make_date(f.year, f.month, f.day)) AS INT) AS weekday_code                       -- 0 to 6
FROM flights f
LEFT JOIN weather w ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour'
LEFT JOIN planes p ON f.tailnum = p.tailnum
WHERE f.dep_delay IS NOT NULL
