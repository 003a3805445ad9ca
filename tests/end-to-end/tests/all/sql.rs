//! `forebay sql`: a quick look at data.

use std::fs;

use forebay_test_support::{Invocation, Sandbox, environment, forebay_binary, repository};
use serde_json::Value;

use crate::command_line::snapshot;

/// Both dialects know these; numbers are such that no rounding differs.
const QUERIES: [&str; 6] = [
    "SELECT * FROM trips",
    "SELECT number, name FROM trips WHERE delay > 15 AND name LIKE '%o%'",
    "SELECT origin, count(*) AS n, count(delay) AS known, sum(delay) AS total, max(name) AS name FROM trips GROUP BY origin",
    "SELECT t.number, p.height FROM trips t LEFT JOIN places p ON t.origin = p.origin WHERE t.number < 100",
    "SELECT p.origin, count(t.number) AS n FROM places p LEFT JOIN trips t ON t.origin = p.origin GROUP BY p.origin HAVING count(*) > 1",
    "SELECT number FROM trips WHERE delay IS NOT NULL ORDER BY delay DESC, number LIMIT 7",
];

fn sql(sandbox: &Sandbox, query: &str) -> Invocation {
    sandbox.forebay(["sql", "--null", "NA", query])
}

fn both(invocation: Invocation) -> Invocation {
    invocation.args([
        "--source",
        "trips=trips.csv",
        "--source",
        "places=places.csv",
    ])
}

#[test]
fn answers_are_those_of_sqlite() {
    let sandbox = Sandbox::new();
    let seed = 5;
    let script = repository().join("tests/end-to-end/scripts/sql_by_sqlite.py");
    let python = sandbox
        .command(environment("plain").join("bin/python"))
        .args([script.into_os_string(), seed.to_string().into()])
        .args(QUERIES)
        .run();
    python.assert_code(0);
    let answers = python.stdout.split("--\n");
    for (query, expected) in QUERIES.iter().zip(answers) {
        let output = both(sql(&sandbox, query)).args(["--format", "json"]).run();
        output.assert_code(0);
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(rows(&output.stdout), rows(expected), "{query}, seed {seed}");
    }
}

/// One value a line, sorted.
fn rows(lines: &str) -> Vec<String> {
    let row = |line| {
        serde_json::from_str::<Value>(line)
            .expect("it is JSON")
            .to_string()
    };
    let mut rows: Vec<_> = lines.lines().map(row).collect();
    rows.sort();
    rows
}

fn write(sandbox: &Sandbox, name: &str, text: &str) {
    fs::write(sandbox.work().join(name), text).expect("the folder is writable");
}

#[test]
fn rows_are_a_table_or_text() {
    let sandbox = Sandbox::new();
    write(
        &sandbox,
        "t.csv",
        "n,name,at\n1,one,2013-01-01T05:00:00Z\n2,NA,2013-01-01T06:00:00Z\n3,\"t\u{1b}[2Jhree\",NA\n",
    );
    let query = |format: &[&str]| {
        let invocation = sandbox.forebay(["sql", "--null", "NA", "--source", "t=t.csv"]);
        invocation.args(["SELECT * FROM t"]).args(format).run()
    };
    snapshot(&sandbox, "sql_table", &query(&[]));
    snapshot(&sandbox, "sql_some_rows", &query(&["--rows", "2"]));
    snapshot(&sandbox, "sql_csv", &query(&["--format", "csv"]));
    snapshot(&sandbox, "sql_json", &query(&["--format", "json"]));
    let input = sandbox
        .forebay(["sql", "-"])
        .input("SELECT 1 + 1 AS two, 'a' AS text");
    snapshot(&sandbox, "sql_standard_input", &input.run());
}

/// A row that cannot be read stands far behind those that the query wants, and the join would need all of them.
#[test]
fn nothing_is_read_behind_the_last_row_that_a_query_wants() {
    let sandbox = Sandbox::new();
    let rows: Vec<_> = (0..200_000)
        .map(|row| format!("{row},{}", row % 3))
        .collect();
    let long = format!("id,key\n{}\nnone\n", rows.join("\n"));
    write(&sandbox, "long.csv", &long);
    write(&sandbox, "keys.csv", "key,name\n0,a\n1,b\n2,c\n");
    let all = |query| {
        let sources = ["--source", "long=long.csv", "--source", "keys=keys.csv"];
        let query = sql(&sandbox, query).args(sources);
        query.args(["--format", "json"]).run()
    };
    all("SELECT count(*) AS n FROM long").assert_code(1);
    for query in [
        "SELECT id FROM long WHERE key = 1 LIMIT 5",
        "SELECT long.id, keys.name FROM long JOIN keys ON long.key = keys.key LIMIT 5",
    ] {
        let output = all(query);
        output.assert_code(0);
        assert_eq!(output.events().len(), 5, "{output}");
    }
}

#[test]
fn what_cannot_be_answered_is_explained() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "n,name\n1,one\ntwo,2\n3,three\n");
    write(&sandbox, "t.doc", "n,name\n1,one\n");
    write(
        &sandbox,
        "bad.csv",
        &("n,name\n".to_owned() + &"1,one\n".repeat(12_000) + "two,2\n"),
    );
    let query = |source: &str, sql: &str, more: &[&str]| {
        let invocation = sandbox.forebay(["sql", "--source", source, sql]);
        invocation.args(more).run()
    };
    snapshot(
        &sandbox,
        "sql_column",
        &query("t=t.csv", "SELECT n,\n  nam FROM t", &[]),
    );
    snapshot(
        &sandbox,
        "sql_relation",
        &query("trips=t.csv", "SELECT * FROM tripz", &[]),
    );
    snapshot(
        &sandbox,
        "sql_no_sql",
        &query("t=t.csv", "SELEC * FROM t", &[]),
    );
    snapshot(
        &sandbox,
        "sql_no_file",
        &query("t=tt.csv", "SELECT * FROM t", &[]),
    );
    snapshot(
        &sandbox,
        "sql_no_format",
        &query("t=t.doc", "SELECT * FROM t", &[]),
    );
    snapshot(
        &sandbox,
        "sql_no_name",
        &query("t.csv", "SELECT * FROM t", &[]),
    );
    snapshot(
        &sandbox,
        "sql_malformed",
        &query("t=bad.csv", "SELECT sum(n) FROM t", &[]),
    );
    let too_many = query(
        "t=bad.csv",
        "SELECT sum(n) FROM t",
        &["--skip-malformed", "0"],
    );
    snapshot(&sandbox, "sql_too_many_malformed", &too_many);
    let skipped = query(
        "t=bad.csv",
        "SELECT sum(n) AS sum FROM t",
        &["--skip-malformed", "5"],
    );
    snapshot(&sandbox, "sql_skipped", &skipped);
}

#[test]
fn the_documentation_shows_what_it_prints() {
    let page = fs::read_to_string(repository().join("docs/dataflow.md")).expect("it is there");
    let block = |kind: &str| {
        let (_, rest) = page
            .split_once(&format!("```{kind}\n"))
            .expect("it has one");
        rest.split("```").next().expect("it has an end").to_owned()
    };
    let sandbox = Sandbox::new();
    let forebay = forebay_binary();
    let folder = forebay.parent().expect("it lies somewhere").display();
    let path = format!("{folder}:{}", std::env::var("PATH").expect("there is one"));
    let shell = sandbox.command("sh").args(["-e", "-c", &block("sh")]);
    let output = shell.env("PATH", path).run();
    output.assert_code(0);
    assert_eq!(output.stdout, block("text"));
}
