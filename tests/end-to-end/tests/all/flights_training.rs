//! The examples that train on the stream of flights: what they have learned, scikit-learn says of two months that they have not seen.

use std::fs;
use std::path::PathBuf;

use forebay_test_support::{Output, Sandbox, environment, repository};
use serde_json::Value;
use toml_edit::{DocumentMut, value};

use crate::dataflows::count;
use crate::flights::{PATIENCE, component, copy, data};
use crate::frameworks::{compile_cache, example};
use crate::jobs::heavy;

/// Share of late flights in months 1 to 10: what somebody says who has learned nothing.
const SHARE: &str = "0.2163";
/// Samples of months 1 to 10, and of 11 and 12.
const TRAINED: u64 = 274_376;
const SCORED: u64 = 54_145;

/// A copy of an example beside its data, in a sandbox.
struct Copy {
    sandbox: Sandbox,
    folder: PathBuf,
}

impl Copy {
    fn of(name: &str) -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.work().join(name);
        let features = sandbox.work().join("flights-features");
        fs::create_dir_all(folder.join("out")).expect("the sandbox is writable");
        fs::create_dir_all(features.join("data")).expect("the sandbox is writable");
        for entry in fs::read_dir(example(name)).expect("the example is there") {
            let file = entry.expect("it can be read").path();
            if file.is_file() {
                copy(
                    &file,
                    &folder.join(file.file_name().expect("it has a name")),
                );
            }
        }
        for table in ["flights.csv", "weather.csv", "planes.csv"] {
            copy(
                &data(&sandbox).join(table),
                &features.join("data").join(table),
            );
        }
        copy(component(&sandbox), &features.join("features.wasm"));
        Self { sandbox, folder }
    }

    #[track_caller]
    fn change(&self, file: &str, change: impl FnOnce(&mut DocumentMut)) {
        let path = self.folder.join(file);
        let mut job: DocumentMut = fs::read_to_string(&path)
            .expect("the example has it")
            .parse()
            .expect("it is TOML");
        change(&mut job);
        fs::write(path, job.to_string()).expect("the sandbox is writable");
    }

    #[track_caller]
    fn run(&self, file: &str) -> Output {
        let (variable, cache) = compile_cache(&self.sandbox);
        let run = self.sandbox.forebay(["run", "--format", "json"]);
        let run = run.env(variable, cache);
        let output = run.args([self.folder.join(file)]).within(PATIENCE).run();
        output.assert_code(0);
        output
    }

    /// What a run has left, as a model, beside the job that scores.
    #[track_caller]
    fn take(&self, trained: &Output, model: &str) {
        let from = trained.summary().run_dir().join("output").join(model);
        let copied = self.sandbox.command("cp");
        let copied = copied.args([
            "-r".as_ref(),
            from.as_os_str(),
            self.folder.join("out").as_os_str(),
        ]);
        copied.run().assert_code(0);
    }

    /// Has the model score what it has not seen, and the same rows by itself.
    #[track_caller]
    fn score(&self, file: &str, framework: &str) -> Value {
        self.change(file, |job| {
            // Events go to the standard output.
            let sinks = job["sinks"].as_table_like();
            if sinks.is_some_and(|sinks| sinks.contains_key("alarm-lines")) {
                job["sinks"]["alarm-lines"] = toml_edit::table();
                job["sinks"]["alarm-lines"]["input"] = value("alarms");
                job["sinks"]["alarm-lines"]["path"] = value("out/alarms.jsonl");
            }
        });
        self.run(file);
        // Not every environment reads Parquet.
        let csv = "import pandas\npandas.read_parquet('out/scores.parquet').to_csv('out/scores.csv', index=False)\nprint('{}')";
        self.told("dataflow", &["-c", csv]);
        let python = if framework == "numpy" {
            "dataflow"
        } else {
            framework
        };
        let both = self.told(python, &[&script("flights_alone.py"), framework]);
        let difference = both["difference"].as_f64().expect("it is a number");
        assert!(both["rows"] == SCORED && difference < 1e-5, "{both}");
        // scikit-learn is in this one.
        let arguments = [&script("flights_quality.py"), "out/scores.csv", SHARE];
        self.told("pytorch", &arguments)
    }

    /// What Python prints in the folder of the example, as JSON.
    #[track_caller]
    fn told(&self, python: &str, arguments: &[&str]) -> Value {
        let python = environment(python).join("bin/python");
        let telling = self.sandbox.command(python).args(arguments);
        let told = telling.within(PATIENCE).in_folder(&self.folder).run();
        told.assert_code(0);
        told.events().pop().expect("it says something")
    }
}

fn script(name: &str) -> String {
    let path = repository().join("tests/end-to-end/scripts").join(name);
    path.to_string_lossy().into_owned()
}

#[track_caller]
fn assert_has_learned(quality: &Value) {
    let number = |key: &str| quality[key].as_f64().expect("it is a number");
    assert_eq!(quality["rows"], SCORED, "{quality}");
    assert_eq!(quality["ids"], SCORED, "each once: {quality}");
    // More would be a leak: what happened after departure.
    assert!((0.68..0.75).contains(&number("auc")), "{quality}");
    assert!(number("log_loss") <= 0.50, "{quality}");
    assert!(number("log_loss") < number("constant"), "{quality}");
}

/// Trains, and has the model score what it has not seen.
#[track_caller]
fn train_and_score(framework: &str, model: &str, dropped: u64) {
    let _one = heavy();
    let copy = Copy::of(&format!("flights-{framework}"));
    copy.change("job.toml", |job| {
        job["properties"]["check_ids"] = value(true);
    });
    let trained = copy.run("job.toml");
    let dataflow = trained.summary().value()["dataflow"].clone();
    assert_eq!(count(&dataflow, "train-file", "rows_in"), TRAINED);
    assert_eq!(ids(&copy, &trained), TRAINED - dropped, "each sample once");
    copy.take(&trained, model);
    assert_has_learned(&copy.score("score.toml", framework));
}

/// How many different samples the workers were fed; none twice.
#[track_caller]
fn ids(copy: &Copy, trained: &Output) -> u64 {
    let count = "import glob, sys, numpy\nids = numpy.concatenate([numpy.load(file) for file in glob.glob(sys.argv[1] + '/ids-*.npy')])\nassert len(numpy.unique(ids)) == len(ids), 'some came twice'\nprint(f'{{\"ids\": {len(ids)}}}')";
    let python = environment("pytorch").join("bin/python");
    let counted = copy.sandbox.command(python).args(["-c", count]);
    let counted = counted
        .args([trained.summary().run_dir().join("output")])
        .run();
    counted.assert_code(0);
    counted
        .events()
        .pop()
        .and_then(|count| count["ids"].as_u64())
        .expect("a number")
}

#[test]
fn tensorflow_learns_from_the_stream() {
    train_and_score("tensorflow", "model", 0);
}

#[test]
fn pytorch_learns_from_the_stream() {
    train_and_score("pytorch", "model.pt", TRAINED % 512);
}

#[test]
fn mxnet_learns_from_the_stream() {
    // What fills up the last round is no sample.
    train_and_score("mxnet", "model.params", 0);
}

#[test]
fn a_trained_model_scores_the_stream_and_is_watched() {
    let _one = heavy();
    let copy = Copy::of("flights-predict");
    let trained = copy.run("train.toml");
    copy.take(&trained, "weights.npy");
    assert_has_learned(&copy.score("job.toml", "numpy"));
    let watched = copy.told("dataflow", &[&script("flights_watched.py")]);
    assert_eq!(watched["scores"], SCORED, "{watched}");
    assert_eq!(watched["hours"], 1_159, "{watched}");
    // The weather is what it is; how far off the scores are hangs on the training, a little.
    assert_eq!(watched["unknown"], 28, "{watched}");
    let far_off = watched["far_off"].as_u64().expect("it is a number");
    assert!((1..30).contains(&far_off), "{watched}");
}
