//! Every query of the documentation is planned, or refused where it says so.

use std::path::Path;

use forebay_sql::plan;

use super::support::relations;

/// The blocks of the page that begin with these words.
fn blocks(kind: &str) -> Vec<String> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let page = std::fs::read_to_string(Path::new(&folder).join("../../docs/dataflow.md"))
        .expect("docs/dataflow.md is there");
    let blocks: Vec<_> = page
        .split(&format!("```{kind}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect();
    assert!(!blocks.is_empty(), "{kind}");
    blocks
}

#[test]
fn queries_of_the_documentation_stream() {
    for sql in blocks("sql") {
        let query = plan(&sql, &relations()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(!query.is_bounded(), "{sql}");
    }
}

#[test]
fn refused_queries_of_the_documentation_are_refused() {
    for sql in blocks("sql refused") {
        assert!(plan(&sql, &relations()).is_err(), "{sql}");
    }
}
