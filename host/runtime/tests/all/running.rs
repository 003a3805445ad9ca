//! Jobs run to their end.

use std::collections::BTreeSet;
use std::fs;

use forebay_dataflow::{Options, Progress};
use forebay_job::{Job, Origin, SqlText, TransformKind};
use forebay_runtime::{Plan, Setting, plan};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{document, folder, job, planned, runtime};

const FLIGHTS: &str = "origin,delay,at\nEWR,NA,2013-01-01T07:00:00Z\nJFK,3,2013-01-01T05:00:00Z\nEWR,20,2013-01-01T05:30:00Z\nLGA,1,2013-01-01T06:00:00Z\n";
const WEATHER: &str = "origin,temp,at\nEWR,30,2013-01-01T04:30:00Z\nJFK,20,2013-01-01T04:00:00Z\nLGA,10,2013-01-01T04:00:00Z\n";

const STREAMS: &str = r#"
name = "job"
[sources.flights]
path = "flights.csv"
null_values = ["NA"]
event_time = "at"
replay = {}
[sources.weather]
path = "weather.csv"
event_time = "at"
replay = {}
[transforms.joined]
sql_file = "joined.sql"
[transforms.hourly]
sql = "SELECT date_trunc('hour', at) AS hour, count(*) AS n, count(temp) AS known FROM joined GROUP BY 1"
[sinks.joined_file]
input = "joined"
path = "joined.csv"
[sinks.hourly_file]
input = "hourly"
path = "hourly.csv"
"#;

const JOINED: &str = "SELECT f.origin, f.delay, f.at, w.temp FROM flights f LEFT JOIN weather w ON f.origin = w.origin AND w.at = f.at - INTERVAL '1 hour'";

/// The plan of [`STREAMS`], in a folder with its files.
fn streams(runtime: &Runtime) -> (TempDir, Plan) {
    let folder = folder(&[
        ("flights.csv", FLIGHTS),
        ("weather.csv", WEATHER),
        ("joined.sql", JOINED),
    ]);
    let document = document(STREAMS, folder.path());
    let plan = planned(&job(&document), runtime).plan;
    (folder, plan.expect("it is right"))
}

fn run(plan: &Plan) -> Vec<Progress> {
    let graph = plan.graph(1).unwrap_or_else(|error| panic!("{error}"));
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    let running = graph.start(&options).expect("it starts");
    running.wait().expect("it ends")
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

#[test]
fn streams_are_joined_and_counted() {
    let runtime = runtime();
    let (folder, plan) = streams(&runtime);
    run(&plan);
    let joined = fs::read_to_string(folder.path().join("joined.csv")).unwrap();
    let expected = "origin,delay,at,temp\nEWR,,2013-01-01T07:00:00Z,\nJFK,3,2013-01-01T05:00:00Z,20\nEWR,20,2013-01-01T05:30:00Z,30\nLGA,1,2013-01-01T06:00:00Z,";
    assert_eq!(lines(&joined), lines(expected));
    let hourly = fs::read_to_string(folder.path().join("hourly.csv")).unwrap();
    let expected = "hour,n,known\n2013-01-01T05:00:00Z,2,2\n2013-01-01T06:00:00Z,1,0\n2013-01-01T07:00:00Z,1,0";
    assert_eq!(lines(&hourly), lines(expected));
}

/// What another process reads back from the run directory, where the job's own files may have changed or gone.
#[test]
fn a_resolved_job_has_its_columns_and_queries() {
    let runtime = runtime();
    let (folder, plan) = streams(&runtime);
    let text = plan.job().to_toml();
    let again = job(&crate::document(&text, folder.path()));
    assert_eq!(&again, plan.job());
    let Origin::Files(flights) = &again.dataflow.sources[0].origin else {
        panic!("it is a file");
    };
    let columns = ["origin string", "delay int64", "at timestamp-utc"];
    let pinned = flights.schema.as_ref().expect("it is pinned");
    let pinned: Vec<_> = pinned
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    assert_eq!(pinned, columns);
    let sql = TransformKind::Sql(SqlText::Inline(JOINED.to_owned()));
    assert_eq!(again.dataflow.transforms[0].kind, sql);
    fs::write(folder.path().join("flights.csv"), "origin,delay\nEWR,1\n").unwrap();
    let problems = planned(&again, &runtime).problems;
    let said: Vec<_> = problems
        .iter()
        .map(|problem| problem.diagnostic.key.as_str())
        .collect();
    assert_eq!(said, ["sources.flights.schema"]);
}

/// An attempt of a run replaces what those before it have completed; another run is allowed to, or is refused.
#[test]
fn a_later_attempt_replaces_what_an_earlier_one_has_written() {
    let runtime = runtime();
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    let text = "name = 'job'\n[sources.flights]\npath = 'flights.csv'\n[sinks.out]\ninput = 'flights'\npath = 'out.jsonl'\n[sinks.parts]\ninput = 'flights'\npath = 'parts'\nformat = 'csv'\n";
    let job: Job = job(&document(text, folder.path()));
    let first = planned(&job, &runtime).plan.expect("it is right");
    run(&first);
    run(&first);
    let refused = planned(&job, &runtime).problems;
    assert_eq!(refused.len(), 2, "{refused:?}");
    let setting = Setting {
        replaces_output: true,
        ..Setting::new(runtime.handle().clone())
    };
    let again = runtime.block_on(plan(&job, setting));
    assert_eq!(again.problems, []);
    run(&again.plan.expect("it is right"));
    let rows = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 4);
    let parts: Vec<_> = fs::read_dir(folder.path().join("parts")).unwrap().collect();
    assert_eq!(parts.len(), 1);
}

#[test]
fn nobody_reads_columns_that_nobody_wants() {
    let runtime = runtime();
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    let text = "name = 'job'\n[sources.flights]\npath = 'flights.csv'\nnull_values = ['NA']\nevent_time = 'at'\nreplay = {}\n[transforms.t]\nsql = 'SELECT delay FROM flights'\n[sinks.out]\ninput = 't'\nto = 'blackhole'\n";
    let plan = planned(&job(&document(text, folder.path())), &runtime)
        .plan
        .expect("it is right");
    let source = plan.graph(1).unwrap().describe().swap_remove(0);
    let schema = source.schema.expect("a source has columns");
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["delay", "at"], "its time is needed too");
    assert_eq!(run(&plan)[0].rows_out, 4);
}
