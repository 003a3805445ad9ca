//! The schema for editors says what the code says.

use std::collections::BTreeSet;

use forebay_job::{Document, code};
use serde_json::Value;
use toml_edit::DocumentMut;

use crate::documentation::{documentation, examples};
use crate::round_trip::EVERYTHING;
use crate::valid;
use crate::validation::{broken, definition};

fn schema() -> Value {
    serde_json::from_str(&documentation("job-file.schema.json")).expect("it is JSON")
}

/// What the schema finds wrong in a job file.
fn complaints(text: &str) -> Vec<String> {
    let schema = schema();
    broken(&schema, &schema, &json(text))
}

fn json(text: &str) -> Value {
    let document: DocumentMut = text.parse().expect("it is TOML");
    table(document.as_table())
}

fn table(table: &dyn toml_edit::TableLike) -> Value {
    let entries = table.iter();
    let entries = entries.map(|(name, item)| (name.to_owned(), item_json(item)));
    Value::Object(entries.collect())
}

fn item_json(item: &toml_edit::Item) -> Value {
    if let Some(inner) = item.as_table_like() {
        return table(inner);
    }
    if let Some(value) = item.as_value() {
        return value_json(value);
    }
    let tables = item.as_array_of_tables().expect("nothing else is left");
    tables.iter().map(|inner| table(inner)).collect()
}

/// A point in time is a string, as it is for editors.
fn value_json(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
        toml_edit::Value::Datetime(time) => time.value().to_string().into(),
        toml_edit::Value::Array(array) => array.iter().map(value_json).collect(),
        toml_edit::Value::InlineTable(inner) => table(inner),
    }
}

/// One key that the schema knows.
struct Key {
    /// Such as `roles.NAME.nodes`.
    path: String,
    schema: Value,
}

/// Every key that the schema knows, and whether each table of keys is closed.
fn known(root: &Value) -> Vec<Key> {
    let mut keys = Vec::new();
    collect(root, root, "", &mut keys);
    keys
}

fn collect(root: &Value, schema: &Value, path: &str, keys: &mut Vec<Key>) {
    let join = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    for variant in variants(root, schema) {
        if let Some(properties) = variant["properties"].as_object() {
            assert_eq!(variant["additionalProperties"], false, "{path} is open");
            for (name, inner) in properties {
                let key = Key {
                    path: join(name),
                    schema: inner.clone(),
                };
                keys.push(key);
                collect(root, inner, &join(name), keys);
            }
        } else if variant["additionalProperties"].is_object() {
            collect(root, &variant["additionalProperties"], &join("NAME"), keys);
        }
    }
}

/// The schema itself with what it refers to, and its alternatives.
fn variants<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let reference = schema["$ref"].as_str();
    let referred = reference.map(|reference| definition(root, reference));
    let alternatives = ["anyOf", "oneOf"].map(|keyword| schema[keyword].as_array());
    let alternatives = alternatives.into_iter().flatten().flatten();
    let is_value = |variant: &&Value| variant["required"].is_null() || variant["type"].is_string();
    let inner = referred.into_iter().chain(alternatives.filter(is_value));
    let inner = inner.flat_map(|inner| variants(root, inner));
    [schema].into_iter().chain(inner).collect()
}

/// The words that a key takes, as the schema says; empty: any.
fn words(root: &Value, key: &Key) -> BTreeSet<String> {
    let variants = variants(root, &key.schema).into_iter();
    let words = variants.flat_map(|variant| {
        let listed = variant["enum"].as_array().into_iter().flatten();
        listed.chain(variant.get("const"))
    });
    let words = words.filter_map(Value::as_str);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Where the sample of the tests uses a key, such as `roles.worker.nodes`.
fn used(document: &DocumentMut, key: &str) -> Vec<Vec<String>> {
    let mut paths: Vec<(Vec<String>, &toml_edit::Item)> = vec![(Vec::new(), document.as_item())];
    for part in key.split('.') {
        let inner = paths.into_iter().flat_map(|(path, item)| {
            let entries = item
                .as_table_like()
                .into_iter()
                .flat_map(|table| table.iter());
            let entries = entries.filter(move |(name, _)| part == "NAME" || *name == part);
            entries.map(move |(name, item)| ([path.as_slice(), &[name.to_owned()]].concat(), item))
        });
        paths = inner.collect();
    }
    paths.into_iter().map(|(path, _)| path).collect()
}

/// The sample of the tests with a change of one key, in its table.
fn changed(path: &[String], change: impl FnOnce(&mut toml_edit::Item, &str)) -> String {
    let mut document: DocumentMut = EVERYTHING.parse().expect("it is TOML");
    let (name, outer) = path.split_last().expect("it is a key");
    let table = outer.iter().fold(document.as_item_mut(), |item, part| {
        &mut item[part.as_str()]
    });
    change(table, name);
    document.to_string()
}

/// The sample of the tests with another value of a key, and the problems that the code has with it there: code and hint.
fn problems_with(path: &[String], value: impl Into<toml_edit::Value>) -> Vec<(String, String)> {
    let text = changed(path, |table, name| table[name] = toml_edit::value(value));
    let checked = Document::parse(text, "job.toml", "/jobs").check();
    let here = checked
        .diagnostics
        .into_iter()
        .filter(|problem| problem.key == path.join("."));
    here.map(|problem| (problem.code.into_owned(), problem.hint.unwrap_or_default()))
        .collect()
}

fn takes_word(path: &[String], word: &str) -> bool {
    let refusals = [
        code::BAD_VALUE,
        code::NOT_SUPPORTED,
        code::WRONG_TYPE,
        code::OUT_OF_RANGE,
    ];
    let problems = problems_with(path, word);
    !problems
        .iter()
        .any(|(code, _)| refusals.contains(&code.as_str()))
}

#[test]
fn it_has_the_keys_of_the_code() {
    let schema = schema();
    let known: BTreeSet<_> = known(&schema).into_iter().map(|key| key.path).collect();
    let keys: BTreeSet<_> = forebay_job::keys().collect();
    assert_eq!(known, keys);
}

#[test]
fn every_key_is_used_by_the_sample_of_the_tests() {
    let document: DocumentMut = EVERYTHING.parse().expect("it is TOML");
    let unused: Vec<_> = forebay_job::keys()
        .filter(|key| used(&document, key).is_empty())
        .collect();
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn it_has_the_words_of_the_code() {
    let schema = schema();
    let document: DocumentMut = EVERYTHING.parse().expect("it is TOML");
    let mut seen = 0;
    for key in known(&schema) {
        let words = words(&schema, &key);
        if words.is_empty() {
            continue;
        }
        seen += 1;
        let path = &used(&document, &key.path)[0];
        for word in &words {
            assert!(takes_word(path, word), "{}: {word}", key.path);
        }
        let hints = problems_with(path, "no such word");
        let (_, hint) = hints.first().expect("the code takes only some words");
        let offered = hint.split('`').skip(1).step_by(2);
        let offered = offered
            .filter(|word| takes_word(path, word))
            .map(str::to_owned);
        assert!(
            offered.collect::<BTreeSet<_>>().is_subset(&words),
            "{}: {hint}",
            key.path
        );
    }
    assert_eq!(
        seen, 8,
        "guarantee, formats, compression, malformed, speed, kind, to"
    );
}

#[test]
fn it_has_the_bounds_of_the_code() {
    let schema = schema();
    let document: DocumentMut = EVERYTHING.parse().expect("it is TOML");
    let mut seen = 0;
    for key in known(&schema) {
        let variants = variants(&schema, &key.schema);
        let bound = |name: &str| variants.iter().find_map(|variant| variant[name].as_i64());
        let (Some(least), Some(most)) = (bound("minimum"), bound("maximum")) else {
            continue;
        };
        seen += 1;
        let path = &used(&document, &key.path)[0];
        for (number, is_taken) in [
            (least - 1, false),
            (least, true),
            (most, true),
            (most + 1, false),
        ] {
            let problems = problems_with(path, number);
            let is_refused = problems.iter().any(|(code, _)| code == code::OUT_OF_RANGE);
            assert_eq!(is_refused, !is_taken, "{} = {number}", key.path);
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn it_has_the_defaults_of_the_code() {
    let schema = schema();
    let document: DocumentMut = EVERYTHING.parse().expect("it is TOML");
    let mut seen = 0;
    for key in known(&schema) {
        let Some(default) = key.schema.get("default") else {
            continue;
        };
        seen += 1;
        let path = &used(&document, &key.path)[0];
        let stated = valid(&changed(path, |table, name| {
            let value = format!("a = {default}").parse::<DocumentMut>();
            table[name] = value.expect("its JSON is TOML")["a"].clone();
        }));
        let left_out = valid(&changed(path, |table, name| {
            table.as_table_like_mut().expect("a table").remove(name);
        }));
        assert!(stated == left_out, "{}: {default}", key.path);
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn what_is_right_fits_it() {
    for text in examples().iter().map(String::as_str).chain([EVERYTHING]) {
        assert_eq!(complaints(text), Vec::<String>::new(), "{text}");
    }
}

/// Each is right but for one thing, which code and schema both see.
const WRONG: &[&str] = &[
    "[roles.a]\ncommand = [\"a\"]",
    "name = \"a\"",
    "name = \"a\"\n[roles]",
    "name = \"A\"\n[roles.a]\ncommand = [\"a\"]",
    "name = \"a\"\n[roles.am]\ncommand = [\"a\"]",
    "name = \"a\"\n[roles.a_b]\ncommand = [\"a\"]",
    "name = \"a\"\nother = 1\n[roles.a]\ncommand = [\"a\"]",
    "name = \"a\"\nguarantee = \"exactly-once\"\n[roles.a]\ncommand = [\"a\"]",
    "name = \"a\"\nframework = \"a b\"\n[roles.a]\ncommand = [\"a\"]",
    "name = \"a\"\n[roles.a]\ncommand = []",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\nscript = \"a.py\"",
    "name = \"a\"\n[roles.a]\nscript = \"../a.py\"",
    "name = \"a\"\n[roles.a]\nscript = \"/a.py\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\nnodes = 0",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\nmemory = \"1 MIB\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\nlimits.stop_grace = \"1\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\nenvironment.FOREBAY_A = \"1\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\ndealing = { rounds = 2 }",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\npasses = 1",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\ntensors.a = \"a\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\noutput.a = \"int8\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\ninput_ring = \"1 MiB\"",
    "name = \"a\"\n[roles.a]\ncommand = [\"a\"]\noutput_ring = \"1 MiB\"",
];

/// Keys of a fed role that are wrong, in a job that is right otherwise.
const WRONG_FEEDINGS: &[&str] = &[
    "dealing = {}",
    "dealing = 256",
    "dealing = { rounds = 2, credit = 2 }",
    "dealing = { rounds = 2, key = \"a\" }",
    "dealing = { rounds = 2, rows = 2 }",
    "dealing = { rounds = 2, pad = \"\" }",
    "dealing = { credit = 2, pad = \"a\" }",
    "dealing = { key = \"\" }",
    "dealing = { key = [] }",
    "dealing = { key = [\"a\", \" \"] }",
    "dealing = { key = 1 }",
    "dealing = { rows = 1 }",
    "dealing = { other = 1 }",
    "passes = 0",
    "passes = 2\noutput.a = \"int8\"",
    "tensors = {}",
    "tensors = [\"a\"]",
    "tensors.a = []",
    "tensors.a = \"\"",
    "tensors.a = 1",
    "tensors.\" \" = \"a\"",
    "output = {}",
    "output.a = \"\"",
    "output.a = 1",
    "input_ring = 1",
    "output_ring = \"1\"\noutput.a = \"int8\"",
];

/// Keys of a source that are wrong, in a job that is right otherwise.
const WRONG_SOURCES: &[&str] = &[
    "",
    "path = \"\"",
    "path = 1",
    "path = \"a\"\ngenerate.columns.a.kind = \"sequence\"",
    "path = \"a\"\nformat = \"xml\"",
    "path = \"a\"\ncompression = \"lz4\"",
    "path = \"a\"\nschema = {}",
    "path = \"a\"\nschema.a = 1",
    "path = \"a\"\ndelimiter = \"\"",
    "path = \"a\"\ndelimiter = \"\\n\"",
    "path = \"a\"\nquote = \"ab\"",
    "path = \"a\"\nescape = \"ü\"",
    "path = \"a\"\nheader = 1",
    "path = \"a\"\nnull_values = \"NA\"",
    "path = \"a\"\nmalformed = \"skip\"",
    "path = \"a\"\nmalformed = {}",
    "path = \"a\"\nmalformed.skip = -1",
    "path = \"a\"\nrecord_bytes = 1",
    "path = \"a\"\nparallelism = 1025",
    "path = \"a\"\nbatch_rows = 0",
    "path = \"a\"\nwatermark = \"1 s\"",
    "path = \"a\"\nidle_after = \"1 s\"",
    "path = \"a\"\nreplay = {}",
    "path = \"a\"\nevent_time = \"t\"\nreplay.speed = 0",
    "path = \"a\"\nevent_time = \"t\"\nreplay.speed = \"fast\"",
    "path = \"a\"\nevent_time = \"t\"\nreplay.start = \"2013-01-01\"",
    "generate = {}",
    "generate.columns = {}",
    "generate = { rate = 0, columns.a.kind = \"sequence\" }",
    "generate = { rows = -1, columns.a.kind = \"sequence\" }",
    "generate.columns.a = {}",
    "generate.columns.a.kind = \"other\"",
    "generate.columns.a = { kind = \"sequence\", least = 1 }",
    "generate.columns.a = { kind = \"integers\", least = 1 }",
    "generate.columns.a = { kind = \"integers\", least = 1, most = 1.5 }",
    "generate.columns.a = { kind = \"normal\", deviation = -1 }",
    "generate.columns.a = { kind = \"choice\" }",
    "generate.columns.a = { kind = \"choice\", of = [] }",
    "generate.columns.a = { kind = \"booleans\", share = 2 }",
    "generate.columns.a = { kind = \"event-time\", start = \"now\" }",
    "generate.columns.a = { kind = \"sequence\", mean = 1 }",
    "generate.columns.a = { kind = \"sequence\", of = [\"a\"] }",
    "generate.columns.a = { kind = \"sequence\", share = 1 }",
    "generate.columns.a = { kind = \"sequence\", step = \"1 s\" }",
    "generate.columns.a.kind = \"sequence\"\nformat = \"csv\"",
];

const WRONG_TRANSFORMS: &[&str] = &[
    "",
    "sql = \"\"",
    "sql = \"a\"\nsql_file = \"a.sql\"",
    "sql = \"a\"\ninput = \"rows\"",
    "sql = \"a\"\nconfig = {}",
    "sql_file = \"../a.sql\"",
    "operator = \"a.wasm\"",
    "operator = \"a\"\ninput = \"rows\"",
    "operator = \"a/\"\ninput = \"rows\"",
    "operator = \"a.wasm\"\ninput = \"Rows\"",
    "operator = \"a.wasm\"\ninput = \"rows\"\nconfig = \"a\"",
    "operator = \"a.wasm\"\ninput = \"rows\"\nkey = \"a\"",
];

const WRONG_SINKS: &[&str] = &[
    "",
    "input = \"rows\"",
    "to = \"stdout\"",
    "input = \"rows\"\nto = \"stdout\"\npath = \"a\"",
    "input = \"rows\"\nto = \"nowhere\"",
    "input = \"rows\"\nto = \"stdout\"\nformat = \"parquet\"",
    "input = \"rows\"\nto = \"stdout\"\noverwrite = true",
    "input = \"rows\"\npath = \"a.csv\"\nquote = \"\"",
    "input = \"rows\"\npath = \"a.csv\"\ncompression = \"gzip\"",
];

/// Job files with one thing wrong in how a role is fed.
fn wrong_feedings() -> impl Iterator<Item = String> {
    let job = |keys: &str| {
        format!(
            "name = \"a\"\nsources.rows.path = \"a\"\n[roles.a]\ncommand = [\"a\"]\ninput = \"rows\"\n{keys}\n"
        )
    };
    assert_eq!(complaints(&job("")), Vec::<String>::new());
    WRONG_FEEDINGS.iter().map(move |wrong| job(wrong))
}

/// Job files with one thing wrong in one table of the dataflow.
fn wrong_dataflows() -> impl Iterator<Item = String> {
    let job = |source: &str, transform: &str, sink: &str| {
        format!(
            "name = \"a\"\n[sources.rows]\n{source}\n[transforms.made]\n{transform}\n[sinks.out]\n{sink}\n"
        )
    };
    let (path, sql, to) = (
        "path = \"a\"",
        "sql = \"a\"",
        "input = \"made\"\nto = \"stdout\"",
    );
    let sources = WRONG_SOURCES.iter().map(move |wrong| job(wrong, sql, to));
    let transforms = WRONG_TRANSFORMS
        .iter()
        .map(move |wrong| job(path, wrong, to));
    let sinks = WRONG_SINKS.iter().map(move |wrong| job(path, sql, wrong));
    assert_eq!(complaints(&job(path, sql, to)), Vec::<String>::new());
    sources.chain(transforms).chain(sinks)
}

#[test]
fn what_is_wrong_does_not_fit_it() {
    let wrong = WRONG.iter().map(|text| (*text).to_owned());
    for text in wrong.chain(wrong_feedings()).chain(wrong_dataflows()) {
        let checked = Document::parse(text.as_str(), "job.toml", "/jobs").check();
        assert!(checked.into_job().is_err(), "the code takes {text}");
        assert!(!complaints(&text).is_empty(), "the schema takes {text}");
    }
}
