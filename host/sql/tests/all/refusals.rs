//! What is refused, in which words.

use std::fmt::Write as _;

use forebay_sql::plan;

use super::support::relations;

/// Each query with what is said of it.
fn refusals(queries: &[&str]) -> String {
    let mut text = String::new();
    for sql in queries {
        let Err(error) = plan(sql, &relations()) else {
            panic!("it is not refused: {sql}")
        };
        let place = error
            .place
            .map(|place| format!("{}:{}: ", place.line, place.column))
            .unwrap_or_default();
        let hint = error
            .hint
            .as_ref()
            .map(|hint| format!("\n  hint: {hint}"))
            .unwrap_or_default();
        write!(text, "{sql}\n  {place}{error}{hint}\n\n").expect("a string takes it");
    }
    text
}

#[test]
fn text_that_is_no_query() {
    insta::assert_snapshot!(refusals(&[
        "SELEC * FROM flights",
        "SELECT * FROM flights WHERE",
        "SELECT * FROM flights; SELECT 1",
        "CREATE TABLE t (a INT)",
        "",
        "INSERT INTO flights VALUES (1)",
        "EXPLAIN SELECT * FROM flights",
        "SET x = 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/x.csv'",
    ]));
}

#[test]
fn names_that_do_not_exist() {
    insta::assert_snapshot!(refusals(&[
        "SELECT *\nFROM flihgts",
        "SELECT flight,\n  dellay FROM flights",
        "SELECT f.tepm FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "SELECT uper(origin) FROM flights",
        "SELECT * FROM week-days",
        "SELECT dep-time FROM \"week-days\"",
        "SELECT Year FROM \"week-days\"",
    ]));
}

#[test]
fn names_that_may_be_of_several() {
    insta::assert_snapshot!(refusals(&[
        "SELECT origin FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "SELECT f.origin, w.origin FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "SELECT origin FROM (SELECT * FROM flights) AS a JOIN weather w ON a.time_hour = w.time_hour",
        "SELECT flight AS a, delay AS a FROM flights",
    ]));
}

#[test]
fn types_that_do_not_fit() {
    insta::assert_snapshot!(refusals(&[
        "SELECT flight + origin FROM flights WHERE delay = INTERVAL '1 hour'",
        "SELECT abs(origin) FROM flights",
        "SELECT date_trunc('hour', time_hour) AS at, sum(origin) AS n FROM flights GROUP BY at",
        "SELECT flight FROM flights WHERE origin",
        "SELECT origin FROM flights WHERE origin",
        "SELECT abs(delay), abs(origin) FROM flights",
        "SELECT delay + 1 FROM (SELECT upper(origin) AS delay FROM flights) AS x",
        "SELECT origin FROM flights UNION ALL SELECT origin, temp FROM weather",
    ]));
}

#[test]
fn state_without_bound() {
    insta::assert_snapshot!(refusals(&[
        "SELECT f.flight FROM flights f JOIN zoned z ON f.time_hour = z.time_hour",
        "SELECT z.time_hour FROM zoned z JOIN zoned y ON z.time_hour = y.time_hour - INTERVAL '1 day'",
        "SELECT f.flight FROM flights f JOIN coarse c ON CAST(f.time_hour AS TIMESTAMP(0)) = c.time_hour",
        "SELECT date_bin(INTERVAL '1500 milliseconds', time_hour) AS at, count(*) FROM coarse GROUP BY at",
        "SELECT date_trunc('hour', time_hour) AS at, count(*) FROM zoned GROUP BY at",
        "SELECT f.flight, w.temp FROM flights f JOIN weather w ON f.origin = w.origin",
        "SELECT f.flight, w.temp FROM flights f JOIN weather w ON f.origin = w.origin AND w.time_hour < f.time_hour",
        "SELECT f.flight FROM flights f JOIN weather w ON w.time_hour > f.time_hour - INTERVAL '1 month'",
        "SELECT f.flight FROM flights f CROSS JOIN weather w",
        "SELECT count(*) FROM flights",
        "SELECT origin, avg(delay) FROM flights GROUP BY origin",
        "SELECT DISTINCT origin FROM flights",
        "SELECT origin FROM flights UNION SELECT origin FROM weather",
        "SELECT flight FROM flights ORDER BY delay",
        "SELECT flight FROM flights LIMIT 10",
        "SELECT flight, row_number() OVER (PARTITION BY origin) FROM flights",
        "SELECT date_trunc('month', time_hour), count(*) FROM flights GROUP BY date_trunc('month', time_hour)",
        "SELECT date_bin(INTERVAL '1 month', time_hour) AS month, count(*) FROM flights GROUP BY month",
        "SELECT count(*) FROM (SELECT origin FROM flights) AS f",
        "SELECT date_trunc('hour', time_hour) AS hour, array_agg(flight ORDER BY delay) FROM flights GROUP BY hour",
        "SELECT flight FROM flights WHERE delay > (SELECT avg(seats) FROM planes)",
        "SELECT f.flight FROM flights f JOIN planes p ON p.flight = f.flight\nJOIN weather w ON w.origin = f.origin",
        "SELECT DISTINCT origin FROM (SELECT date_bin(INTERVAL '1 hour', time_hour) AS at, origin FROM flights GROUP BY at, origin) AS f",
        "SELECT f.flight FROM flights f JOIN planes p ON p.flight = f.flight WHERE f.origin IN (SELECT origin FROM weather)",
        "SELECT f.flight FROM flights f, weather w JOIN planes p ON p.flight = w.visib",
        "SELECT flight FROM flights WHERE flight IN (SELECT flight FROM planes ORDER BY seats) ORDER BY flight",
    ]));
}

#[test]
fn joins_that_are_not_known() {
    insta::assert_snapshot!(refusals(&[
        "SELECT f.flight FROM flights f RIGHT JOIN weather w ON f.time_hour = w.time_hour",
        "SELECT f.flight FROM flights f FULL JOIN weather w ON f.time_hour = w.time_hour",
        "SELECT flight FROM flights WHERE origin IN (SELECT origin FROM weather)",
        "SELECT f.flight FROM flights f JOIN untimed u ON f.time_hour = u.time_hour",
        "SELECT f.flight FROM (SELECT flight, date_trunc('day', time_hour) AS day FROM flights) f JOIN weather w ON f.day = w.time_hour",
        "SELECT p.seats FROM planes p LEFT JOIN flights f ON f.flight = p.flight",
        "SELECT flight FROM flights WHERE origin NOT IN (SELECT origin FROM planes)",
    ]));
}

#[test]
fn an_expression_may_be_deep_but_not_without_end() {
    let error_of = |sql: &str| plan(sql, &relations()).err().map(|error| error.to_string());
    let sum = |terms: usize| {
        format!(
            "SELECT {} AS sum FROM flights",
            vec!["flight"; terms].join(" + ")
        )
    };
    assert_eq!(error_of(&sum(300)), None);
    let too_deep = "an expression is more than 500 levels deep";
    assert_eq!(error_of(&sum(600)).as_deref(), Some(too_deep));
    assert_eq!(error_of(&sum(100_000)).as_deref(), Some(too_deep));
    let nested = format!(
        "SELECT {}flight{} AS n FROM flights",
        "(".repeat(3_000),
        ")".repeat(3_000)
    );
    assert_eq!(
        error_of(&nested).as_deref(),
        Some("the SQL is nested too deeply")
    );
    let union = vec!["SELECT flight FROM flights"; 200].join(" UNION ALL ");
    assert_eq!(error_of(&union), None);
}

#[test]
fn windows_of_instants_need_no_zone() {
    let sql = "SELECT date_bin(INTERVAL '1 hour', time_hour) AS hour, count(*) AS n FROM zoned GROUP BY hour";
    assert!(plan(sql, &relations()).is_ok());
}

/// Texts that are taken for something else are told, those that the query itself casts are not.
#[test]
fn casts_that_are_not_written() {
    let warnings = |sql: &str| {
        let query = plan(sql, &relations()).expect("it can run");
        let warnings = query.warnings().iter().map(|warning| {
            let place = warning.place.map(|place| (place.line, place.column));
            format!("{place:?} {warning}")
        });
        warnings.collect::<Vec<_>>()
    };
    insta::assert_debug_snapshot!(
        warnings(
            "SELECT f.flight,\n  CASE WHEN f.origin IN (1, 2) THEN 1 END AS one FROM flights f\n\
             JOIN planes p ON p.origin = f.flight WHERE f.origin > 5 AND f.origin > 5 AND upper(f.origin) = 2.5"
        ),
        @r#"
    [
        "Some((2, 13)) `f.origin` is text and is read as Int64 here; the query fails at the first text that is not one",
        "Some((3, 18)) `p.origin` is text and is read as Int64 here; the query fails at the first text that is not one",
    ]
    "#
    );
    for sql in [
        "SELECT flight FROM flights WHERE CAST(origin AS BIGINT) > 5",
        "SELECT flight FROM flights WHERE TRY_CAST(origin AS BIGINT) > 5",
        "SELECT flight FROM flights WHERE time_hour > '2013-01-01' AND delay > '5' AND origin > '5'",
        "SELECT flight || origin AS both FROM flights",
        "SELECT CAST(origin || flight AS BIGINT) AS both FROM flights",
        "SELECT CAST(CASE WHEN flight > '5' THEN 1 ELSE delay END AS BIGINT) AS one FROM flights",
        "SELECT sha256(origin) AS a, encode(origin, 'hex') AS b, md5(origin) AS c FROM flights",
    ] {
        assert_eq!(warnings(sql), [""; 0], "{sql}");
    }
}
