//! What a user reads for each kind of mistake in how a role is fed, and in what it answers.

use insta::assert_snapshot;

use crate::problems;

/// The problems of a role with these keys, in a job that is right otherwise.
fn role_problems(keys: &str) -> String {
    problems(&format!(
        "name = \"a\"\nsources.rows.path = \"a.csv\"\n[roles.a]\ncommand = [\"true\"]\n{keys}"
    ))
}

/// The same of a role that is fed.
fn fed_problems(keys: &str) -> String {
    role_problems(&format!("input = \"rows\"\n{keys}"))
}

#[test]
fn without_an_input_nothing_is_fed() {
    let keys = r#"
dealing = { rounds = 2 }
passes = 2
tensors = { a = "a" }
output = { score = "float64" }
input_ring = "1 MiB"
output_ring = "1 MiB"
[sinks.out]
input = "rows"
to = "blackhole"
"#;
    assert_snapshot!(role_problems(keys), @r#"
job.toml:6:11: error[job/missing-key]: `dealing` wants an `input`, and the role has none (roles.a.dealing); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
job.toml:7:10: error[job/missing-key]: `passes` wants an `input`, and the role has none (roles.a.passes); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
job.toml:7:10: error[job/conflict]: `passes` is 2, but a role with an `output` takes every row once (roles.a.passes); hint: remove `passes`, or `output`; another role can take the same input
job.toml:8:11: error[job/missing-key]: `tensors` wants an `input`, and the role has none (roles.a.tensors); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
job.toml:9:10: error[job/missing-key]: `output` wants an `input`, and the role has none (roles.a.output); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
job.toml:10:14: error[job/missing-key]: `input_ring` wants an `input`, and the role has none (roles.a.input_ring); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
job.toml:11:15: error[job/missing-key]: `output_ring` wants an `input`, and the role has none (roles.a.output_ring); hint: add `input = "NAME"`, a source, a transform or a role with an `output`
"#);
}

#[test]
fn rows_are_dealt_in_one_way() {
    assert_snapshot!(fed_problems("dealing = {}"), @r"
job.toml:6:1: error[job/missing-key]: `dealing` has neither `rounds`, `key` nor `credit` (roles.a.dealing); hint: such as `dealing = { rounds = 256 }`, batches of so many rows
");
    assert_snapshot!(fed_problems("dealing = 256"), @r"
job.toml:6:11: error[job/wrong-type]: `dealing` wants a table, found an integer (roles.a.dealing); hint: write `[roles.a.dealing]`
");
    assert_snapshot!(fed_problems("dealing = { pad = \"weight\", rows = 2 }"), @r"
job.toml:6:1: error[job/missing-key]: `dealing` has neither `rounds`, `key` nor `credit` (roles.a.dealing); hint: such as `dealing = { rounds = 256 }`, batches of so many rows
");
    assert_snapshot!(fed_problems("dealing = { credit = 1, rounds = 2, key = \"a\" }"), @r"
job.toml:6:22: error[job/conflict]: `rounds` and `credit` exclude each other (roles.a.dealing.credit); hint: keep one of them: rows are dealt in one way
job.toml:6:43: error[job/conflict]: `rounds` and `key` exclude each other (roles.a.dealing.key); hint: keep one of them: rows are dealt in one way
");
    assert_snapshot!(fed_problems("dealing = { credit = 1, rows = 2, pad = \"weight\" }"), @r"
job.toml:6:32: error[job/conflict]: `rows` belongs to `key`, and this is `credit` (roles.a.dealing.rows); hint: remove `rows`; `credit` itself says how many rows a batch has
job.toml:6:41: error[job/conflict]: `pad` belongs to `rounds`, and this is `credit` (roles.a.dealing.pad); hint: remove `pad`
");
    assert_snapshot!(fed_problems("dealing = { rounds = 1, rows = 2 }"), @r"
job.toml:6:32: error[job/conflict]: `rows` belongs to `key`, and this is `rounds` (roles.a.dealing.rows); hint: remove `rows`; `rounds` itself says how many rows a batch has
");
    assert_snapshot!(fed_problems("dealing = { key = \"a\", pad = \"weight\" }"), @r"
job.toml:6:30: error[job/conflict]: `pad` belongs to `rounds`, and this is `key` (roles.a.dealing.pad); hint: remove `pad`
");
}

#[test]
fn what_is_dealt_is_bounded() {
    assert_snapshot!(fed_problems("dealing = { rounds = 0, pad = \" \" }"), @r"
job.toml:6:22: error[job/out-of-range]: `rounds` is 0 (roles.a.dealing.rounds); hint: give a number from 1 to 1048576
job.toml:6:31: error[job/bad-value]: `pad` is empty (roles.a.dealing.pad); hint: fill it, or remove it
");
    assert_snapshot!(fed_problems("dealing = { key = [], rows = 1048577 }"), @r#"
job.toml:6:19: error[job/bad-value]: `key` names no column (roles.a.dealing.key); hint: such as `key = "one"` or `key = ["one", "two"]`
job.toml:6:30: error[job/out-of-range]: `rows` is 1048577 (roles.a.dealing.rows); hint: give a number from 1 to 1048576
"#);
    assert_snapshot!(fed_problems("dealing = { credit = \"much\" }"), @r"
job.toml:6:22: error[job/wrong-type]: `credit` wants a whole number, found a string (roles.a.dealing.credit); hint: such as `credit = 1`
");
    assert_snapshot!(fed_problems("dealing = { key = 3 }"), @r#"
job.toml:6:19: error[job/wrong-type]: `key` wants a column or a list of columns, found an integer (roles.a.dealing.key); hint: such as `key = "one"` or `key = ["one", "two"]`
"#);
    assert_snapshot!(fed_problems("dealing = { key = \"\" }"), @r"
job.toml:6:19: error[job/bad-value]: `key` is empty (roles.a.dealing.key); hint: fill it, or remove it
");
    assert_snapshot!(fed_problems("dealing = { key = [\"a\", \"\"] }"), @r#"
job.toml:6:19: error[job/bad-value]: `key` names a column that is empty (roles.a.dealing.key); hint: such as `key = "one"` or `key = ["one", "two"]`
"#);
    assert_snapshot!(fed_problems("dealing = { key = [\"a\", \"b\", \"a\"] }"), @r"
job.toml:6:19: error[job/conflict]: `key` names `a` twice (roles.a.dealing.key); hint: name each column once
");
}

#[test]
fn passes_are_bounded() {
    assert_snapshot!(fed_problems("passes = 0"), @r"
job.toml:6:10: error[job/out-of-range]: `passes` is 0 (roles.a.passes); hint: give a number from 1 to 100000
");
    assert_snapshot!(fed_problems("passes = 100001"), @r"
job.toml:6:10: error[job/out-of-range]: `passes` is 100001 (roles.a.passes); hint: give a number from 1 to 100000
");
    assert_snapshot!(fed_problems("passes = 2\noutput = { score = \"float64\" }"), @r"
job.toml:6:10: error[job/conflict]: `passes` is 2, but a role with an `output` takes every row once (roles.a.passes); hint: remove `passes`, or `output`; another role can take the same input
");
    assert_eq!(
        fed_problems("passes = 1\noutput = { score = \"float64\" }"),
        ""
    );
}

#[test]
fn tensors_are_columns() {
    assert_snapshot!(fed_problems("tensors = {}"), @r#"
job.toml:6:11: error[job/bad-value]: `tensors` names no tensor (roles.a.tensors); hint: such as `tensors = { features = ["a", "b"], id = "id" }`; or remove it
"#);
    assert_snapshot!(fed_problems("tensors = [\"a\"]"), @r"
job.toml:6:11: error[job/wrong-type]: `tensors` wants a table, found an array (roles.a.tensors); hint: write `[roles.a.tensors]`
");
    assert_snapshot!(fed_problems("tensors = { \"\" = \"a\", b = [], c = \"\", d = 3, e = [\"x\", \"\"], f = { a = 1 } }"), @r#"
job.toml:6:13: error[job/bad-name]: a tensor has an empty name (roles.a.tensors.""); hint: name it as nodes will ask for it
job.toml:6:27: error[job/bad-value]: `b` names no column (roles.a.tensors.b); hint: such as `b = "one"` or `b = ["one", "two"]`
job.toml:6:35: error[job/bad-value]: `c` is empty (roles.a.tensors.c); hint: fill it, or remove it
job.toml:6:43: error[job/wrong-type]: `d` wants a column or a list of columns, found an integer (roles.a.tensors.d); hint: such as `d = "one"` or `d = ["one", "two"]`
job.toml:6:50: error[job/bad-value]: `e` names a column that is empty (roles.a.tensors.e); hint: such as `e = "one"` or `e = ["one", "two"]`
job.toml:6:65: error[job/wrong-type]: `f` wants a column or a list of columns, found an inline table (roles.a.tensors.f); hint: such as `f = "one"` or `f = ["one", "two"]`
"#);
    assert_eq!(
        fed_problems("tensors = { \"of all\" = [\"a b\", \"ü\"] }"),
        ""
    );
}

#[test]
fn outputs_have_types() {
    assert_snapshot!(fed_problems("output = {}"), @r#"
job.toml:6:10: error[job/bad-value]: `output` names no column (roles.a.output); hint: such as `output = { id = "int64", name = "string" }`; or remove it
"#);
    assert_snapshot!(fed_problems("output = [\"score\"]"), @r"
job.toml:6:10: error[job/wrong-type]: `output` wants a table, found an array (roles.a.output); hint: write `[roles.a.output]`
");
    assert_snapshot!(fed_problems("output = { score = 1, late = \"\" }"), @r"
job.toml:6:20: error[job/wrong-type]: `score` wants a string, found an integer (roles.a.output.score); hint: give one string in quotes
job.toml:6:30: error[job/bad-value]: `late` is empty (roles.a.output.late); hint: fill it, or remove it
");
}

#[test]
fn rings_are_bounded() {
    assert_snapshot!(fed_problems("input_ring = \"16383 B\"\noutput_ring = \"5 GiB\"\noutput.score = \"float64\""), @r"
job.toml:6:14: error[job/out-of-range]: `input_ring` is 16383 B (roles.a.input_ring); hint: give 16 KiB to 4 GiB
job.toml:7:15: error[job/out-of-range]: `output_ring` is 5 GiB (roles.a.output_ring); hint: give 16 KiB to 4 GiB
");
    assert_snapshot!(fed_problems("input_ring = 4096"), @r#"
job.toml:6:14: error[job/wrong-type]: `input_ring` wants a size in quotes, found an integer (roles.a.input_ring); hint: a whole number and a unit, such as "512 MiB" or "2 GB"
"#);
    assert_snapshot!(fed_problems("output_ring = \"1 MiB\""), @r"
job.toml:6:15: warning[job/no-effect]: `output_ring` changes nothing here: the role has no `output` (roles.a.output_ring); hint: remove `output_ring`
");
}

#[test]
fn words_of_other_systems_are_understood() {
    let keys = r#"
batch_size = 32
epochs = 3
features = ["a"]
outputs = { score = "float64" }
rounds = 2
key = "carrier"
[roles.b]
command = ["true"]
input = "rows"
dealing = { batch_size = 2, partition_by = "carrier", padding = "weight", creditt = 1 }
"#;
    assert_snapshot!(fed_problems(keys), @r"
job.toml:7:1: error[job/unknown-key]: `batch_size` is not a key of `[roles.a]` (roles.a.batch_size); hint: did you mean `dealing`?
job.toml:8:1: error[job/unknown-key]: `epochs` is not a key of `[roles.a]` (roles.a.epochs); hint: did you mean `passes`?
job.toml:9:1: error[job/unknown-key]: `features` is not a key of `[roles.a]` (roles.a.features); hint: did you mean `tensors`?
job.toml:10:1: error[job/unknown-key]: `outputs` is not a key of `[roles.a]` (roles.a.outputs); hint: did you mean `output`?
job.toml:11:1: error[job/unknown-key]: `rounds` is not a key of `[roles.a]` (roles.a.rounds); hint: `rounds` belongs in `[roles.NAME.dealing]`
job.toml:12:1: error[job/unknown-key]: `key` is not a key of `[roles.a]` (roles.a.key); hint: `key` belongs in `[roles.NAME.dealing]`
job.toml:16:1: error[job/missing-key]: `dealing` has neither `rounds`, `key` nor `credit` (roles.b.dealing); hint: such as `dealing = { rounds = 256 }`, batches of so many rows
job.toml:16:13: error[job/unknown-key]: `batch_size` is not a key of `[roles.b.dealing]` (roles.b.dealing.batch_size); hint: did you mean `rounds`?
job.toml:16:29: error[job/unknown-key]: `partition_by` is not a key of `[roles.b.dealing]` (roles.b.dealing.partition_by); hint: did you mean `key`?
job.toml:16:55: error[job/unknown-key]: `padding` is not a key of `[roles.b.dealing]` (roles.b.dealing.padding); hint: did you mean `pad`?
job.toml:16:75: error[job/unknown-key]: `creditt` is not a key of `[roles.b.dealing]` (roles.b.dealing.creditt); hint: did you mean `credit`?
");
}

#[test]
fn roles_with_an_output_give_rows() {
    let text = r#"
name = "a"
sources.rows.path = "a.csv"
[transforms.better]
operator = "better.wasm"
input = "scorer"
[roles.scorer]
command = ["true"]
input = "rows"
output = { score = "float64" }
[roles.reader]
command = ["true"]
input = "scorer"
[sinks.out]
input = "scorer"
to = "blackhole"
"#;
    assert_eq!(problems(text), "");
}

#[test]
fn roles_without_an_output_give_no_rows() {
    let text = r#"
name = "a"
sources.rows.path = "a.csv"
[roles.silent]
command = ["true"]
input = "rows"
[roles.scorer]
command = ["true"]
input = "scorre"
output = { score = "float64" }
[roles.own]
command = ["true"]
input = "own"
[sinks.out]
input = "silent"
to = "blackhole"
[sinks.second]
input = "scorre"
to = "blackhole"
[sinks.third]
to = "blackhole"
"#;
    assert_snapshot!(problems(text), @r#"
job.toml:9:9: error[job/unknown-input]: `input` is "scorre", which names neither a source nor a transform nor a role with an `output` (roles.scorer.input); hint: one of `rows`
job.toml:13:9: error[job/unknown-input]: `input` is `own`, a role without an `output`, which gives no rows (roles.own.input); hint: one of `rows`, `scorer`
job.toml:15:9: error[job/unknown-input]: `input` is `silent`, a role without an `output`, which gives no rows (sinks.out.input); hint: give that role an `output`, such as `output = { score = "float64" }`
job.toml:18:9: error[job/unknown-input]: `input` is "scorre", which names neither a source nor a transform nor a role with an `output` (sinks.second.input); hint: did you mean `scorer`?
job.toml:20:8: error[job/missing-key]: the sink has no `input` (sinks.third); hint: add `input`, one of `rows`, `scorer`
"#);
}

#[test]
fn a_role_with_an_output_has_a_name_of_its_own() {
    let text = r#"
name = "a"
sources.rows.path = "a.csv"
sources.silent.path = "b.csv"
transforms.made.sql = "SELECT * FROM rows"
[roles.rows]
command = ["true"]
input = "rows"
output = { score = "float64" }
[roles.made]
command = ["true"]
input = "rows"
output = 3
[roles.out]
command = ["true"]
input = "rows"
output = { score = "float64" }
[roles.silent]
command = ["true"]
input = "silent"
[sinks.out]
input = "out"
to = "blackhole"
"#;
    assert_snapshot!(problems(text), @r"
job.toml:6:8: error[job/duplicate-key]: the role `roles.rows` has the name of the source `sources.rows` (roles.rows); hint: rename one of them; a role with an `output` shares its name with sources, transforms and sinks
job.toml:10:8: error[job/duplicate-key]: the role `roles.made` has the name of the transform `transforms.made` (roles.made); hint: rename one of them; a role with an `output` shares its name with sources, transforms and sinks
job.toml:13:10: error[job/wrong-type]: `output` wants a table, found an integer (roles.made.output); hint: write `[roles.made.output]`
job.toml:14:8: error[job/duplicate-key]: the role `roles.out` has the name of the sink `sinks.out` (roles.out); hint: rename one of them; a role with an `output` shares its name with sources, transforms and sinks
");
}

#[test]
fn a_role_alone_is_no_dataflow() {
    let text = "name = \"a\"\n[roles.a]\ncommand = [\"true\"]\ninput = \"a\"\noutput = { score = \"float64\" }\n";
    // A circle, which is found later.
    assert_eq!(problems(text), "");
    assert_snapshot!(problems(&text.replace("input = \"a\"", "input = \"b\"")), @r#"
job.toml:4:9: error[job/unknown-input]: `input` is "b", which names neither a source nor a transform nor a role with an `output` (roles.a.input); hint: add `[sources.NAME]` with a `path`; the job has no sources yet
"#);
}
