//! The example `roles-abc`: one job, once from its file and once from the builder.

use std::fs;

use forebay_test_support::{Output, Sandbox, built, log_line, repository};
use serde_json::Value;

/// What the three roles say.
const SAID: [(&str, &str); 4] = [
    ("a:0", "a:0 says hello"),
    ("a:1", "a:1 says hello"),
    ("b:0", "b has good morning"),
    ("c:0", "c got 2 arguments: one two"),
];

#[track_caller]
fn assert_said(output: &Output) {
    output.assert_code(0);
    let events = output.events();
    for (node, line) in SAID {
        assert!(
            events.iter().any(log_line(node, line)),
            "{node} did not say `{line}`: {output}"
        );
    }
}

/// The job as it was resolved, apart from where its file lies.
fn resolved(output: &Output) -> Value {
    let text = fs::read_to_string(output.summary().run_dir().join("job.json"));
    let mut job: Value = serde_json::from_str(&text.expect("the run has it")).expect("it is JSON");
    job["base"].take();
    job
}

#[test]
fn file_and_builder_are_the_same_job() {
    let sandbox = Sandbox::new();
    let file = repository().join("examples/roles-abc/job.toml");
    let from_file = sandbox
        .forebay(["run", "--format", "json"])
        .args([file])
        .run();
    assert_said(&from_file);

    let builder = built("roles-abc");
    let toml = sandbox.command(builder).run();
    toml.assert_code(0);
    let from_builder = sandbox
        .forebay(["run", "--format", "json", "-"])
        .input(toml.stdout)
        .run();
    assert_said(&from_builder);
    assert_eq!(resolved(&from_file), resolved(&from_builder));
}
