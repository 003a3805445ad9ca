//! What `forebay check` says of a dataflow that cannot run: what, where, and a way out.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use forebay_test_support::{Output, Sandbox, forebay_binary};

use crate::command_line::snapshot;
use crate::dataflows::{FLIGHTS, folder_with, sink};

const STREAM: &str = r#"
[sources.flights]
path = "flights.csv"
event_time = "at"
replay = {}
"#;

/// It has the same columns.
const TABLE: &str = r#"
[sources.planes]
path = "flights.csv"
"#;

/// A job of these tables, with a stream `flights` and a table `planes`.
fn over_both(tables: &str) -> String {
    format!("{STREAM}{TABLE}{tables}")
}

#[track_caller]
fn checked(sandbox: &Sandbox, name: &str, code: i32) {
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(code);
    snapshot(sandbox, name, &output);
}

/// A source of each of these paths, with a sink of its own.
fn sources(paths: &[&str]) -> String {
    let numbered = (0..).zip(paths);
    let tables: Vec<String> = numbered
        .map(|(number, path)| {
            let sink = sink(
                &format!("out{number}"),
                &format!("s{number}"),
                "to = \"blackhole\"",
            );
            format!("[sources.s{number}]\npath = \"{path}\"\n{sink}")
        })
        .collect();
    tables.concat()
}

#[test]
fn sources_that_are_not_there_or_empty_or_folders() {
    let sandbox = Sandbox::new();
    let paths = [
        "absent.csv",
        "absent/*.csv",
        "empty.csv",
        "folder.csv",
        "nothing/",
        "flights.data",
        "flights.parquet",
    ];
    folder_with(&sandbox, &sources(&paths));
    for (name, content) in [
        ("empty.csv", ""),
        ("folder.csv/rows.csv", FLIGHTS),
        ("nothing/.hidden.csv", FLIGHTS),
        ("flights.data", FLIGHTS),
        ("flights.parquet", FLIGHTS),
    ] {
        sandbox.write(name, content);
    }
    checked(&sandbox, "dataflow_sources", 1);
}

/// Root may read and write everything, so another user checks the job: these files are closed to it.
#[track_caller]
fn checked_by_nobody(sandbox: &Sandbox, closed: &[(&str, u32)]) -> Output {
    let binary = fs::read(forebay_binary()).expect("it was built");
    let forebay = sandbox.write_program("forebay", binary);
    let set = |name: &str, mode| {
        let mode = Permissions::from_mode(mode);
        fs::set_permissions(sandbox.work().join(name), mode).expect("it is ours");
    };
    for (name, mode) in closed {
        set(name, *mode);
    }
    let check = sandbox.command(forebay).args(["check", "job.toml"]);
    check.through(&AS_NOBODY).run()
}

const AS_NOBODY: [&str; 8] = [
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--pdeathsig",
    "KILL",
];

#[test]
fn files_of_somebody_else() {
    let sandbox = Sandbox::new();
    let transforms = "[transforms.query]\nsql_file = \"secret.sql\"\n[transforms.mill]\noperator = \"secret.wasm\"\ninput = \"planes\"\n";
    let sinks = [
        sink("query-out", "query", "to = \"blackhole\""),
        sink("mill-out", "mill", "to = \"blackhole\""),
    ];
    let secrets = sources(&["secret.csv", "closed/", "closed/rows.csv"]);
    folder_with(
        &sandbox,
        &format!("{TABLE}{secrets}{transforms}{}", sinks.concat()),
    );
    let secret = ["secret.csv", "closed/rows.csv", "secret.sql", "secret.wasm"];
    for name in secret {
        sandbox.write(name, FLIGHTS);
    }
    let closed = [
        ("secret.csv", 0),
        ("closed", 0),
        ("secret.sql", 0),
        ("secret.wasm", 0),
    ];
    let output = checked_by_nobody(&sandbox, &closed);
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_not_permitted", &output);
}

#[test]
fn folders_of_somebody_else_for_sinks() {
    let sandbox = Sandbox::new();
    let sinks = [
        sink("file", "planes", "path = \"out/rows.csv\""),
        sink("folder", "planes", "path = \"out/\"\nformat = \"csv\""),
    ];
    folder_with(&sandbox, &format!("{TABLE}{}", sinks.concat()));
    let output = checked_by_nobody(&sandbox, &[("out", 0o555)]);
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_sink_not_permitted", &output);
}

#[test]
fn columns_that_are_not_those_of_the_files() {
    let sandbox = Sandbox::new();
    let source = |name: &str, keys: &str| {
        let sink = sink(&format!("{name}-out"), name, "to = \"blackhole\"");
        format!("[sources.{name}]\npath = \"flights.csv\"\n{keys}\n{sink}")
    };
    let job = [
        source(
            "no-type",
            "schema = { origin = \"text\", delay = \"int64\", at = \"timestamp\" }",
        ),
        source(
            "fewer",
            "schema = { origin = \"string\", delay = \"int64\" }",
        ),
        source(
            "other-name",
            "schema = { origin = \"string\", late = \"int64\", at = \"timestamp\" }",
        ),
        source("no-time", "event_time = \"ad\"\nreplay = {}"),
        source("no-timestamp", "event_time = \"delay\"\nreplay = {}"),
    ];
    folder_with(&sandbox, &job.concat());
    checked(&sandbox, "dataflow_columns", 1);
}

/// Each query has one mistake.
const QUERIES: [(&str, &str); 10] = [
    ("no-sql", "SELECT origin\nFORM flights"),
    ("column", "SELECT origin,\n  dealy FROM flights"),
    ("relation", "SELECT *\nFROM flihgts"),
    (
        "type",
        "SELECT origin FROM flights\nWHERE delay > 1 AND NOT origin",
    ),
    (
        "ambiguous",
        "SELECT f.origin, at\nFROM flights f JOIN planes p ON f.origin = p.origin",
    ),
    (
        "groups",
        "SELECT origin, count(*) AS n\nFROM flights GROUP BY origin",
    ),
    (
        "join",
        "SELECT a.origin\nFROM flights a JOIN flights b ON a.origin = b.origin",
    ),
    ("order", "SELECT origin\nFROM flights ORDER BY origin"),
    ("function", "SELECT lenght(origin)\nFROM flights"),
    ("statement", "DELETE\nFROM flights"),
];

/// A job whose transforms take their query by this line.
fn queries(by: impl Fn(&str, &str) -> String) -> String {
    let transforms = QUERIES.iter().map(|(name, sql)| {
        let sink = sink(&format!("{name}-out"), name, "to = \"blackhole\"");
        format!("[transforms.{name}]\n{}\n{sink}", by(name, sql))
    });
    over_both(&transforms.collect::<String>())
}

#[test]
fn mistakes_in_sql_of_the_job_file() {
    let sandbox = Sandbox::new();
    let job = queries(|_, sql| format!("sql = '''\n{sql}'''"));
    folder_with(&sandbox, &job);
    checked(&sandbox, "dataflow_sql", 1);
}

/// Columns are those of the file, not those of the text.
#[test]
fn mistakes_in_sql_with_escapes() {
    let sandbox = Sandbox::new();
    let sql = r#"sql = "SELECT \"origin\", '\u00e9\t' AS e, dealy FROM flights""#;
    let continued = "sql = \"\"\"\\\n  SELECT origin, \\\n    dealy FROM flights\"\"\"";
    let job = format!(
        "{STREAM}[transforms.escaped]\n{sql}\n[transforms.continued]\n{continued}\n{}{}",
        sink("a", "escaped", "to = \"blackhole\""),
        sink("b", "continued", "to = \"blackhole\"")
    );
    folder_with(&sandbox, &job);
    checked(&sandbox, "dataflow_sql_escapes", 1);
}

#[test]
fn mistakes_in_sql_of_files() {
    let sandbox = Sandbox::new();
    let job = queries(|name, _| format!("sql_file = \"sql/{name}.sql\""));
    let absent = "[transforms.absent]\nsql_file = \"sql/absent.sql\"\n";
    folder_with(&sandbox, &(job + absent));
    for (name, sql) in QUERIES {
        sandbox.write(format!("sql/{name}.sql"), sql);
    }
    checked(&sandbox, "dataflow_sql_files", 1);
}

#[test]
fn transforms_that_read_each_other() {
    let sandbox = Sandbox::new();
    let job = "[transforms.a]\nsql = 'SELECT * FROM c'\n[transforms.b]\nsql = 'SELECT * FROM a'\n[transforms.c]\nsql = 'SELECT b.* FROM b JOIN planes ON b.origin = planes.origin'\n";
    let sink = sink("out", "c", "to = \"blackhole\"");
    folder_with(&sandbox, &over_both(&format!("{job}{sink}")));
    checked(&sandbox, "dataflow_cycle", 1);
}

#[test]
fn inputs_that_are_none() {
    let sandbox = Sandbox::new();
    let job = [
        sink("typo", "flihgts", "to = \"blackhole\""),
        sink("sink", "typo", "to = \"blackhole\""),
        "[transforms.mill]\noperator = \"mill.wasm\"\ninput = \"plains\"\n".to_owned(),
    ];
    folder_with(&sandbox, &over_both(&job.concat()));
    checked(&sandbox, "dataflow_unknown_inputs", 1);
}

#[test]
fn what_nobody_reads_is_a_warning() {
    let sandbox = Sandbox::new();
    let job = "[transforms.idle]\nsql = \"SELECT * FROM flights\"\n";
    let sink = sink("out", "planes", "to = \"blackhole\"");
    folder_with(&sandbox, &over_both(&format!("{job}{sink}")));
    checked(&sandbox, "dataflow_unused", 0);
}

#[test]
fn roles_that_cannot_be_fed_so() {
    let sandbox = Sandbox::new();
    let role = |name: &str, keys: &str| {
        format!("[roles.{name}]\ncommand = [\"true\"]\ninput = \"planes\"\n{keys}\n")
    };
    let roles = [
        role("views", "tensors = { features = [\"dely\", \"origin\"] }"),
        role("texts", "tensors = { features = [\"origin\"] }"),
        role("dealt", "dealing = { key = \"orign\" }"),
        role("padded", "dealing = { rounds = 8, pad = \"origin\" }"),
        role("typed", "output = { score = \"number\" }"),
        role("taken", "output = { delay = \"float64\" }"),
    ];
    folder_with(&sandbox, &format!("{TABLE}{}", roles.concat()));
    checked(&sandbox, "dataflow_roles_not_so", 1);
}

#[test]
fn sinks_that_would_replace_something_or_have_no_place() {
    let sandbox = Sandbox::new();
    let job = [
        sink("file", "planes", "path = \"old.csv\""),
        sink("folder", "planes", "path = \"old\"\nformat = \"csv\""),
        sink(
            "one-task",
            "planes",
            "path = \"older/\"\nformat = \"csv\"\nparallelism = 1",
        ),
        sink("in-a-file", "planes", "path = \"old.csv/out.csv\""),
        sink("no-format", "planes", "path = \"out/rows\""),
        sink("compressed", "planes", "path = \"out/rows.csv.gz\""),
    ];
    folder_with(&sandbox, &format!("{TABLE}{}", job.concat()));
    for file in ["old.csv", "old/part-00000.csv", "older/part-00000.csv"] {
        sandbox.write(file, "n\n1\n");
    }
    checked(&sandbox, "dataflow_sinks", 1);
}

/// Root may write into every folder, but not where nobody can.
#[test]
fn a_sink_on_a_disk_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    let job = [
        sink("file", "planes", "path = \"out/rows.csv\""),
        sink("folder", "planes", "path = \"out/\"\nformat = \"csv\""),
    ];
    folder_with(&sandbox, &format!("{TABLE}{}", job.concat()));
    let read_only = "mount --bind out out && mount -o remount,ro,bind out && exec \"$@\"";
    let output = sandbox
        .forebay(["check", "job.toml"])
        .through(&["unshare", "--mount", "sh", "-c", read_only, "sh"])
        .run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_sink_read_only", &output);
}

#[test]
fn a_dataflow_with_mistakes_is_not_run() {
    let sandbox = Sandbox::new();
    folder_with(&sandbox, &sources(&["absent.csv"]));
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_not_run", &output);
    assert!(sandbox.runs().is_empty(), "{output}");
}

#[test]
fn a_mistake_hides_only_what_depends_on_it() {
    let sandbox = Sandbox::new();
    let tables = r#"
[sources.mistyped]
path = "flights.csv"
delimeter = ";"

[sources.absent]
path = "absent.csv"

[transforms.hidden]
sql = "SELECT nothing FROM mistyped"

[transforms.without]
sql = "SELECT nothing FROM absent"

[transforms.to]
sql = "SELECT * FROM fro"

[transforms.fro]
sql = "SELECT * FROM to"

[transforms.wrong]
sql = "SELECT tail FROM planes"

[transforms.worse]
sql = "SELECT nothing FROM planes"
paralelism = 2

[transforms.after-worse]
sql = "SELECT nothing FROM worse"

[sinks.unfed]
input = "wrongg"
path = "flights.csv/rows.csv"

[sinks.misspelt]
input = "wrong"
path = "flights.csv/rows.csv"
overwrit = true
"#;
    let fed = ["hidden", "without", "to", "worse", "after-worse"].map(|name| {
        let path = format!("path = \"flights.csv/{name}.csv\"");
        sink(&format!("{name}_rows"), name, &path)
    });
    folder_with(&sandbox, &format!("{TABLE}{tables}{}", fed.concat()));
    checked(&sandbox, "dataflow_hides_nothing", 1);
}

#[test]
fn texts_that_a_query_takes_for_numbers() {
    let sandbox = Sandbox::new();
    let rows = r#"
[sources.texts]
path = "texts.csv"

[transforms.late]
sql = """
SELECT origin
FROM texts AS t
WHERE t.delay > 15"""
"#;
    let sink = sink("out", "late", "path = \"out/late.csv\"");
    folder_with(&sandbox, &format!("{rows}{sink}"));
    sandbox.write("texts.csv", "origin,delay\nEWR,2\nJFK,NA\n");
    checked(&sandbox, "dataflow_implicit_cast", 0);
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "dataflow_implicit_cast_run", &output);
}
