//! What is refused, in which words.

use forebay_sql::plan;

use super::support::relations;

#[track_caller]
fn refused(sql: &str, expected: &str) {
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
    assert_eq!(format!("{place}{error}{hint}"), expected);
}

#[test]
fn text_that_is_no_query() {
    refused(
        "SELEC * FROM flights",
        "1:1: expected: an SQL statement, found: SELEC",
    );
    refused(
        "SELECT * FROM flights WHERE",
        "expected: an expression, found: EOF",
    );
    refused(
        "SELECT * FROM flights; SELECT 1",
        "this feature is not implemented: The context currently only supports a single SQL statement",
    );
    refused(
        "CREATE TABLE t (a INT)",
        "this is not known over streams: CreateMemoryTable: Bare { table: \"t\" }",
    );
    refused("", "no SQL statements were provided in the query string");
}

#[test]
fn names_that_do_not_exist() {
    refused(
        "SELECT *\nFROM flihgts",
        "2:6: there is no source or transform `flihgts`\n  hint: did you mean `flights`?",
    );
    refused(
        "SELECT flight,\n  dellay FROM flights",
        "2:3: there is no column `dellay`\n  hint: did you mean `delay`?",
    );
    refused(
        "SELECT f.tepm FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "1:8: there is no column `f.tepm`\n  hint: did you mean `temp`?",
    );
    refused(
        "SELECT uper(origin) FROM flights",
        "1:8: invalid function 'uper'.\nDid you mean 'upper'?",
    );
}

#[test]
fn names_that_may_be_of_several() {
    refused(
        "SELECT origin FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "1:8: the column `origin` may be of several relations\n  hint: name the relation too, as in `a.origin`",
    );
    refused(
        "SELECT f.origin, w.origin FROM flights f JOIN weather w ON f.time_hour = w.time_hour",
        "there are two columns `origin`\n  hint: give one another name, as in `origin AS other_origin`",
    );
    refused(
        "SELECT flight AS a, delay AS a FROM flights",
        "projections require unique expression names but the expression \"flights.flight AS a\" at position 0 and \"flights.delay AS a\" at position 1 have the same name. Consider aliasing (\"AS\") one of them.",
    );
}

#[test]
fn types_that_do_not_fit() {
    refused(
        "SELECT flight + origin FROM flights WHERE delay = INTERVAL '1 hour'",
        "1:8: cannot coerce arithmetic expression Int64 + Utf8 to valid types",
    );
    refused(
        "SELECT abs(origin) FROM flights",
        "function 'abs' expects Numeric but received String. No function matches the given name and argument types 'abs(Utf8)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tabs(Numeric(1))",
    );
    refused(
        "SELECT flight FROM flights WHERE origin",
        "cannot create filter with non-boolean predicate 'flights.origin' returning Utf8",
    );
    refused(
        "SELECT origin FROM flights UNION ALL SELECT origin, temp FROM weather",
        "1:1: uNION queries have different number of columns",
    );
}

#[test]
fn state_without_bound() {
    refused(
        "SELECT f.flight, w.temp FROM flights f JOIN weather w ON f.origin = w.origin",
        "unbounded state: nothing bounds how far `w.time_hour` may lie from `f.time_hour`\n  hint: add a bound on event time to the join, as in `w.time_hour BETWEEN f.time_hour - INTERVAL '1 hour' AND f.time_hour`",
    );
    refused(
        "SELECT f.flight, w.temp FROM flights f JOIN weather w ON f.origin = w.origin AND w.time_hour < f.time_hour",
        "unbounded state: nothing bounds from below how far `w.time_hour` may lie from `f.time_hour`\n  hint: add a bound on event time to the join, as in `w.time_hour BETWEEN f.time_hour - INTERVAL '1 hour' AND f.time_hour`",
    );
    refused(
        "SELECT f.flight FROM flights f JOIN weather w ON w.time_hour > f.time_hour - INTERVAL '1 month'",
        "unbounded state: nothing bounds how far `w.time_hour` may lie from `f.time_hour`\n  hint: add a bound on event time to the join, as in `w.time_hour BETWEEN f.time_hour - INTERVAL '1 hour' AND f.time_hour`",
    );
    refused(
        "SELECT f.flight FROM flights f CROSS JOIN weather w",
        "unbounded state: nothing bounds how far `time_hour` may lie from `f.time_hour`\n  hint: add a bound on event time to the join, as in `time_hour BETWEEN f.time_hour - INTERVAL '1 hour' AND f.time_hour`",
    );
    refused(
        "SELECT count(*) FROM flights",
        "unbounded state: nothing bounds the groups of GROUP BY\n  hint: group by windows of event time",
    );
    refused(
        "SELECT origin, avg(delay) FROM flights GROUP BY origin",
        "unbounded state: nothing bounds the groups of GROUP BY\n  hint: group by windows of event time",
    );
    refused(
        "SELECT DISTINCT origin FROM flights",
        "unbounded state: nothing bounds the groups of GROUP BY\n  hint: group by windows of event time",
    );
    refused(
        "SELECT origin FROM flights UNION SELECT origin FROM weather",
        "unbounded state: nothing bounds the groups of GROUP BY\n  hint: group by windows of event time",
    );
    refused(
        "SELECT flight FROM flights ORDER BY delay",
        "ORDER BY needs all rows of an unbounded stream\n  hint: rows come in the order of their streams",
    );
    refused(
        "SELECT flight FROM flights LIMIT 10",
        "LIMIT ends an unbounded stream\n  hint: filter rows with WHERE",
    );
    refused(
        "SELECT flight, row_number() OVER (PARTITION BY origin) FROM flights",
        "unbounded state: OVER keeps all rows of a partition\n  hint: group by windows of event time",
    );
}

#[test]
fn joins_that_are_not_known() {
    refused(
        "SELECT f.flight FROM flights f RIGHT JOIN weather w ON f.time_hour = w.time_hour",
        "a RIGHT JOIN of streams is not known\n  hint: write it the other way round, as a LEFT JOIN",
    );
    refused(
        "SELECT f.flight FROM flights f FULL JOIN weather w ON f.time_hour = w.time_hour",
        "a FULL JOIN of streams is not known\n  hint: INNER JOIN and LEFT JOIN are",
    );
    refused(
        "SELECT flight FROM flights WHERE origin IN (SELECT origin FROM weather)",
        "a LEFTSEMI JOIN of streams is not known\n  hint: INNER JOIN and LEFT JOIN are",
    );
    refused(
        "SELECT f.flight FROM flights f JOIN untimed u ON f.time_hour = u.time_hour",
        "`u` has no event time, and cannot be joined as a stream\n  hint: name its event time where the source is declared",
    );
    refused(
        "SELECT f.flight FROM (SELECT flight, date_trunc('day', time_hour) AS day FROM flights) f JOIN weather w ON f.day = w.time_hour",
        "unbounded state: nothing bounds how far `w.time_hour` may lie from `f.time_hour`\n  hint: add a bound on event time to the join, as in `w.time_hour BETWEEN f.time_hour - INTERVAL '1 hour' AND f.time_hour`",
    );
}

#[test]
fn rows_that_are_not_of_a_stream() {
    refused(
        "SELECT 1 AS one",
        "this is not known over streams: EmptyRelation: rows=1",
    );
    refused(
        "VALUES (1), (2)",
        "this is not known over streams: Values: (Int64(1)), (Int64(2))",
    );
}
