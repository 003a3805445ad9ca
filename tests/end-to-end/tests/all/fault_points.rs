//! Application managers die before and after every kind of action, and each action has its effect once all the same.

use std::collections::BTreeSet;
use std::fs;

use forebay_plugin::Action;
use forebay_test_support::{Output, Running, Sandbox, Signal, environment, reported_step};
use serde_json::Value;

use crate::dataflows::generated;
use crate::failover::manager_of;
use crate::jobs::{UNTIL_GO, job_with_go, ready, run_json};
use crate::machine_mishaps::{job_whose_port_is_taken, take_port};
use crate::plugins::put_plugin;
use crate::restarts::{ready_again, restarts};

/// Runs a job that comes to do the action, to its end; its nodes are to [`record`] themselves.
type Scene = fn(&Sandbox, &str) -> Output;

/// A test for each kind of action. A kind that is in neither list does not compile.
macro_rules! kinds {
    ({$($kind:ident $word:literal $test:ident by $scene:ident;)+} refused: {$($refused:ident)+}) => {
        #[expect(dead_code, reason = "it is there to be compiled")]
        fn every_kind_has_a_test(action: &Action) {
            match action {
                $(Action::$kind(_) => $test(),)+
                $(Action::$refused(_) => {})+
            }
        }

        $(#[test]
        fn $test() {
            around($word, $scene);
        })+
    };
}

kinds! {
    {
    Place "place" an_application_manager_dies_around_a_placing by two_nodes;
    Publish "publish" an_application_manager_dies_around_a_publication by two_nodes;
    Start "start" an_application_manager_dies_around_a_start by two_nodes;
    Release "release" an_application_manager_dies_around_a_release by a_taken_port;
    Stop "stop" an_application_manager_dies_around_a_stop by a_restart_of_all;
    SetTimer "set-timer" an_application_manager_dies_around_a_timer by a_restart_of_one;
    CancelTimer "cancel-timer" an_application_manager_dies_around_a_cancelled_timer by turns;
    Refuse "refuse" an_application_manager_dies_around_a_refusal by a_refused_stop;
    Rewind "rewind" an_application_manager_dies_around_a_rewind by a_restart_of_one_that_is_fed;
    EndInput "end-input" an_application_manager_dies_around_the_end_of_input by a_stop_of_one_that_is_fed;
    Finish "finish" an_application_manager_dies_around_the_end by a_stop_in_turn;
    }
    // What the host cannot do yet ends the job before it is decided.
    refused: { Resize Custom }
}

#[track_caller]
fn around(action: &str, scene: Scene) {
    for side in ["before", "after"] {
        let sandbox = Sandbox::new();
        let point = format!("{side}:{action}");
        let output = scene(&sandbox, &point);
        let terms = output.summary().value()["terms"].clone();
        assert_eq!(terms.as_array().map(Vec::len), Some(2), "{point}: {output}");
        assert_eq!(recorded(&sandbox), told(&output), "{point}: {output}");
    }
}

/// What a node's script does first: it leaves a line with its name, its attempt and its process.
fn record(sandbox: &Sandbox) -> String {
    let file = sandbox.work().join("starts");
    format!(
        "echo $FOREBAY_ROLE:$FOREBAY_INDEX $FOREBAY_ATTEMPT $$ >> {}",
        file.display()
    )
}

/// Every process of a node that ran, in order.
fn recorded(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.work().join("starts")).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The same as the summary tells it.
fn told(output: &Output) -> Vec<String> {
    let summary = output.summary();
    let attempts_of = |name: &str| {
        let attempts = summary.node(name)["attempts"].as_array().cloned();
        let attempts = attempts.unwrap_or_default().into_iter();
        let ran = attempts.filter(|attempt| !attempt["pid"].is_null());
        let line = |attempt: Value| format!("{name} {} {}", attempt["attempt"], attempt["pid"]);
        ran.map(line).collect::<Vec<_>>()
    };
    let lines: BTreeSet<_> = summary.nodes().into_iter().flat_map(attempts_of).collect();
    lines.into_iter().collect()
}

#[track_caller]
fn start(sandbox: &Sandbox, job: &str, point: &str) -> Running {
    sandbox.write("job.toml", job);
    run_json(sandbox).args(["--fault-point", point]).start()
}

#[track_caller]
fn finish(sandbox: &Sandbox, run: Running) -> Output {
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    output
}

fn two_nodes(sandbox: &Sandbox, point: &str) -> Output {
    let script = format!("{}; {UNTIL_GO}", record(sandbox));
    let run = start(sandbox, &job_with_go(sandbox, 2, &script), point);
    manager_of(&run, 2);
    finish(sandbox, run)
}

fn a_restart_of_one(sandbox: &Sandbox, point: &str) -> Output {
    let script = format!(
        "{}; [ $FOREBAY_ATTEMPT = 2 ] || exit 7; {UNTIL_GO}",
        record(sandbox)
    );
    let job = job_with_go(sandbox, 1, &script) + &restarts(3, 50);
    let run = start(sandbox, &job, point);
    manager_of(&run, 2);
    ready_again(&run, "worker:0", 2);
    finish(sandbox, run)
}

/// A job whose only node is fed by this generator; it reads to the end, but for what else its script does with a batch.
fn fed(sandbox: &Sandbox, generate: &str, script: &str) -> String {
    environment("plain");
    let starts = sandbox.work().join("starts");
    let script = format!(
        "import forebay, os\nnode = forebay.node()\nwith open('{}', 'a') as starts:\n    print(node.name, node.attempt, os.getpid(), file=starts)\nfor batch in node.feed:\n    {script}\n",
        starts.display()
    );
    sandbox.write("train.py", script);
    let source = generated("numbers", "event_time = \"at\"", generate);
    format!(
        "name = \"fed\"\n{source}[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\ninput = \"numbers\"\n"
    )
}

fn a_restart_of_one_that_is_fed(sandbox: &Sandbox, point: &str) -> Output {
    let script = "if node.attempt == 1: os._exit(7)";
    let job = fed(sandbox, "rows = 1000", script) + &restarts(3, 50);
    let run = start(sandbox, &job, point);
    manager_of(&run, 2);
    finish(sandbox, run)
}

fn a_stop_of_one_that_is_fed(sandbox: &Sandbox, point: &str) -> Output {
    let job = fed(sandbox, "rate = 1000", "node.report(step=1)");
    let run = start(sandbox, &job, point);
    run.wait_event("a step", reported_step("worker:0", 1));
    run.signal(Signal::INT);
    manager_of(&run, 2);
    let output = run.finish();
    output.assert_code(130);
    output
}

fn a_restart_of_all(sandbox: &Sandbox, point: &str) -> Output {
    let script = format!(
        "{}; [ $FOREBAY_ATTEMPT$FOREBAY_INDEX != 11 ] || exit 7; {UNTIL_GO}",
        record(sandbox)
    );
    let job = job_with_go(sandbox, 2, &script) + &restarts(3, 50);
    let run = start(sandbox, &format!("framework = \"pytorch\"\n{job}"), point);
    manager_of(&run, 2);
    for node in ["worker:0", "worker:1"] {
        ready_again(&run, node, 2);
    }
    finish(sandbox, run)
}

fn a_taken_port(sandbox: &Sandbox, point: &str) -> Output {
    let job = job_whose_port_is_taken(sandbox, &record(sandbox)) + &restarts(1, 50);
    let run = start(sandbox, &job, point);
    let (_, squatter) = take_port(sandbox, &run);
    manager_of(&run, 2);
    let output = finish(sandbox, run);
    drop(squatter);
    output
}

/// Nodes that run one after the other.
fn in_turn(sandbox: &Sandbox, script: &str, properties: &str) -> String {
    put_plugin(sandbox, "in-turn");
    let script = format!("{}; {script}", record(sandbox));
    let am = format!("[am]\nplugin = \"./in-turn.wasm\"\n[am.properties]\n{properties}\n");
    job_with_go(sandbox, 2, &script) + &am
}

fn turns(sandbox: &Sandbox, point: &str) -> Output {
    let job = in_turn(sandbox, "true", "turn-within-ms = \"600000\"");
    let run = start(sandbox, &job, point);
    finish(sandbox, run)
}

fn a_refused_stop(sandbox: &Sandbox, point: &str) -> Output {
    let job = in_turn(sandbox, UNTIL_GO, "refuse-stop = \"yes\"");
    let run = start(sandbox, &job, point);
    ready(&run, "worker:0");
    run.signal(Signal::INT);
    run.wait_event("it is refused", |event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.contains("nobody stops the row")
    });
    manager_of(&run, 2);
    finish(sandbox, run)
}

fn a_stop_in_turn(sandbox: &Sandbox, point: &str) -> Output {
    let job = in_turn(sandbox, UNTIL_GO, "");
    let run = start(sandbox, &job, point);
    ready(&run, "worker:0");
    run.signal(Signal::INT);
    let output = run.finish();
    output.assert_code(130);
    output
}
