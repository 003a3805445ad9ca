use super::support::check;

#[test]
fn columns_and_expressions() {
    check("SELECT * FROM flights");
    check("SELECT origin, flight + 1 AS next, delay * 2 twice FROM flights");
    check("SELECT upper(origin) || '-' || flight AS name, abs(delay) AS size FROM flights");
    check(
        "SELECT CASE WHEN delay > 15 THEN 1 ELSE 0 END AS late, coalesce(delay, 0) AS delay FROM flights",
    );
    check(
        "SELECT date_part('hour', time_hour) AS hour, date_trunc('day', time_hour) AS day FROM flights",
    );
    check("SELECT cast(flight AS VARCHAR) AS text, cast(delay AS INT) AS whole FROM flights");
    check(
        "SELECT sha256(origin) AS hash, regexp_replace(origin, '[AEIOU]', '_') AS masked FROM flights",
    );
    check("SELECT make_array(flight, flight + 1) AS pair, length(origin) AS size FROM flights");
}

#[test]
fn filters() {
    check("SELECT flight FROM flights WHERE delay > 0");
    check("SELECT flight FROM flights WHERE origin IN ('JFK', 'LGA') AND delay IS NOT NULL");
    check("SELECT flight FROM flights WHERE NOT (delay > 0 OR origin = 'EWR')");
    check("SELECT origin, temp FROM weather WHERE temp BETWEEN -10 AND 10 AND visib % 2 = 0");
}

#[test]
fn queries_within_queries() {
    check("SELECT twice FROM (SELECT delay * 2 AS twice FROM flights) AS doubled WHERE twice > 5");
    check(
        "WITH slow AS (SELECT * FROM flights WHERE delay > 0) SELECT origin, delay FROM slow WHERE flight > 100",
    );
}

#[test]
fn unions() {
    check("SELECT origin, time_hour FROM flights UNION ALL SELECT origin, time_hour FROM weather");
    check(
        "SELECT origin, delay AS value FROM flights UNION ALL SELECT origin, visib FROM weather WHERE visib > 500",
    );
    check("SELECT flight FROM flights UNION ALL SELECT flight FROM flights WHERE delay > 0");
}

#[test]
fn joins_by_equal_times() {
    check(
        "SELECT f.flight, w.temp FROM flights f JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour",
    );
    check(
        "SELECT f.*, w.temp, w.visib FROM flights f LEFT JOIN weather w
         ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour'",
    );
    check("SELECT f.flight, w.temp FROM flights f JOIN weather w USING (origin, time_hour)");
    check(
        "SELECT f.flight, w.temp FROM flights f, weather w WHERE f.origin = w.origin AND f.time_hour = w.time_hour",
    );
}

#[test]
fn joins_by_near_times() {
    check(
        "SELECT f.flight, w.temp, w.time_hour AS at FROM flights f JOIN weather w
         ON f.origin = w.origin AND w.time_hour BETWEEN f.time_hour - INTERVAL '3 hours' AND f.time_hour",
    );
    check(
        "SELECT f.flight, w.temp FROM flights f LEFT JOIN weather w
         ON f.origin = w.origin AND w.time_hour > f.time_hour AND w.time_hour <= f.time_hour + INTERVAL '2' HOUR
         AND w.visib > f.flight",
    );
    check(
        "SELECT f.flight, w.temp FROM flights f LEFT JOIN weather w
         ON lower(f.origin) = lower(w.origin) AND f.time_hour - INTERVAL '1 hour' < w.time_hour
         AND f.time_hour + INTERVAL '1 hour' > w.time_hour",
    );
}

#[test]
fn joins_without_a_key() {
    check(
        "SELECT f.flight, w.visib FROM flights f JOIN weather w ON f.time_hour = w.time_hour AND f.flight < w.visib",
    );
    check(
        "SELECT f.flight, w.temp FROM flights f JOIN weather w
         ON f.time_hour = w.time_hour AND f.origin IS NOT DISTINCT FROM w.origin",
    );
    check(
        "SELECT f.flight, w.visib FROM flights f JOIN weather w
         ON w.time_hour BETWEEN f.time_hour AND f.time_hour + INTERVAL '1 hour' WHERE f.delay > 10",
    );
}

#[test]
fn joins_of_joins() {
    check(
        "SELECT f.flight, w.temp, later.temp AS temp_later FROM flights f
         LEFT JOIN weather w ON f.origin = w.origin AND w.time_hour = f.time_hour
         LEFT JOIN weather later ON f.origin = later.origin AND later.time_hour = f.time_hour + INTERVAL '2 hours'",
    );
    check(
        "WITH joined AS (
           SELECT f.time_hour, f.origin, f.flight, w.temp FROM flights f
           JOIN weather w ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour')
         SELECT j.flight, j.temp, o.flight AS other FROM joined j
         JOIN flights o ON j.origin = o.origin AND o.time_hour = j.time_hour AND o.flight < j.flight",
    );
}
