//! What the page on the dataflow shows is what jobs may say.

use std::fs;
use std::path::Path;

use crate::{document, folder, job, planned, runtime};

const FLIGHTS: &str = "origin,delay,time_hour\nEWR,2,2013-01-01T05:00:00Z\n";

/// The blocks of the page that begin with these words.
fn blocks(kind: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dataflow.md");
    let page = fs::read_to_string(page).expect("docs/dataflow.md is there");
    let begin = format!("```{kind}\n");
    let blocks = page.split(&begin).skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect();
    assert!(!blocks.is_empty(), "{kind}");
    blocks
}

fn is_right(text: &str) {
    let folder = folder(&[("flights.csv", FLIGHTS)]);
    fs::create_dir(folder.path().join("data")).expect("it is writable");
    fs::write(folder.path().join("data/flights.csv"), FLIGHTS).expect("it is writable");
    let runtime = runtime();
    let planned = planned(&job(&document(text, folder.path())), &runtime);
    assert_eq!(planned.problems, [], "{text}");
}

#[test]
fn jobs_are_right() {
    for block in blocks("toml") {
        is_right(&block);
    }
}

#[test]
fn sources_are_right() {
    for block in blocks("toml sources") {
        let names = block.lines().filter_map(|line| {
            let name = line.strip_prefix("[sources.")?.strip_suffix(']')?;
            (!name.contains('.')).then_some(name)
        });
        let sinks: Vec<String> = names
            .map(|name| format!("[sinks.{name}_out]\ninput = '{name}'\nto = 'blackhole'\n"))
            .collect();
        let sinks = sinks.concat();
        is_right(&format!("name = 'job'\n{block}\n{sinks}"));
    }
}

#[test]
fn operators_are_read() {
    for block in blocks("toml operator") {
        let text = format!(
            "name = 'job'\n[sources.joined]\npath = 'flights.csv'\n{block}\n[sinks.out]\ninput = 'samples'\nto = 'blackhole'\n"
        );
        job(&document(&text, Path::new("/")));
    }
}
