-- Flights with the weather at their airport an hour before departure and with their aeroplane. Everything is known an hour before
-- departure but `late`, the label. A flight that has not departed is no sample.
SELECT
  f.time_hour, f.month,
  -- Each sample has a number of its own: month, day, hour, carrier, flight.
  (((f.month * 100 + f.day) * 100 + f.hour) * 100 + (strpos('9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV', f.carrier) + 2) / 3) * 10000 + f.flight AS id,
  CAST(CASE WHEN f.dep_delay > 15 THEN 1 ELSE 0 END AS REAL) AS late,
  -- Categories, as texts.
  f.origin, f.dest, f.carrier,
  CAST(f.hour AS VARCHAR) AS hour,
  CAST(date_part('dow', make_date(f.year, f.month, f.day)) AS VARCHAR) AS weekday,
  -- Numbers. Temperatures would tell the season, and the months to come have another.
  w.humid, w.wind_speed, w.visib, ln(1 + 100 * w.precip) AS rain, w.pressure,
  f.distance, f.minute, p.seats, 2013 - p.year AS age
FROM flights f
LEFT JOIN weather w ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour'
LEFT JOIN planes p ON f.tailnum = p.tailnum
WHERE f.dep_delay IS NOT NULL
