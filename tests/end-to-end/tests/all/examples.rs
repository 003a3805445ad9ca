//! The examples train real models on real data.

use std::time::Duration;

use forebay_test_support::{Output, Sandbox, environment, repository};

use crate::jobs::heavy;

/// The frameworks take seconds to import, on two cores many.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a model has to reach that learned from all shards.
const ACCURACY_MIN: f64 = 0.9;

fn run_example(name: &str, framework: &str) -> Output {
    environment(framework);
    let _one = heavy();
    let sandbox = Sandbox::new();
    let job = repository().join("examples").join(name).join("job.toml");
    let output = sandbox
        .forebay(["run", "--format", "json"])
        .args([job])
        .within(PATIENCE)
        .run();
    output.assert_code(0);
    let accuracy = output
        .summary()
        .reported("worker:0", "test_accuracy")
        .as_f64();
    assert!(
        accuracy >= Some(ACCURACY_MIN),
        "accuracy {accuracy:?}: {output}"
    );
    output
}

#[test]
fn digits_with_tensorflow() {
    let output = run_example("digits-tensorflow", "tensorflow");
    let summary = output.summary();
    for service in ["ps:0", "tensorboard:0"] {
        assert_eq!(summary.attempt(service)["verdict"], "stopped", "{output}");
    }
}

#[test]
fn digits_with_pytorch() {
    let output = run_example("digits-pytorch", "pytorch");
    assert_eq!(output.summary().attempt("worker:1")["verdict"], "finished");
}

#[test]
fn digits_with_mxnet() {
    let output = run_example("digits-mxnet", "mxnet");
    assert_eq!(output.summary().attempt("worker:1")["verdict"], "finished");
    assert!(output.summary().nodes().contains(&"scheduler:0"));
}
