//! Each mistake has a message that names it, its place, and a way out.

use std::fs;
use std::path::Path;

use forebay_runtime::{Problem, Spot, code};

use crate::{document, folder, job, planned, runtime};

const FLIGHTS: &str = "origin,delay,at\nEWR,2,2013-01-01T05:00:00Z\nJFK,,2013-01-01T06:00:00Z\n";

/// Sources `flights` (a stream) and `planes` (a table), and a sink for the transform `t`.
const HEAD: &str = r#"
name = "job"
[sources.flights]
path = "flights.csv"
event_time = "at"
replay = {}
[sources.planes]
path = "flights.csv"
"#;

/// What is said of a job in a folder with some flights and these files.
fn said(text: &str, files: &[(&str, &str)]) -> String {
    let folder = folder(&[&[("flights.csv", FLIGHTS)], files].concat());
    said_in(text, folder.path())
}

fn said_in(text: &str, folder: &Path) -> String {
    let runtime = runtime();
    let document = document(text, folder);
    let planned = planned(&job(&document), &runtime);
    let has_error = planned
        .problems
        .iter()
        .any(|problem| problem.diagnostic.is_error());
    assert_eq!(planned.plan.is_none(), has_error);
    let lines: Vec<String> = planned.problems.iter().map(line).collect();
    lines
        .join("\n")
        .replace(&*folder.to_string_lossy(), "[FOLDER]")
}

fn line(Problem { diagnostic, spot }: &Problem) -> String {
    let place = spot.as_ref().map_or(String::new(), |Spot { file, place }| {
        let file = file
            .as_ref()
            .map_or(String::new(), |file| format!("{}:", file.display()));
        format!("{file}{}:{} ", place.line, place.column)
    });
    format!("{place}{diagnostic}")
}

/// A query over the two sources.
fn query(sql: &str) -> String {
    said(
        &format!(
            "{HEAD}\n[transforms.t]\nsql = '''{sql}'''\n[sinks.out]\ninput = \"t\"\nto = \"blackhole\"\n"
        ),
        &[],
    )
}

/// A source of these keys, which a sink takes.
fn source(keys: &str, files: &[(&str, &str)]) -> String {
    said(&source_job(keys), files)
}

fn source_job(keys: &str) -> String {
    format!("name = \"job\"\n[sources.s]\n{keys}\n[sinks.out]\ninput = \"s\"\nto = \"blackhole\"\n")
}

/// A sink of these keys, which takes the flights.
fn sink(keys: &str, files: &[(&str, &str)]) -> String {
    said(&sink_job(keys), files)
}

fn sink_job(keys: &str) -> String {
    format!(
        "name = \"job\"\n[sources.s]\npath = \"flights.csv\"\n[sinks.out]\ninput = \"s\"\n{keys}\n"
    )
}

#[test]
fn sources_that_are_not_there_or_cannot_be_read() {
    insta::assert_snapshot!(source("path = 'absent.csv'", &[]));
    insta::assert_snapshot!(source("path = 'absent/*.csv'", &[]));
    insta::assert_snapshot!(source("path = '.'", &[]));
    insta::assert_snapshot!(source("path = 'empty.csv'", &[("empty.csv", "")]));
    insta::assert_snapshot!(source(
        "path = 'flights.data'",
        &[("flights.data", FLIGHTS)]
    ));
    insta::assert_snapshot!(source(
        "path = 'flights.parquet'",
        &[("flights.parquet", FLIGHTS)]
    ));
    insta::assert_snapshot!(source("path = 's3://bucket/flights.csv'", &[]));
}

#[test]
fn columns_that_differ_from_what_is_pinned() {
    insta::assert_snapshot!(source(
        "path = 'flights.csv'\nschema = { origin = 'text', delay = 'int64', at = 'time stamp' }",
        &[]
    ));
    insta::assert_snapshot!(source(
        "path = 'flights.csv'\nschema = { origin = 'string', delay = 'int64' }",
        &[]
    ));
    insta::assert_snapshot!(source(
        "path = 'flights.csv'\nschema = { origin = 'string', late = 'int64', at = 'timestamp' }",
        &[]
    ));
}

#[test]
fn event_times_that_are_none() {
    insta::assert_snapshot!(source(
        "path = 'flights.csv'\nevent_time = 'ad'\nreplay = {}",
        &[]
    ));
    insta::assert_snapshot!(source(
        "path = 'flights.csv'\nevent_time = 'origin'\nreplay = {}",
        &[]
    ));
}

#[test]
fn queries_that_cannot_be() {
    insta::assert_snapshot!(query("SELECT *\nFORM flights"));
    insta::assert_snapshot!(query("SELECT origin,\n  dealy FROM flights"));
    insta::assert_snapshot!(query(
        "SELECT origin + 1 FROM flights WHERE delay > 'x' AND NOT delay"
    ));
    insta::assert_snapshot!(query(
        "SELECT delay FROM flights f JOIN planes p ON f.origin = p.origin"
    ));
    insta::assert_snapshot!(query("SELECT * FROM flihgts"));
    insta::assert_snapshot!(query(
        "SELECT a.origin FROM flights a JOIN flights b ON a.origin = b.origin"
    ));
    insta::assert_snapshot!(query(
        "SELECT origin, count(*) FROM flights GROUP BY origin"
    ));
    insta::assert_snapshot!(query("SELECT * FROM flights ORDER BY delay"));
    insta::assert_snapshot!(query("DROP TABLE flights"));
}

/// What is said of a query over transforms that pass on some of the flights' columns, one under another name.
fn query_behind_others(sql: &str) -> String {
    let before = "\n[transforms.renamed]\nsql = 'SELECT at, origin AS airport FROM flights'\n[transforms.kept]\nsql = 'SELECT airport, at, upper(airport) AS name FROM renamed WHERE airport IS NOT NULL'";
    let job = format!(
        "{HEAD}{before}\n[transforms.t]\nsql = \"{sql}\"\n[sinks.out]\ninput = \"t\"\nto = \"blackhole\"\n"
    );
    said(&job, &[])
}

#[test]
fn a_message_says_where_a_column_comes_from() {
    insta::assert_snapshot!(query_behind_others("SELECT airport + 1 AS n, at FROM kept"));
    insta::assert_snapshot!(query_behind_others("SELECT k.name - k.at AS n FROM kept k"));
    insta::assert_snapshot!(query_behind_others("SELECT abs(name) AS n FROM kept"));
    insta::assert_snapshot!(query_behind_others("SELECT at FROM kept WHERE airport"));
    insta::assert_snapshot!(query_behind_others("SELECT airport, delay FROM kept"));
    insta::assert_snapshot!(query_behind_others("SELECT k.origin FROM kept k"));
}

#[test]
fn a_query_in_a_file_is_shown_there() {
    let job = format!(
        "{HEAD}\n[transforms.t]\nsql_file = \"t.sql\"\n[sinks.out]\ninput = \"t\"\nto = \"blackhole\"\n"
    );
    insta::assert_snapshot!(said(
        &job,
        &[("t.sql", "SELECT origin,\n  dealy\nFROM flights")]
    ));
    insta::assert_snapshot!(said(
        &job,
        &[("t.sql", "SELECT *\nFROM flights\nORDER BY\n  delay")]
    ));
    insta::assert_snapshot!(said(&job, &[("t.sql", "\nDROP TABLE flights")]));
    insta::assert_snapshot!(said(&job, &[]));
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    fs::create_dir(folder.path().join("t.sql")).unwrap();
    insta::assert_snapshot!(said_in(&job, folder.path()));
    fs::remove_dir(folder.path().join("t.sql")).unwrap();
    fs::write(folder.path().join("t.sql"), b"SELECT '\xff'").unwrap();
    insta::assert_snapshot!(said_in(&job, folder.path()));
}

#[test]
fn transforms_that_read_each_other() {
    let transforms = "\n[transforms.a]\nsql = 'SELECT * FROM c'\n[transforms.b]\nsql = 'SELECT * FROM a'\n[transforms.c]\nsql = 'SELECT * FROM b JOIN planes USING (origin)'\n[sinks.out]\ninput = 'c'\nto = 'blackhole'\n";
    insta::assert_snapshot!(said(&format!("{HEAD}{transforms}"), &[]));
}

#[test]
fn only_the_first_of_mistakes_that_follow_from_each_other_is_told() {
    let job = "name = 'job'\n[sources.s]\npath = 'absent.csv'\n[transforms.t]\nsql = 'SELECT nothing FROM s'\n[transforms.u]\nsql = 'SELECT * FROM t'\n[sinks.out]\ninput = 'u'\npath = 'out.parquet'\n";
    insta::assert_snapshot!(said(job, &[]));
}

/// What is wrong with the place of a sink does not depend on its input.
#[test]
fn places_of_sinks_are_looked_at_whatever_their_input_is() {
    let sinks = "[sinks.place]\ninput = 'broken'\npath = 'old.csv'\n[sinks.format]\ninput = 'broken'\npath = 'out'\n[sinks.parts]\ninput = 'broken'\npath = 'file/parts'\nformat = 'csv'\nparallelism = 2\n[sinks.fine]\ninput = 'broken'\npath = 'out.csv'\n[sinks.screen]\ninput = 'broken'\nto = 'stdout'\nformat = 'csv'\n[sinks.columns]\ninput = 'lists'\npath = 'lists.csv'\n[transforms.lists]\nsql = 'SELECT make_array(delay) AS l FROM planes'\n";
    let source = "[sources.broken]\npath = 'absent.csv'\n";
    let query = "[transforms.broken]\nsql = 'SELECT nothing FROM planes'\n";
    let circle = "[transforms.broken]\nsql = 'SELECT * FROM other'\n[transforms.other]\nsql = 'SELECT * FROM broken'\n";
    let files = [("old.csv", ""), ("file", "")];
    for broken in [source, query, circle] {
        insta::assert_snapshot!(said(&format!("{HEAD}{broken}{sinks}"), &files));
    }
}

#[test]
fn what_nobody_reads_is_a_warning() {
    let job = format!(
        "{HEAD}\n[transforms.t]\nsql = 'SELECT * FROM flights'\n[sinks.out]\ninput = 'flights'\nto = 'blackhole'\n"
    );
    insta::assert_snapshot!(said(&job, &[]));
}

#[test]
fn sinks_that_cannot_be_written() {
    insta::assert_snapshot!(sink("path = 'old.csv'", &[("old.csv", "")]));
    insta::assert_snapshot!(sink("path = 'flights.csv/out.csv'", &[]));
    insta::assert_snapshot!(sink("path = 'out'", &[]));
    insta::assert_snapshot!(sink("path = 'out.csv.gz'", &[]));
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/old.csv"), "").unwrap();
    insta::assert_snapshot!(said_in(
        &sink_job("path = 'out/'\nformat = 'csv'"),
        folder.path()
    ));
    insta::assert_snapshot!(said_in(
        &sink_job("path = 'out'\nformat = 'csv'\nparallelism = 1"),
        folder.path()
    ));
}

#[test]
fn components_that_are_none() {
    let operator = |file: &str| {
        format!(
            "{HEAD}\n[transforms.t]\noperator = '{file}'\ninput = 'flights'\n[sinks.out]\ninput = 't'\nto = 'blackhole'\n"
        )
    };
    insta::assert_snapshot!(said(&operator("absent.wasm"), &[]));
    insta::assert_snapshot!(said(
        &operator("text.wasm"),
        &[("text.wasm", "no component")]
    ));
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    insta::assert_snapshot!(said_in(&operator("folder.wasm"), folder.path()));
}

#[test]
fn every_code_stands_in_the_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dataflow.md");
    let page = fs::read_to_string(page).unwrap();
    let missing = |code: &&&str| !page.contains(&format!("`{code}`"));
    let missing: Vec<_> = code::ALL.iter().filter(missing).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn an_answer_has_a_type_that_nodes_can_give() {
    let of_type = |kind: &str| {
        let text = format!(
            "{HEAD}\n[roles.worker]\ncommand = [\"true\"]\ninput = \"flights\"\noutput = {{ name = '{kind}' }}\n[sinks.out]\ninput = \"worker\"\nto = \"blackhole\"\n"
        );
        said(&text, &[])
    };
    insta::assert_snapshot!(of_type("Dictionary(Int32, Utf8)"));
    let refuses = |kind: &str| of_type(kind).contains("is no type of an answer");
    assert!(refuses("List(Dictionary(Int32, Utf8))"));
    assert!(!refuses("List(Utf8)"));
}
