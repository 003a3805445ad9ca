//! Every key of the job file is read, and survives `to_toml` and `job.json`.

use std::path::Path;
use std::time::Duration;

use forebay_job::{
    Compression, DataflowSettings, Dealing, Document, Feeding, FileFormat, FormatKind, Guarantee,
    OperatorUse, Origin, Program, Quote, Replay, Resources, SinkFiles, Source, SourceFiles,
    SourceTime, SqlText, Target, Tensor, Transform, TransformKind, Values,
};

use crate::valid;

/// Uses every key of the schema.
pub(crate) const EVERYTHING: &str = r#"
name = "all-keys"
framework = "ring"
guarantee = "none"

[am]
plugin = "machines/own.wasm"
properties = { restarts = 3 }

[properties]
rounds = 10
ratio = 0.5
fast = true

[limits]
place_within = "2 min"
stop_within = "45 s"
orphan_grace = "1 hour"
quarantine_grace = "2 hours"
agent_lost_after = "20 s"
restarts = 4

[dataflow]
parallelism = 3
threads = 8
memory = "512 MiB"
queue_rows = 1000
queue_bytes = "1 MiB"

[sources.flights]
path = "data/flights-*.csv.gz"
format = "csv"
compression = "gzip"
delimiter = ";"
quote = "'"
escape = "\\"
header = false
null_values = ["NA", ""]
malformed = { skip = 100 }
record_bytes = "64 KiB"
parallelism = 2
batch_rows = 500
event_time = "time_hour"
watermark = "1 hour"
idle_after = "5 s"
replay = { speed = 3600, start = 2013-01-31T06:00:00-05:00 }

[sources.flights.schema]
time_hour = "timestamp-utc"
carrier = "string"
"arr delay" = "Decimal128(10, 2)"

[sources.clicks]
event_time = "at"

[sources.clicks.generate]
rate = 1000
rows = 50000
seed = 7

[sources.clicks.generate.columns]
number = { kind = "sequence" }
dice = { kind = "integers", least = 1, most = 6 }
price = { kind = "floats", least = 0.5, most = 10 }
height = { kind = "normal", mean = 1.7, deviation = 0.1 }
page = { kind = "choice", of = ["home", "search"] }
paid = { kind = "booleans", share = 0.25 }
at = { kind = "event-time", start = "2024-01-01T00:00:00Z", step = "10 ms" }

[transforms.delayed]
sql = """
SELECT carrier, "arr delay"
FROM flights
WHERE "arr delay" > 15
"""

[transforms.daily]
sql_file = "queries/daily.sql"
parallelism = 1

[transforms.samples]
operator = "../features.wasm"
input = "delayed"
config = { buckets = 4096, rates = [0.1, 1e-7], names = { first = "a", "" = true } }
key = ["carrier"]
parallelism = 4

[sinks.archive]
input = "daily"
path = "out/daily/"
format = "csv"
delimiter = "\t"
quote = "'"
escape = "\\"
header = true
null_values = ["NA"]
overwrite = true
parallelism = 2

[sinks.screen]
input = "clicks"
to = "stdout"

[sinks.nothing]
input = "scorer"
to = "blackhole"

[roles.worker]
nodes = 2
nodes_min = 1
nodes_max = 4
plugin = "star"
properties = { backend = "shared" }
script = "src/train.py"
python = "envs/one/bin/python"
arguments = ["--steps", 100]
environment = { THREADS = 2 }
files = ["src/*.py", "data/**/*.csv"]
cores = 2
memory = "4 GiB"
gpus = 1
input = "samples"
dealing = { rounds = 256, pad = "weight" }
passes = 3
tensors = { features = ["dep delay", "distance"], label = "late" }
input_ring = "64 MiB"

[roles.worker.limits]
start_within = "5 min"
report_within = "90 s"
respond_within = "20 s"
attach_within = "7 s"
linger_within = "3 s"
stall_kill = "1 min"
stop_grace = "500 ms"
log_bytes = "1 MiB"

[roles.scorer]
command = ["score"]
input = "delayed"
dealing = { key = ["carrier", "origin"], rows = 500 }
output_ring = "1 MiB"

[roles.scorer.output]
score = "float64"
"arr delay" = "Decimal128(10, 2)"

[roles.reader]
command = ["read"]
input = "scorer"
dealing = { credit = 64 }

[roles.logger]
command = ["sh", "-c", "echo hello"]
"#;

#[test]
fn every_key_is_read() {
    let job = valid(EVERYTHING);
    assert_eq!(job.guarantee, Guarantee::None);
    assert_eq!(job.properties["ratio"], "0.5");
    assert_eq!(job.properties["fast"], "true");
    assert_eq!(job.manager.properties["restarts"], "3");
    assert_eq!(job.limits.orphan_grace, Duration::from_hours(1));
    assert_eq!(job.limits.quarantine_grace, Duration::from_hours(2));
    assert_eq!(job.limits.agent_lost_after, Duration::from_secs(20));
    assert_eq!(job.limits.restarts, 4);
    assert_eq!(job.base, Path::new("/jobs"));

    let worker = job.role("worker").expect("it is there");
    assert_eq!(
        (worker.nodes, worker.nodes_min, worker.nodes_max),
        (2, 1, 4)
    );
    assert_eq!(worker.plugin, "star");
    assert_eq!(worker.program, Program::Script("src/train.py".into()));
    assert_eq!(worker.arguments, ["--steps", "100"]);
    let resources = Resources {
        cores: Some(2),
        memory_bytes: Some(4 << 30),
        gpus: 1,
    };
    assert_eq!(worker.resources, resources);
    assert_eq!(worker.limits.stop_grace, Duration::from_millis(500));
    assert_eq!(worker.limits.log_bytes, 1 << 20);
}

#[test]
fn settings_of_the_dataflow_are_read() {
    let job = valid(EVERYTHING);
    let expected = DataflowSettings {
        parallelism: 3,
        threads: Some(8),
        memory_bytes: 512 << 20,
        queue_rows: 1000,
        queue_bytes: 1 << 20,
    };
    assert_eq!(job.dataflow.settings, expected);
    let worker = job.role("worker").expect("it is there");
    assert_eq!(worker.input.as_deref(), Some("samples"));
}

#[test]
fn every_key_of_a_fed_role_is_read() {
    let job = valid(EVERYTHING);
    let of = |name: &str| &job.role(name).expect("it is there").feeding;
    let text = str::to_owned;
    let expected = Feeding {
        dealing: Dealing::Rounds {
            rows: 256,
            pad: Some(text("weight")),
        },
        passes: 3,
        tensors: vec![
            (
                text("features"),
                Tensor::Matrix(vec![text("dep delay"), text("distance")]),
            ),
            (text("label"), Tensor::Column(text("late"))),
        ],
        input_ring_bytes: 64 << 20,
        ..Feeding::default()
    };
    assert_eq!(*of("worker"), expected);
    let expected = Feeding {
        dealing: Dealing::Key {
            columns: vec![text("carrier"), text("origin")],
            rows: 500,
        },
        output: vec![
            (text("score"), text("float64")),
            (text("arr delay"), text("Decimal128(10, 2)")),
        ],
        output_ring_bytes: 1 << 20,
        ..Feeding::default()
    };
    assert_eq!(*of("scorer"), expected);
    assert_eq!(of("reader").dealing, Dealing::Credit { rows: 64 });
    let answering = job.roles.iter().filter(|role| role.has_output());
    let answering: Vec<_> = answering.map(|role| role.name.as_str()).collect();
    assert_eq!(answering, ["scorer"]);
}

/// How a role of these keys is fed.
fn fed(keys: &str) -> Feeding {
    let text = format!(
        "name = \"a\"\nsources.rows.path = \"a.csv\"\n[roles.a]\ncommand = [\"a\"]\ninput = \"rows\"\n{keys}"
    );
    valid(&text).roles.remove(0).feeding
}

#[test]
fn defaults_of_a_fed_role() {
    let expected = Feeding {
        dealing: Dealing::Credit { rows: 1024 },
        passes: 1,
        tensors: Vec::new(),
        output: Vec::new(),
        input_ring_bytes: 16 << 20,
        output_ring_bytes: 4 << 20,
    };
    assert_eq!(fed(""), expected);
    assert_eq!(Feeding::default(), expected);
    let dealing = Dealing::Key {
        columns: vec!["carrier".to_owned()],
        rows: 1024,
    };
    assert_eq!(fed("dealing.key = \"carrier\"").dealing, dealing);
    let dealing = Dealing::Rounds { rows: 2, pad: None };
    assert_eq!(fed("dealing.rounds = 2").dealing, dealing);
}

#[test]
fn rings_are_whole_pages() {
    for (text, bytes) in [
        ("16 KiB", 16_384),
        ("16385 B", 20_480),
        ("1 MB", 1_003_520),
        ("4 GiB", 4 << 30),
    ] {
        let feeding = fed(&format!(
            "output.a = \"b\"\ninput_ring = \"{text}\"\noutput_ring = \"{text}\""
        ));
        assert_eq!(
            (feeding.input_ring_bytes, feeding.output_ring_bytes),
            (bytes, bytes),
            "{text}"
        );
    }
}

#[test]
fn a_job_of_before_is_read_with_the_defaults() {
    let mut job = valid(EVERYTHING);
    let mut json = serde_json::to_value(&job).expect("a job is JSON");
    for role in json["roles"].as_array_mut().expect("it is a list") {
        role.as_object_mut()
            .expect("it is a table")
            .remove("feeding");
    }
    for role in &mut job.roles {
        role.feeding = Feeding::default();
    }
    assert_eq!(
        serde_json::from_value::<forebay_job::Job>(json).expect("it is a job"),
        job
    );
}

#[test]
fn every_key_of_a_source_is_read() {
    let pair = |(name, kind): (&str, &str)| (name.to_owned(), kind.to_owned());
    let columns = [
        ("time_hour", "timestamp-utc"),
        ("carrier", "string"),
        ("arr delay", "Decimal128(10, 2)"),
    ];
    let files = SourceFiles {
        path: "data/flights-*.csv.gz".to_owned(),
        format: FileFormat {
            kind: Some(FormatKind::Csv),
            delimiter: Some(';'),
            quote: Quote::Character('\''),
            escape: Some('\\'),
            header: Some(false),
            null_values: vec!["NA".to_owned(), String::new()],
        },
        compression: Some(Compression::Gzip),
        schema: Some(columns.map(pair).to_vec()),
        skip_malformed: Some(100),
        record_bytes: 64 << 10,
    };
    let expected = Source {
        name: "flights".to_owned(),
        origin: Origin::Files(Box::new(files)),
        parallelism: 2,
        batch_rows: 500,
        event_time: Some(SourceTime {
            column: "time_hour".to_owned(),
            watermark: Duration::from_hours(1),
            idle_after: Some(Duration::from_secs(5)),
        }),
        replay: Some(Replay {
            speed: Some(3600.0),
            start: Some("2013-01-31T06:00:00-05:00".to_owned()),
        }),
    };
    assert_eq!(valid(EVERYTHING).dataflow.sources[0], expected);
}

#[test]
fn every_key_of_a_generator_is_read() {
    let job = valid(EVERYTHING);
    let Origin::Generator(made) = &job.dataflow.sources[1].origin else {
        panic!("it makes rows up");
    };
    assert_eq!(
        (made.rate, made.rows, made.seed),
        (Some(1000.0), Some(50_000), 7)
    );
    let (names, values): (Vec<_>, Vec<_>) = made.columns.iter().cloned().unzip();
    assert_eq!(
        names,
        ["number", "dice", "price", "height", "page", "paid", "at"]
    );
    let expected = [
        Values::Sequence,
        Values::Integers { least: 1, most: 6 },
        Values::Floats {
            least: 0.5,
            most: 10.0,
        },
        Values::Normal {
            mean: 1.7,
            deviation: 0.1,
        },
        Values::Choice {
            of: vec!["home".to_owned(), "search".to_owned()],
        },
        Values::Booleans { share: 0.25 },
        Values::EventTime {
            start: Some("2024-01-01T00:00:00Z".to_owned()),
            step: Some(Duration::from_millis(10)),
        },
    ];
    assert_eq!(values, expected);
}

#[test]
fn every_key_of_a_transform_is_read() {
    let query = "SELECT carrier, \"arr delay\"\nFROM flights\nWHERE \"arr delay\" > 15\n";
    let operator = OperatorUse {
        input: "delayed".to_owned(),
        component: "../features.wasm".into(),
        config: r#"{"buckets":4096,"names":{"":true,"first":"a"},"rates":[0.1,1e-7]}"#.to_owned(),
        key: vec!["carrier".to_owned()],
    };
    let transform = |name: &str, kind, parallelism| Transform {
        name: name.to_owned(),
        kind,
        parallelism,
    };
    let inline = TransformKind::Sql(SqlText::Inline(query.to_owned()));
    let file = TransformKind::Sql(SqlText::File("queries/daily.sql".into()));
    let expected = [
        transform("delayed", inline, 3),
        transform("daily", file, 1),
        transform("samples", TransformKind::Operator(Box::new(operator)), 4),
    ];
    assert_eq!(valid(EVERYTHING).dataflow.transforms, expected);
}

#[test]
fn every_key_of_a_sink_is_read() {
    let job = valid(EVERYTHING);
    let [archive, screen, nothing] = job.dataflow.sinks.as_slice() else {
        panic!("there are three");
    };
    let files = SinkFiles {
        path: "out/daily/".to_owned(),
        format: FileFormat {
            kind: Some(FormatKind::Csv),
            delimiter: Some('\t'),
            quote: Quote::Character('\''),
            escape: Some('\\'),
            header: Some(true),
            null_values: vec!["NA".to_owned()],
        },
        overwrite: true,
    };
    assert_eq!(archive.target, Target::Files(Box::new(files)));
    assert_eq!(
        (archive.input.as_str(), archive.parallelism),
        ("daily", Some(2))
    );
    assert_eq!(screen.target, Target::Stdout(FileFormat::default()));
    assert_eq!(
        (&nothing.target, nothing.parallelism),
        (&Target::Blackhole, None)
    );
}

#[test]
fn defaults_of_the_dataflow() {
    let job = valid(
        "name = \"a\"\n[sources.b]\npath = \"b.csv\"\n[sources.a]\npath = \"a.csv\"\n[sinks.c]\ninput = \"a\"\npath = \"c.csv\"\n",
    );
    let [first, second] = job.dataflow.sources.as_slice() else {
        panic!("there are two");
    };
    assert_eq!(
        (first.name.as_str(), second.name.as_str()),
        ("b", "a"),
        "the order of the file"
    );
    assert_eq!((first.parallelism, first.batch_rows), (1, 8192));
    assert_eq!((&first.event_time, &first.replay), (&None, &None));
    let Origin::Files(files) = &first.origin else {
        panic!("it reads files");
    };
    assert_eq!(files.format, FileFormat::default());
    assert_eq!(files.record_bytes, 16 << 20);
    assert_eq!(job.dataflow.settings, DataflowSettings::default());
    assert!(job.roles.is_empty());
}

#[test]
fn defaults_follow_from_the_rest() {
    let job = valid(
        "name = \"a\"\nframework = \"ring\"\n[roles.z]\nscript = \"[x]/train.py\"\n[roles.a]\n",
    );
    let names: Vec<_> = job.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["z", "a"], "the order of the file");
    assert_eq!(job.roles[0].files, ["[[]x[]]/*.py"]);
    assert_eq!(job.roles[0].plugin, "ring");
    assert_eq!((job.roles[0].nodes_min, job.roles[0].nodes_max), (1, 1));
    assert_eq!(job.roles[1].program, Program::Plugin);
    assert!(job.roles[1].files.is_empty());
}

#[test]
fn a_job_survives_toml_and_json() {
    let job = valid(EVERYTHING);
    assert_eq!(valid(&job.to_toml()), job);
    let json = serde_json::to_string(&job).expect("a job is JSON");
    assert_eq!(
        serde_json::from_str::<forebay_job::Job>(&json).expect("and back"),
        job
    );
}

#[test]
fn what_a_component_is_told_may_be_deep() {
    let job = |path: &str| {
        format!(
            "name = \"a\"\nsinks.out = {{ input = \"b\", to = \"stdout\" }}\nsources.a.path = \"a.csv\"\n[transforms.b]\noperator = \"b.wasm\"\ninput = \"a\"\n[transforms.b.config.{path}]\nend = 1\n"
        )
    };
    let mut parsed = 0;
    for depth in 1..130 {
        let text = job(&vec!["a"; depth].join("."));
        if let Ok((job, _)) = Document::parse(text, "job.toml", "/jobs")
            .check()
            .into_job()
        {
            assert_eq!(valid(&job.to_toml()), job, "{depth}");
            parsed = depth;
        }
    }
    assert!(parsed > 50, "{parsed}");
}
