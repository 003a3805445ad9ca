//! The builder goes through the same checks as a file.

use std::time::Duration;

use forebay_job::{
    AmBuilder, DataflowSettings, Dealing, FileFormat, FormatKind, Generate, Guarantee, JobBuilder,
    Replay, RoleBuilder, SinkBuilder, SourceBuilder, Tensor, TransformBuilder, Values,
};
use insta::assert_snapshot;

use crate::{lines, valid};

fn abc() -> JobBuilder {
    JobBuilder::new("abc")
        .base("/jobs")
        .property("colour", "blue")
        .add_am_role(AmBuilder::new().property("restarts", "3"))
        .add_role(
            RoleBuilder::new("a")
                .nodes(2)
                .command(["sh", "-c", "echo \"a\""]),
        )
        .add_role(
            RoleBuilder::new("b")
                .command(["true"])
                .environment("KEY", "value"),
        )
}

#[test]
fn it_prints_a_job_file() {
    assert_snapshot!(abc().to_toml(), @r#"
name = "abc"

[properties]
colour = "blue"

[am]

[am.properties]
restarts = "3"

[roles.a]
nodes = 2
command = ["sh", "-c", 'echo "a"']

[roles.b]
command = ["true"]

[roles.b.environment]
KEY = "value"
"#);
}

#[test]
fn what_it_prints_is_the_job_it_builds() {
    let job = abc().build().expect("it is valid");
    assert_eq!(valid(&abc().to_toml()), job);
    assert_eq!(valid(&job.to_toml()), job);
}

#[test]
fn its_mistakes_are_those_of_a_file() {
    let builder = JobBuilder::new("A B")
        .guarantee(Guarantee::ExactlyOnce)
        .add_role(
            RoleBuilder::new("a")
                .nodes(0)
                .script("a.py")
                .command(["true"]),
        )
        .add_role(RoleBuilder::new("b c").nodes_between(3, 2).files(["../*"]));
    assert_snapshot!(lines(&builder.build().expect_err("it is not valid")), @r#"
<builder>:1:8: error[job/bad-name]: "A B" cannot name a job (name); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters: `a-b`
<builder>:2:13: error[job/not-supported]: the guarantee `exactly-once` is not supported by this version (guarantee); hint: write `guarantee = "none"`: a failure then begins the job's input again
<builder>:5:9: error[job/out-of-range]: `nodes` is 0 (roles.a.nodes); hint: give a number from 1 to 10000
<builder>:7:11: error[job/conflict]: `script` and `command` exclude each other (roles.a.command); hint: `script` is run by the role's `python`; `command` is any other program
<builder>:9:8: error[job/bad-name]: "b c" cannot name a role (roles."b c"); hint: use lower-case letters, digits and dashes, a letter first, at most 63 characters: `b-c`
<builder>:9:8: error[job/missing-key]: the role has nothing to run (roles."b c"); hint: add `script = "train.py"` or `command = ["program", "argument"]`
<builder>:10:13: error[job/conflict]: `nodes_min` is 3, more than `nodes_max`, 2 (roles."b c".nodes_min); hint: `nodes` lies between the two bounds; it is 1 unless given
<builder>:12:9: error[job/bad-path]: `files`: the path "../*" leaves the folder of the job file (roles."b c".files); hint: give a path inside the folder of the job file, relative to it
"#);
}

fn flights() -> JobBuilder {
    let csv = FileFormat {
        null_values: vec!["NA".to_owned()],
        ..FileFormat::default()
    };
    let flights = SourceBuilder::new("flights")
        .path("flights.csv")
        .format(&csv)
        .schema([("time_hour", "timestamp-utc"), ("arr delay", "float64")])
        .skip_malformed(10)
        .event_time("time_hour")
        .watermark(Duration::from_hours(1))
        .replay(&Replay {
            speed: None,
            start: None,
        });
    let made = Generate {
        rate: Some(10.5),
        rows: None,
        seed: 3,
        columns: vec![("id".to_owned(), Values::Sequence)],
    };
    let samples = TransformBuilder::new("samples")
        .operator("features.wasm")
        .input("joined")
        .config(r#"{"buckets": 4096, "deep": {"a b": [1.5]}}"#)
        .key(["carrier"]);
    let jsonl = FileFormat {
        kind: Some(FormatKind::Jsonl),
        ..FileFormat::default()
    };
    JobBuilder::new("flights")
        .dataflow(&DataflowSettings {
            parallelism: 2,
            ..DataflowSettings::default()
        })
        .add_source(flights)
        .add_source(SourceBuilder::new("made").generate(&made))
        .add_transform(TransformBuilder::new("joined").sql("SELECT *\nFROM flights"))
        .add_transform(samples)
        .add_sink(
            SinkBuilder::new("out")
                .input("samples")
                .path("out")
                .format(&jsonl)
                .overwrite(),
        )
        .add_role(RoleBuilder::new("a").command(["true"]).input("samples"))
}

#[test]
fn it_prints_a_dataflow() {
    assert_snapshot!(flights().to_toml(), @r#"
name = "flights"

[dataflow]
parallelism = 2

[sources.flights]
path = "flights.csv"
null_values = ["NA"]
malformed = { skip = 10 }
event_time = "time_hour"
watermark = "1 hours"
replay = { speed = "max" }

[sources.flights.schema]
time_hour = "timestamp-utc"
"arr delay" = "float64"

[sources.made]

[sources.made.generate]
rate = 10.5
seed = 3

[sources.made.generate.columns]
id = { kind = "sequence" }

[transforms.joined]
sql = """
SELECT *
FROM flights"""

[transforms.samples]
operator = "features.wasm"
input = "joined"
config = { buckets = 4096, deep = { "a b" = [1.5] } }
key = ["carrier"]

[sinks.out]
input = "samples"
path = "out"
format = "jsonl"
overwrite = true

[roles.a]
command = ["true"]
input = "samples"
"#);
    let job = flights().base("/jobs").build().expect("it is valid");
    assert_eq!(valid(&job.to_toml()), job);
}

#[test]
fn it_prints_fed_roles() {
    let matrix = ["a", "b c"].map(str::to_owned).to_vec();
    let trainer = RoleBuilder::new("trainer")
        .command(["true"])
        .input("rows")
        .dealing(Dealing::Rounds {
            rows: 256,
            pad: Some("weight".to_owned()),
        })
        .passes(3)
        .tensors([
            ("features", Tensor::Matrix(matrix)),
            ("of all", Tensor::Column("late".to_owned())),
        ])
        .input_ring(64 << 20);
    let scorer = RoleBuilder::new("scorer")
        .command(["true"])
        .input("rows")
        .dealing(Dealing::Key {
            columns: vec!["carrier".to_owned()],
            rows: 10,
        })
        .output([("score", "float64"), ("arr delay", "int8")])
        .output_ring(16_385);
    let builder = JobBuilder::new("a")
        .base("/jobs")
        .add_source(SourceBuilder::new("rows").path("a.csv"))
        .add_sink(SinkBuilder::new("out").input("scorer").stdout())
        .add_role(trainer)
        .add_role(scorer);
    assert_snapshot!(builder.to_toml(), @r#"
name = "a"

[sources.rows]
path = "a.csv"

[sinks.out]
input = "scorer"
to = "stdout"

[roles.trainer]
command = ["true"]
input = "rows"
dealing = { rounds = 256, pad = "weight" }
passes = 3
input_ring = "64 MiB"

[roles.trainer.tensors]
features = ["a", "b c"]
"of all" = "late"

[roles.scorer]
command = ["true"]
input = "rows"
dealing = { key = ["carrier"], rows = 10 }
output_ring = "16385 B"

[roles.scorer.output]
score = "float64"
"arr delay" = "int8"
"#);
    let job = builder.build().expect("it is valid");
    assert_eq!(job.roles[1].feeding.output_ring_bytes, 20_480);
    assert_eq!(valid(&job.to_toml()), job);
}

#[test]
fn mistakes_in_its_dataflow_are_those_of_a_file() {
    let builder = flights()
        .add_source(SourceBuilder::new("made").path(""))
        .add_transform(
            TransformBuilder::new("t")
                .operator("a.wasm")
                .input("made")
                .config("{\"a\": null}"),
        );
    assert_snapshot!(lines(&builder.build().expect_err("it is not valid")), @r"
<builder>:27:10: error[job/duplicate-key]: two sources are named `made`, first in line 18 (sources.made); hint: rename one of them, or put both into one
");
    let builder = flights()
        .add_transform(
            TransformBuilder::new("t")
                .operator("a.wasm")
                .input("made")
                .config("{\"a\": null}"),
        )
        .add_sink(SinkBuilder::new("t").input("t").stdout().path("a"));
    assert_snapshot!(lines(&builder.build().expect_err("it is not valid")), @r"
<builder>:41:10: error[job/wrong-type]: `config` wants a table, found a string (transforms.t.config); hint: write `[transforms.t.config]`
<builder>:49:8: error[job/duplicate-key]: the sink `sinks.t` has the name of the transform `transforms.t` (sinks.t); hint: rename one of them; sources, transforms and sinks share their names
<builder>:51:6: error[job/conflict]: `path` and `to` exclude each other (sinks.t.to); hint: keep one of them; another sink can take the same rows
");
}

#[test]
fn two_roles_of_one_name_are_refused() {
    let twice = abc().add_role(RoleBuilder::new("a").command(["true"]));
    assert_snapshot!(lines(&twice.build().expect_err("two are named `a`")), @r"
<builder>:21:8: error[job/duplicate-key]: two roles are named `a`, first in line 11 (roles.a); hint: rename one of them, or put both into one
");
}
