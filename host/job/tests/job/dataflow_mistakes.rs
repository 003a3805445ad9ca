//! What a user reads for each kind of mistake in the dataflow.

use insta::assert_snapshot;

use crate::problems;

/// The problems of a source with these keys, in a job that is right otherwise.
fn source_problems(keys: &str) -> String {
    problems(&format!(
        "name = \"a\"\nsinks.out = {{ input = \"rows\", to = \"blackhole\" }}\n[sources.rows]\n{keys}"
    ))
}

/// The same of a transform.
fn transform_problems(keys: &str) -> String {
    problems(&format!(
        "name = \"a\"\nsources.rows.path = \"a.csv\"\nsinks.out = {{ input = \"made\", to = \"stdout\" }}\n[transforms.made]\n{keys}"
    ))
}

/// The same of a sink.
fn sink_problems(keys: &str) -> String {
    problems(&format!(
        "name = \"a\"\nsources.rows.path = \"a.csv\"\n[sinks.out]\n{keys}"
    ))
}

#[test]
fn a_dataflow_needs_no_roles() {
    let text = "name = \"a\"\nsources.rows.path = \"a.csv\"\nsinks.out = { input = \"rows\", to = \"stdout\" }\n";
    assert_eq!(problems(text), "");
    assert_eq!(problems(&format!("{text}[roles]\n")), "");
}

#[test]
fn rows_that_go_nowhere_are_refused() {
    let text = "name = \"a\"\n[sources.rows]\npath = \"a.csv\"\n[roles.a]\ncommand = [\"true\"]\n";
    assert_snapshot!(problems(text), @r"
job.toml:2:10: error[job/no-sinks]: the dataflow feeds neither a sink nor a role, so nothing would come of it (sources.rows); hint: add `[sinks.NAME]` with an `input`, or give a role an `input`
");
    assert_eq!(problems(&format!("{text}input = \"rows\"\n")), "");
    assert_eq!(problems(&format!("{text}[sinks]\n")), problems(text));
}

#[test]
fn sinks_that_would_lose_rows_of_others_are_refused() {
    let text = r#"
name = "a"
sources.rows.path = "data/rows.csv"
sources.some.path = "some/r*.csv"
sources.all.path = "all/"
[sinks]
one = { input = "rows", path = "out/a.csv" }
two = { input = "rows", path = "./out//a.csv", overwrite = true }
three = { input = "rows", path = "data/./rows.csv" }
four = { input = "rows", to = "stdout" }
five = { input = "rows", to = "stdout" }
six = { input = "rows", to = "blackhole" }
seven = { input = "rows", to = "blackhole" }
eight = { input = "some", path = "out/../some/rows.csv" }
nine = { input = "all", path = "all", format = "csv" }
ten = { input = "some", path = "some/others.csv" }
eleven = { input = "some", path = "some", format = "csv", overwrite = true }
"#;
    assert_snapshot!(problems(text), @r"
job.toml:8:32: error[job/conflict]: `sinks.one` writes there already (sinks.two.path); hint: give each sink a place of its own; `UNION ALL` in a transform makes one of both
job.toml:9:34: error[job/conflict]: `sources.rows` reads what this sink would write (sinks.three.path); hint: write into another file: what a job reads stays as it is
job.toml:11:31: error[job/conflict]: `sinks.four` writes there already (sinks.five.to); hint: give each sink a place of its own; `UNION ALL` in a transform makes one of both
job.toml:14:34: error[job/conflict]: `sources.some` reads what this sink would write (sinks.eight.path); hint: write into another file: what a job reads stays as it is
job.toml:15:32: error[job/conflict]: `sources.all` reads what this sink would write (sinks.nine.path); hint: write into another file: what a job reads stays as it is
");
}

#[test]
fn settings_of_the_dataflow_are_bounded() {
    let text = r#"
name = "a"
sources.rows.path = "a.csv"
sinks.out = { input = "rows", to = "stdout" }
[dataflow]
parallelism = 0
threads = 1025
memory = "1 MiB"
queue_rows = 16777217
queue_bytes = "1 B"
partitions = 2
"#;
    assert_snapshot!(problems(text), @r"
job.toml:6:15: error[job/out-of-range]: `parallelism` is 0 (dataflow.parallelism); hint: give a number from 1 to 1024
job.toml:7:11: error[job/out-of-range]: `threads` is 1025 (dataflow.threads); hint: give a number from 1 to 1024
job.toml:8:10: error[job/out-of-range]: `memory` is 1 MiB (dataflow.memory); hint: give 16 MiB or more
job.toml:9:14: error[job/out-of-range]: `queue_rows` is 16777217 (dataflow.queue_rows); hint: give a number from 1 to 16777216
job.toml:10:15: error[job/out-of-range]: `queue_bytes` is 1 B (dataflow.queue_bytes); hint: give 1 KiB or more
job.toml:11:1: error[job/unknown-key]: `partitions` is not a key of `[dataflow]` (dataflow.partitions); hint: did you mean `parallelism`?
");
}

#[test]
fn names_of_the_dataflow_are_checked_and_better_ones_offered() {
    let text = r#"
name = "a"
[sources."Flights 2013"]
path = "a.csv"
[sources.rows]
path = "a.csv"
[transforms.rows]
sql = "SELECT 1"
[sinks._out]
input = "rows"
to = "stdout"
[sinks.rows]
input = "rows"
to = "blackhole"
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:3:10: error[job/bad-name]: "Flights 2013" cannot name a source (sources."Flights 2013"); hint: use lower-case letters, digits, underscores and dashes, a letter first, at most 63 characters: `flights_2013`
job.toml:7:13: error[job/duplicate-key]: the transform `transforms.rows` has the name of the source `sources.rows` (transforms.rows); hint: rename one of them; sources, transforms and sinks share their names
job.toml:9:8: error[job/bad-name]: "_out" cannot name a sink (sinks._out); hint: use lower-case letters, digits, underscores and dashes, a letter first, at most 63 characters: `out`
job.toml:12:8: error[job/duplicate-key]: the sink `sinks.rows` has the name of the source `sources.rows` (sinks.rows); hint: rename one of them; sources, transforms and sinks share their names
"#);
    let twice = "name = \"a\"\n[sources.a]\npath = \"a\"\n[sources.a]\npath = \"b\"\n";
    assert_snapshot!(problems(twice), @r"
job.toml:4:10: error[job/duplicate-key]: two sources are named `a`, first in line 2 (sources.a); hint: rename one of them, or put both into one
");
}

#[test]
fn too_many_tables_are_refused() {
    let sources = |number| format!("[sources.s{number}]\npath = \"a.csv\"\n");
    let many: String = (0..=forebay_job::RELATIONS_MAX).map(sources).collect();
    let text = format!("name = \"a\"\n{many}[sinks.out]\ninput = \"s1\"\nto = \"stdout\"\n");
    assert_snapshot!(problems(&text), @r"
job.toml:514:10: error[job/out-of-range]: the job has 257 sources (sources.s256); hint: at most 256
");
}

#[test]
fn inputs_name_what_gives_rows() {
    let text = r#"
name = "a"
[sources.flights]
path = "a.csv"
[transforms.samples]
operator = "features.wasm"
input = "flihgts"
[transforms.more]
operator = "features.wasm"
[sinks.out]
input = "samples"
to = "stdout"
[sinks.other]
input = "out"
to = "blackhole"
[sinks.third]
to = "blackhole"
[roles.worker]
command = ["true"]
input = "everything"
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:7:9: error[job/unknown-input]: `input` is "flihgts", which names neither a source nor a transform (transforms.samples.input); hint: did you mean `flights`?
job.toml:8:13: error[job/missing-key]: the transform has no `input` (transforms.more); hint: add `input`, one of `flights`, `samples`
job.toml:14:9: error[job/unknown-input]: `input` is `out`, a sink, which gives no rows (sinks.other.input); hint: the sink takes the rows of `samples`; take them, too
job.toml:16:8: error[job/missing-key]: the sink has no `input` (sinks.third); hint: add `input`, one of `flights`, `samples`, `more`
job.toml:20:9: error[job/unknown-input]: `input` is "everything", which names neither a source nor a transform (roles.worker.input); hint: one of `flights`, `samples`, `more`
"#);
    let without = "name = \"a\"\nsinks.out = { input = \"rows\", to = \"stdout\" }\n";
    assert_snapshot!(problems(without), @r#"
job.toml:2:23: error[job/unknown-input]: `input` is "rows", which names neither a source nor a transform (sinks.out.input); hint: add `[sources.NAME]` with a `path`; the job has no sources yet
"#);
    let without = "name = \"a\"\nsinks.out = { to = \"stdout\" }\n";
    assert_snapshot!(problems(without), @r"
job.toml:2:13: error[job/missing-key]: the sink has no `input` (sinks.out); hint: add `input`, the name of a source or a transform
");
}

#[test]
fn operators_in_a_circle_are_refused() {
    let text = r#"
name = "a"
sinks.out = { input = "a", to = "stdout" }
[transforms.a]
operator = "a.wasm"
input = "b"
[transforms.b]
operator = "b.wasm"
input = "c"
[transforms.c]
operator = "c.wasm"
input = "a"
[transforms.d]
operator = "d.wasm"
input = "a"
[transforms.self]
operator = "d.wasm"
input = "self"
"#;
    assert_snapshot!(problems(text), @r"
job.toml:6:9: error[job/cycle]: the transform `a` is fed by `b`, which is fed by `c`, which is fed by `a` (transforms.a.input); hint: give one of the circle another `input`
job.toml:18:9: error[job/cycle]: the transform `self` is fed by `self` (transforms.self.input); hint: give one of the circle another `input`
");
}

#[test]
fn a_circle_of_all_transforms_is_refused() {
    let text = "name = \"a\"\nsinks.out = { input = \"a\", to = \"stdout\" }\ntransforms.a = { operator = \"a.wasm\", input = \"b\" }\ntransforms.b = { operator = \"a.wasm\", input = \"a\" }\n";
    assert_snapshot!(problems(text), @r"
job.toml:3:47: error[job/cycle]: the transform `a` is fed by `b`, which is fed by `a` (transforms.a.input); hint: give one of the circle another `input`
");
}

#[test]
fn a_source_has_one_origin() {
    assert_snapshot!(source_problems(""), @r#"
job.toml:3:10: error[job/missing-key]: the source has neither a `path` nor a `generate` (sources.rows); hint: add `path = "data/rows.csv"`, a file, a pattern, a folder or a URL
"#);
    assert_snapshot!(source_problems("path = \"\""), @r"
job.toml:4:8: error[job/bad-value]: `path` is empty (sources.rows.path); hint: fill it, or remove it
");
    assert_snapshot!(source_problems("path = \"a.csv\"\ngenerate = { columns = { id = { kind = \"sequence\" } } }"), @r"
job.toml:5:12: error[job/conflict]: `path` and `generate` exclude each other (sources.rows.generate); hint: keep `path` for files, or `generate` for rows that are made up
");
    let keys = r#"
generate = { columns = { id = { kind = "sequence" } } }
format = "csv"
compression = "gzip"
schema = { id = "int64" }
delimiter = ";"
header = true
malformed = "fail"
record_bytes = "1 MiB"
replay = {}
"#;
    assert_snapshot!(source_problems(keys), @r"
job.toml:6:10: error[job/conflict]: `format` is about files, and `generate` reads none (sources.rows.format); hint: remove `format`, or read files with `path`
job.toml:7:15: error[job/conflict]: `compression` is about files, and `generate` reads none (sources.rows.compression); hint: remove `compression`, or read files with `path`
job.toml:8:10: error[job/conflict]: `schema` is about files, and `generate` reads none (sources.rows.schema); hint: remove `schema`, or read files with `path`
job.toml:9:13: error[job/conflict]: `delimiter` is about files, and `generate` reads none (sources.rows.delimiter); hint: remove `delimiter`, or read files with `path`
job.toml:10:10: error[job/conflict]: `header` is about files, and `generate` reads none (sources.rows.header); hint: remove `header`, or read files with `path`
job.toml:11:13: error[job/conflict]: `malformed` is about files, and `generate` reads none (sources.rows.malformed); hint: remove `malformed`, or read files with `path`
job.toml:12:16: error[job/conflict]: `record_bytes` is about files, and `generate` reads none (sources.rows.record_bytes); hint: remove `record_bytes`, or read files with `path`
job.toml:13:10: error[job/conflict]: `replay` is about files, and `generate` reads none (sources.rows.replay); hint: remove it; `rate` in `generate` says how fast rows are made
");
}

#[test]
fn how_files_are_read_is_checked() {
    let keys = r#"
path = "a.csv"
format = "cvs"
compression = "lz4"
schema = { id = 1, name = "" }
delimiter = "::"
quote = "ü"
escape = ""
header = "yes"
null_values = "NA"
malformed = "skip"
record_bytes = "10 B"
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:6:10: error[job/bad-value]: "cvs" is not a format (sources.rows.format); hint: did you mean `csv`? one of `csv`, `jsonl`, `parquet`, `arrow`, `arrow-stream`
job.toml:7:15: error[job/bad-value]: "lz4" is not a compression (sources.rows.compression); hint: one of `none`, `gzip`, `zstd`
job.toml:8:17: error[job/wrong-type]: `id` wants a string, found an integer (sources.rows.schema.id); hint: give one string in quotes
job.toml:8:27: error[job/bad-value]: `name` is empty (sources.rows.schema.name); hint: fill it, or remove it
job.toml:9:13: error[job/bad-value]: `delimiter` is "::" (sources.rows.delimiter); hint: give one character of ASCII that is no line end
job.toml:10:9: error[job/bad-value]: `quote` is "ü" (sources.rows.quote); hint: give one character of ASCII that is no line end
job.toml:11:10: error[job/bad-value]: `escape` is empty (sources.rows.escape); hint: give one character of ASCII, or remove `escape`
job.toml:12:10: error[job/wrong-type]: `header` wants `true` or `false`, found a string (sources.rows.header); hint: write `header = true` or `header = false`
job.toml:13:15: error[job/wrong-type]: `null_values` wants a list of strings, found a string (sources.rows.null_values); hint: write `null_values = ["NA"]`
job.toml:14:13: error[job/bad-value]: "skip" is no way to deal with malformed rows (sources.rows.malformed); hint: write `malformed = "fail"`, or `malformed = { skip = 100 }`
job.toml:15:16: error[job/out-of-range]: `record_bytes` is 10 B (sources.rows.record_bytes); hint: give 1 KiB to 1 GiB
"#);
    let keys = "path = \"a.csv\"\nrecord_bytes = \"2 GiB\"\n";
    assert_snapshot!(source_problems(keys), @"job.toml:5:16: error[job/out-of-range]: `record_bytes` is 2 GiB (sources.rows.record_bytes); hint: give 1 KiB to 1 GiB");
    let keys = r#"
path = "a.csv"
schema = {}
delimiter = "|"
quote = "|"
escape = "|"
malformed = { skip = -1 }
null_values = [[]]
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:6:10: error[job/bad-value]: `schema` names no column (sources.rows.schema); hint: such as `schema = { id = "int64", name = "string" }`; or remove it
job.toml:8:9: error[job/conflict]: '|' is both the `delimiter` and the `quote` (sources.rows.quote); hint: choose another character for one of them
job.toml:9:10: error[job/conflict]: '|' is both the `delimiter` and the `escape` (sources.rows.escape); hint: choose another character for one of them
job.toml:10:22: error[job/out-of-range]: `skip` is -1 (sources.rows.malformed.skip); hint: give 0 or more
job.toml:11:16: error[job/wrong-type]: `null_values` wants strings, numbers or booleans, found an array (sources.rows.null_values)
"#);
    assert_snapshot!(source_problems("path = \"a.csv\"\nmalformed = {}\ndelimiter = '\"'"), @r#"
job.toml:5:1: error[job/missing-key]: `malformed` has no `skip` (sources.rows.malformed); hint: write `malformed = { skip = 100 }`, or `malformed = "fail"`
job.toml:6:13: error[job/conflict]: '"' is both the `delimiter` and the `quote` (sources.rows.delimiter); hint: choose another character for one of them
"#);
}

#[test]
fn keys_of_another_format_are_told_to_change_nothing() {
    let keys = r#"
path = "a.parquet"
format = "parquet"
compression = "gzip"
header = false
null_values = ["NA"]
record_bytes = "1 MiB"
"#;
    assert_snapshot!(source_problems(keys), @r"
job.toml:7:15: error[job/conflict]: files of the format `parquet` are not compressed as a whole (sources.rows.compression); hint: remove `compression`; such files are compressed inside
job.toml:8:10: warning[job/no-effect]: `header` changes nothing here: files of the format `parquet` have no such thing (sources.rows.header); hint: remove `header`
job.toml:9:15: warning[job/no-effect]: `null_values` changes nothing here: files of the format `parquet` have no such thing (sources.rows.null_values); hint: remove `null_values`
job.toml:10:16: warning[job/no-effect]: `record_bytes` changes nothing here: files of the format `parquet` are no text (sources.rows.record_bytes); hint: remove `record_bytes`
");
}

#[test]
fn how_a_source_runs_is_checked() {
    let keys = r#"
path = "a.csv"
parallelism = 0
batch_rows = 0
watermark = "soon"
idle_after = "0 s"
event_time = ""
replay = { speed = 0, start = "yesterday", pace = 1 }
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:6:15: error[job/out-of-range]: `parallelism` is 0 (sources.rows.parallelism); hint: give a number from 1 to 1024
job.toml:7:14: error[job/out-of-range]: `batch_rows` is 0 (sources.rows.batch_rows); hint: give a number from 1 to 1048576
job.toml:8:13: error[job/bad-value]: `watermark` is "soon", which is not a duration (sources.rows.watermark); hint: a whole number and a unit, such as "10 min" or "500 ms"
job.toml:9:14: error[job/out-of-range]: `idle_after` is 0 ms (sources.rows.idle_after); hint: give 1 ms to 365 days
job.toml:10:14: error[job/bad-value]: `event_time` is empty (sources.rows.event_time); hint: fill it, or remove it
job.toml:11:20: error[job/out-of-range]: `speed` is 0 (sources.rows.replay.speed); hint: give a number above 0
job.toml:11:31: error[job/bad-value]: `start`: the time "yesterday" is not a date and time (sources.rows.replay.start); hint: write it like "2013-01-31T06:00:00Z" or "2013-01-31T06:00:00-05:00"
job.toml:11:44: error[job/unknown-key]: `pace` is not a key of `[sources.rows.replay]` (sources.rows.replay.pace); hint: known keys: speed, start
"#);
    let keys = r#"
path = "a.csv"
watermark = "1 min"
idle_after = "1 min"
replay = { speed = "fast", start = "2013-01-01T00:00:00" }
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:6:13: error[job/missing-key]: `watermark` wants an `event_time`, and the source states none (sources.rows.watermark); hint: add `event_time = "COLUMN"`, a column of timestamps
job.toml:7:14: error[job/missing-key]: `idle_after` wants an `event_time`, and the source states none (sources.rows.idle_after); hint: add `event_time = "COLUMN"`, a column of timestamps
job.toml:8:10: error[job/missing-key]: `replay` wants an `event_time`, and the source states none (sources.rows.replay); hint: add `event_time = "COLUMN"`, a column of timestamps
job.toml:8:20: error[job/bad-value]: "fast" is not a speed (sources.rows.replay.speed); hint: write `speed = "max"`, or a number such as `speed = 60`, a minute in a second
job.toml:8:36: error[job/bad-value]: `start`: the time "2013-01-01T00:00:00" lacks its distance from UTC (sources.rows.replay.start); hint: write it like "2013-01-31T06:00:00Z" or "2013-01-31T06:00:00-05:00"
"#);
    let keys = r#"
path = "a.csv"
event_time = "tiem"
schema = { time = "timestamp", "b c" = "int64" }
replay = { speed = nan, start = 2013-01-01 }
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:6:14: error[job/bad-value]: `event_time` is "tiem", which is no column of `schema` (sources.rows.event_time); hint: did you mean `time`?
job.toml:8:20: error[job/out-of-range]: `speed` is NaN (sources.rows.replay.speed); hint: give a finite number
job.toml:8:33: error[job/bad-value]: `start`: the time "2013-01-01" lacks a date or a time (sources.rows.replay.start); hint: write it like "2013-01-31T06:00:00Z" or "2013-01-31T06:00:00-05:00"
"#);
}

#[test]
fn what_is_made_up_is_checked() {
    assert_snapshot!(source_problems("generate = {}"), @r#"
job.toml:4:1: error[job/missing-key]: `generate` makes no column (sources.rows.generate.columns); hint: such as `columns = { id = { kind = "sequence" } }`
"#);
    let keys = r#"
event_time = "time"
[sources.rows.generate]
rate = 0
rows = -1
seed = 1.5
[sources.rows.generate.columns]
a = { kind = "sequnce" }
b = {}
c = { kind = "sequence", least = 1 }
d = { kind = "integers", least = 2, most = 1 }
e = { kind = "integers", most = 1.5 }
f = { kind = "floats", least = 1, most = 1 }
g = { kind = "floats", least = -1e308, most = 1e308 }
h = { kind = "normal", mean = inf, deviation = -1 }
i = { kind = "choice", of = [] }
j = { kind = "choice" }
k = { kind = "booleans", share = 1.5, of = ["a"] }
l = { kind = "event-time", start = "2013-13-01T00:00:00Z", step = "0 s" }
m = 1
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:5:14: error[job/bad-value]: `event_time` is "time", which is no column of the kind `event-time` (sources.rows.event_time); hint: one of `l`
job.toml:7:8: error[job/out-of-range]: `rate` is 0 (sources.rows.generate.rate); hint: give a number above 0
job.toml:8:8: error[job/out-of-range]: `rows` is -1 (sources.rows.generate.rows); hint: give 0 or more
job.toml:9:8: error[job/wrong-type]: `seed` wants a whole number, found a float (sources.rows.generate.seed); hint: such as `seed = 1`
job.toml:11:14: error[job/bad-value]: "sequnce" is not a kind of values (sources.rows.generate.columns.a.kind); hint: did you mean `sequence`? one of `sequence`, `integers`, `floats`, `normal`, `choice`, `booleans`, `event-time`
job.toml:12:1: error[job/missing-key]: the column has no `kind` (sources.rows.generate.columns.b); hint: add `kind`, one of `sequence`, `integers`, `floats`, `normal`, `choice`, `booleans`, `event-time`
job.toml:13:34: error[job/conflict]: `least` does not belong to the kind `sequence` (sources.rows.generate.columns.c.least); hint: remove `least`; `sequence` takes nothing else
job.toml:14:34: error[job/conflict]: `least` is 2, above `most`, 1 (sources.rows.generate.columns.d.least); hint: swap them
job.toml:15:1: error[job/missing-key]: the column has no `least` (sources.rows.generate.columns.e); hint: add `least`, which this `kind` wants
job.toml:15:33: error[job/wrong-type]: `most` wants a whole number, found a float (sources.rows.generate.columns.e.most); hint: such as `most = 1`
job.toml:16:32: error[job/conflict]: `least` is 1, not below `most`, 1 (sources.rows.generate.columns.f.least); hint: give a `most` above `least`; it does not come itself
job.toml:17:32: error[job/conflict]: `least`, -1e308, and `most`, 1e308, are too far apart (sources.rows.generate.columns.g.least); hint: bring them together
job.toml:18:31: error[job/out-of-range]: `mean` is inf (sources.rows.generate.columns.h.mean); hint: give a finite number
job.toml:18:48: error[job/out-of-range]: `deviation` is -1 (sources.rows.generate.columns.h.deviation); hint: give 0 or more
job.toml:19:29: error[job/bad-value]: `of` is empty, so there is nothing to choose from (sources.rows.generate.columns.i.of); hint: such as `of = ["one", "two"]`
job.toml:20:1: error[job/missing-key]: the column has no `of` (sources.rows.generate.columns.j); hint: add `of`, which this `kind` wants
job.toml:21:34: error[job/out-of-range]: `share` is 1.5 (sources.rows.generate.columns.k.share); hint: give a number from 0 to 1
job.toml:21:44: error[job/conflict]: `of` does not belong to the kind `booleans` (sources.rows.generate.columns.k.of); hint: remove `of`; `booleans` takes `share`
job.toml:22:36: error[job/bad-value]: `start`: the time "2013-13-01T00:00:00Z" is not a date and time (sources.rows.generate.columns.l.start); hint: write it like "2013-01-31T06:00:00Z" or "2013-01-31T06:00:00-05:00"
job.toml:22:67: error[job/out-of-range]: `step` is 0 ms (sources.rows.generate.columns.l.step); hint: give 1 ms to 365 days
job.toml:23:5: error[job/wrong-type]: `m` wants a table, found an integer (sources.rows.generate.columns.m); hint: write `[sources.rows.generate.columns.m]`
"#);
    let keys = "generate = { columns = { id = { kind = \"sequence\" } } }\nevent_time = \"time\"";
    assert_snapshot!(source_problems(keys), @r#"
job.toml:5:14: error[job/bad-value]: `event_time` is "time", which is no column of the kind `event-time` (sources.rows.event_time); hint: add `time = { kind = "event-time" }` to `generate.columns`
"#);
}

#[test]
fn a_transform_is_a_query_or_a_component() {
    assert_snapshot!(transform_problems(""), @r#"
job.toml:4:13: error[job/missing-key]: the transform has neither `sql`, `sql_file` nor `operator` (transforms.made); hint: add `sql = "SELECT ..."`, or `operator = "component.wasm"`
"#);
    assert_snapshot!(transform_problems("sql = \" \""), @r"
job.toml:5:7: error[job/bad-value]: `sql` is empty (transforms.made.sql); hint: fill it, or remove it
");
    assert_snapshot!(transform_problems("sql = \"SELECT 1\"\nsql_file = \"a.sql\"\noperator = \"a.wasm\""), @r"
job.toml:6:12: error[job/conflict]: `sql` and `sql_file` exclude each other (transforms.made.sql_file); hint: keep one of them; another transform can go on from this one
job.toml:7:12: error[job/conflict]: `sql` and `operator` exclude each other (transforms.made.operator); hint: keep one of them; another transform can go on from this one
");
    assert_snapshot!(transform_problems("sql_file = \"../a.sql\"\ninput = \"rows\"\nconfig = {}\nkey = []"), @r#"
job.toml:5:12: error[job/bad-path]: `sql_file`: the path "../a.sql" leaves the folder of the job file (transforms.made.sql_file); hint: give a path inside the folder of the job file, relative to it
job.toml:6:9: error[job/conflict]: `input` belongs to an `operator`, and this is a query (transforms.made.input); hint: remove it; a query names what it reads after FROM and JOIN
job.toml:7:10: error[job/conflict]: `config` belongs to an `operator`, and this is a query (transforms.made.config); hint: remove `config`
job.toml:8:7: error[job/conflict]: `key` belongs to an `operator`, and this is a query (transforms.made.key); hint: remove `key`
"#);
    assert_snapshot!(transform_problems("operator = \"features\"\ninput = \"rows\"\nkey = [\"a\", \"b\", \"a\"]\nparallelism = 2000"), @r#"
job.toml:5:12: error[job/bad-path]: "features" is not the path of a component (transforms.made.operator); hint: give a path that ends in `.wasm` or has a `/` in it, relative to the job file
job.toml:7:7: error[job/conflict]: `key` names `a` twice (transforms.made.key); hint: name each column once
job.toml:8:15: error[job/out-of-range]: `parallelism` is 2000 (transforms.made.parallelism); hint: give a number from 1 to 1024
"#);
    assert_snapshot!(transform_problems("query = \"SELECT 1\"\nfrom = \"rows\"\nfile = \"a.sql\""), @r#"
job.toml:4:13: error[job/missing-key]: the transform has neither `sql`, `sql_file` nor `operator` (transforms.made); hint: add `sql = "SELECT ..."`, or `operator = "component.wasm"`
job.toml:5:1: error[job/unknown-key]: `query` is not a key of `[transforms.made]` (transforms.made.query); hint: did you mean `sql`?
job.toml:6:1: error[job/unknown-key]: `from` is not a key of `[transforms.made]` (transforms.made.from); hint: did you mean `input`?
job.toml:7:1: error[job/unknown-key]: `file` is not a key of `[transforms.made]` (transforms.made.file); hint: did you mean `sql_file`?
"#);
}

#[test]
fn what_json_does_not_have_is_refused() {
    let keys = r#"
operator = "../features.wasm"
input = "rows"
config.day = 2013-01-01
config.deep = [{ a = 1, b = [1, nan] }]
[[transforms.made.config.list]]
when = 10:00:00
"#;
    assert_snapshot!(transform_problems(keys), @r"
job.toml:8:14: error[job/wrong-type]: `day` holds a datetime, which JSON does not have (transforms.made.config.day); hint: write it as a string, in quotes
job.toml:9:33: error[job/out-of-range]: `b` holds NaN, which JSON does not have (transforms.made.config.deep.b); hint: write it as a string, in quotes
job.toml:11:8: error[job/wrong-type]: `when` holds a datetime, which JSON does not have (transforms.made.config.list.when); hint: write it as a string, in quotes
");
    assert_snapshot!(transform_problems("operator = \"a.wasm\"\ninput = \"rows\"\nconfig = \"a\""), @r"
job.toml:7:10: error[job/wrong-type]: `config` wants a table, found a string (transforms.made.config); hint: write `[transforms.made.config]`
");
}

#[test]
fn a_sink_has_one_target() {
    assert_snapshot!(sink_problems("input = \"rows\""), @r#"
job.toml:3:8: error[job/missing-key]: the sink has neither a `path` nor a `to` (sinks.out); hint: add `path = "out.parquet"`, or `to = "stdout"`
"#);
    assert_snapshot!(sink_problems("input = \"rows\"\npath = \"b.csv\"\nto = \"stdout\""), @r"
job.toml:6:6: error[job/conflict]: `path` and `to` exclude each other (sinks.out.to); hint: keep one of them; another sink can take the same rows
");
    assert_snapshot!(sink_problems("input = \"rows\"\nto = \"stduot\"\noverwrite = true"), @r#"
job.toml:5:6: error[job/bad-value]: "stduot" is not a place for rows (sinks.out.to); hint: did you mean `stdout`? one of `stdout`, `blackhole`
job.toml:6:13: error[job/conflict]: `overwrite` is about files, and `to` writes none (sinks.out.overwrite); hint: remove it, or write files with `path`
"#);
    assert_snapshot!(sink_problems("input = \"rows\"\npath = \"\"\nquote = \"\"\noverwrite = 1"), @r"
job.toml:5:8: error[job/bad-value]: `path` is empty (sinks.out.path); hint: fill it, or remove it
job.toml:6:9: error[job/bad-value]: `quote` is empty, so values with delimiters could not be written (sinks.out.quote); hint: give one character of ASCII, or remove `quote`
job.toml:7:13: error[job/wrong-type]: `overwrite` wants `true` or `false`, found an integer (sinks.out.overwrite); hint: write `overwrite = true` or `overwrite = false`
");
}

#[test]
fn how_rows_are_written_is_checked() {
    assert_snapshot!(sink_problems("input = \"rows\"\nto = \"stdout\"\nformat = \"parquet\""), @r"
job.toml:6:10: error[job/conflict]: standard output takes text, and `parquet` is none (sinks.out.format); hint: one of `csv`, `jsonl`
");
    assert_snapshot!(sink_problems("input = \"rows\"\nto = \"stdout\"\ndelimiter = \";\""), @r"
job.toml:6:13: warning[job/no-effect]: `delimiter` changes nothing here: standard output gets JSON lines unless `format` is `csv` (sinks.out.delimiter); hint: remove `delimiter`
");
    assert_snapshot!(sink_problems("input = \"rows\"\nto = \"blackhole\"\nformat = \"csv\"\nheader = true"), @r"
job.toml:6:10: warning[job/no-effect]: `format` changes nothing here: rows that are forgotten are not written (sinks.out.format); hint: remove `format`
job.toml:7:10: warning[job/no-effect]: `header` changes nothing here: rows that are forgotten are not written (sinks.out.header); hint: remove `header`
");
    assert_snapshot!(sink_problems("input = \"rows\"\npath = \"a\"\nformat = \"jsonl\"\nescape = \"a\"\nseparator = \";\""), @r"
job.toml:7:10: warning[job/no-effect]: `escape` changes nothing here: files of the format `jsonl` have no such thing (sinks.out.escape); hint: remove `escape`
job.toml:8:1: error[job/unknown-key]: `separator` is not a key of `[sinks.out]` (sinks.out.separator); hint: did you mean `delimiter`?
");
}

#[test]
fn words_of_other_systems_are_known() {
    let keys = r#"
file = "a.csv"
columns = { a = "int64" }
na_values = ["NA"]
rowtime = "a"
partitions = 2
type = "csv"
rate = 1
"#;
    assert_snapshot!(source_problems(keys), @r#"
job.toml:3:10: error[job/missing-key]: the source has neither a `path` nor a `generate` (sources.rows); hint: add `path = "data/rows.csv"`, a file, a pattern, a folder or a URL
job.toml:5:1: error[job/unknown-key]: `file` is not a key of `[sources.rows]` (sources.rows.file); hint: did you mean `path`?
job.toml:6:1: error[job/unknown-key]: `columns` is not a key of `[sources.rows]` (sources.rows.columns); hint: did you mean `schema`?
job.toml:7:1: error[job/unknown-key]: `na_values` is not a key of `[sources.rows]` (sources.rows.na_values); hint: did you mean `null_values`?
job.toml:8:1: error[job/unknown-key]: `rowtime` is not a key of `[sources.rows]` (sources.rows.rowtime); hint: did you mean `event_time`?
job.toml:9:1: error[job/unknown-key]: `partitions` is not a key of `[sources.rows]` (sources.rows.partitions); hint: did you mean `parallelism`?
job.toml:10:1: error[job/unknown-key]: `type` is not a key of `[sources.rows]` (sources.rows.type); hint: did you mean `format`?
job.toml:11:1: error[job/unknown-key]: `rate` is not a key of `[sources.rows]` (sources.rows.rate); hint: `rate` belongs in `[sources.NAME.generate]`
"#);
}

#[test]
fn tables_of_the_wrong_type_are_told_once() {
    let text = "name = \"a\"\nsources = 1\n[[transforms]]\nsql = \"a\"\n[sinks]\nout = 1\n";
    assert_snapshot!(problems(text), @r"
job.toml:2:11: error[job/wrong-type]: `sources` wants a table, found an integer (sources); hint: write `[sources]`
job.toml:3:3: error[job/wrong-type]: `transforms` wants a table, found an array of tables (transforms); hint: write `[transforms.NAME]` for each, in single brackets
job.toml:6:7: error[job/wrong-type]: `out` wants a table, found an integer (sinks.out); hint: write `[sinks.out]`
");
}
