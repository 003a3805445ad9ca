use super::support::{check, check_bounded};

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
fn times_that_are_moved() {
    check(
        "SELECT time_hour + INTERVAL '90 minutes' AS later, time_hour - INTERVAL '1.5 seconds' AS earlier FROM flights",
    );
    check(
        "SELECT time_hour - INTERVAL '1 day 2 hours' AS day, time_hour + INTERVAL '1 month' AS month FROM flights",
    );
    for unit in ["Second", "Millisecond", "Microsecond", "Nanosecond"] {
        check(&format!(
            "SELECT arrow_cast(time_hour, 'Timestamp({unit}, Some(\"America/New_York\"))') + INTERVAL '3 hours' AS later,
             arrow_cast(time_hour, 'Timestamp({unit}, None)') - INTERVAL '1 millisecond' AS earlier FROM flights"
        ));
    }
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

#[test]
fn joins_with_a_table() {
    check("SELECT f.flight, f.delay, p.seats FROM flights f JOIN planes p ON f.flight = p.flight");
    check(
        "SELECT f.*, p.seats FROM flights f LEFT JOIN planes p ON f.flight = p.flight AND f.origin = p.origin",
    );
    check(
        "SELECT p.seats, f.flight FROM planes p JOIN flights f ON f.origin = p.origin AND f.delay > p.seats",
    );
    check("SELECT p.seats, f.flight FROM planes p RIGHT JOIN flights f ON f.flight = p.flight + 1");
    check(
        "SELECT f.flight, s.seats FROM flights f
         LEFT JOIN (SELECT origin, max(seats) AS seats FROM planes GROUP BY origin) s ON f.origin = s.origin",
    );
    check(
        "SELECT f.flight, m.most FROM flights f CROSS JOIN (SELECT max(seats) AS most FROM planes) m",
    );
    check(
        "SELECT f.flight, w.temp, p.seats FROM flights f
         LEFT JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
         LEFT JOIN planes p ON f.flight = p.flight WHERE f.delay > 0",
    );
}

#[test]
fn tables_that_are_read_more_than_once() {
    check(
        "SELECT f.flight, p.seats, q.seats AS more FROM flights f
         JOIN planes p ON f.origin = p.origin JOIN planes q ON f.flight = q.flight + 1",
    );
    check(
        "SELECT f.flight FROM flights f JOIN planes p ON f.origin = p.origin
         WHERE f.flight IN (SELECT flight FROM planes)",
    );
    // Two bounded parts that want their relations in opposite order.
    check(
        "SELECT a.flight FROM planes a JOIN fleet b ON a.origin = b.origin
         UNION ALL SELECT b.flight FROM fleet b JOIN planes a ON a.origin = b.origin
         UNION ALL SELECT flight FROM flights",
    );
}

#[test]
fn columns_that_are_not_there_or_are_called_like_ours() {
    check(
        "SELECT 1 AS one FROM (SELECT flight FROM flights UNION ALL SELECT flight FROM flights WHERE delay > 0) u",
    );
    check(
        "SELECT date_trunc('hour', time_hour) AS hour, origin, sum(\"key 1\") AS sum
         FROM (SELECT delay AS \"key 1\", time_hour, origin FROM flights) AS renamed GROUP BY hour, origin",
    );
}

#[test]
fn rows_that_a_table_has_or_has_not() {
    check("SELECT flight, delay FROM flights WHERE flight IN (SELECT flight FROM planes)");
    check(
        "SELECT f.flight FROM flights f WHERE EXISTS (
           SELECT 1 FROM planes p WHERE p.origin = f.origin AND p.seats > f.delay)",
    );
    check(
        "SELECT flight FROM flights f WHERE NOT EXISTS (SELECT 1 FROM planes p WHERE p.flight = f.flight)",
    );
}

#[test]
fn windows() {
    check(
        "SELECT date_trunc('hour', time_hour) AS hour, count(*) AS rows FROM flights GROUP BY date_trunc('hour', time_hour)",
    );
    check(
        "SELECT origin, date_bin(INTERVAL '2 hours', time_hour) AS at, count(delay) AS n, sum(flight) AS sum, avg(delay) AS mean,
           min(delay) AS least, max(origin) AS most, stddev(delay) AS spread
         FROM flights GROUP BY origin, at",
    );
    check(
        "SELECT date_trunc('week', time_hour) AS week, count(DISTINCT origin) AS origins FROM flights GROUP BY week",
    );
    check(
        "SELECT date_bin(INTERVAL '3 hours', time_hour, TIMESTAMP '2000-01-01 01:30:00') AS at, origin,
           count(DISTINCT flight % 3) AS kinds, count(*) FILTER (WHERE delay > 15) AS late, median(delay) AS middle
         FROM flights GROUP BY at, origin HAVING count(*) > 1",
    );
    check("SELECT DISTINCT origin, date_trunc('hour', time_hour) AS hour FROM flights");
    check(
        "SELECT hour + INTERVAL '1 hour' AS until, share * 100 AS percent FROM (
           SELECT date_trunc('hour', time_hour) AS hour, avg(CASE WHEN delay > 0 THEN 1 ELSE 0 END) AS share
           FROM flights WHERE delay IS NOT NULL GROUP BY hour) AS shares",
    );
}

#[test]
fn windows_over_joins_and_windows() {
    check(
        "SELECT date_trunc('day', f.time_hour) AS day, w.origin, avg(w.temp) AS temp, count(*) AS n
         FROM flights f JOIN weather w ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour'
         GROUP BY day, w.origin",
    );
    check(
        "SELECT date_trunc('day', hour) AS day, max(n) AS busiest FROM (
           SELECT date_trunc('hour', time_hour) AS hour, count(*) AS n FROM flights GROUP BY hour) AS hours
         GROUP BY day",
    );
    check(
        "SELECT f.flight, h.n FROM flights f JOIN (
           SELECT origin, date_trunc('hour', time_hour) AS hour, count(*) AS n FROM weather GROUP BY origin, hour) h
         ON f.origin = h.origin AND h.hour BETWEEN f.time_hour - INTERVAL '2 hours' AND f.time_hour",
    );
}

#[test]
fn bounded_relations_alone() {
    check_bounded("SELECT origin, count(*) AS n, avg(delay) AS mean FROM flights GROUP BY origin");
    check_bounded("SELECT flight, delay, seats FROM flights f FULL JOIN planes p USING (flight)");
    check_bounded(
        "SELECT flight, row_number() OVER (PARTITION BY origin ORDER BY flight, time_hour, delay) AS n FROM flights",
    );
    check_bounded(
        "SELECT max(delay) AS most FROM (SELECT delay FROM flights ORDER BY delay DESC NULLS LAST LIMIT 5) AS top",
    );
    check_bounded(
        "SELECT a.flight, b.flight AS other FROM flights a JOIN flights b ON a.flight = b.flight + 1",
    );
    check_bounded(
        "SELECT flight FROM flights WHERE delay > (SELECT avg(seats) FROM planes) AND origin IN (SELECT origin FROM weather)",
    );
    check_bounded(
        "SELECT count(*) AS n FROM (SELECT origin FROM flights UNION ALL SELECT origin FROM weather) AS both",
    );
    check_bounded("SELECT now() IS NULL AS never, current_date IS NULL AS neither");
    check_bounded("SELECT value FROM generate_series(1, 3)");
    check_bounded(
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
    );
    check_bounded("SELECT 1 AS one, 'a' AS text");
    check_bounded("SELECT column1 AS n FROM (VALUES (1), (2))");
    check_bounded(
        "SELECT origin FROM flights UNION SELECT origin FROM weather EXCEPT SELECT origin FROM planes",
    );
}
