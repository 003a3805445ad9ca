//! When a job is done, with programs that do nothing else but end.

use forebay_test_support::{Sandbox, log_line};

use crate::jobs::{UNTIL_GO, job_with_go, ready, run, start};

#[test]
fn a_job_of_commands_is_done_when_every_node_is() {
    let sandbox = Sandbox::new();
    let script = format!("if [ $FOREBAY_INDEX = 0 ]; then exit 0; fi; {UNTIL_GO}");
    let run = start(&sandbox, &job_with_go(&sandbox, 2, &script));
    run.wait_event("the first has finished", |event| {
        event["node"] == "worker:0" && event["phase"] == "exited"
    });
    sandbox.write("go", "");
    let output = run.finish();
    output.assert_code(0);
    for node in ["worker:0", "worker:1"] {
        assert_eq!(
            output.summary().attempt(node)["verdict"],
            "finished",
            "{output}"
        );
    }
}

#[test]
fn a_failed_node_ends_the_job_and_is_named() {
    let sandbox = Sandbox::new();
    let script =
        format!("if [ $FOREBAY_INDEX = 1 ]; then echo about to fail; exit 3; fi; {UNTIL_GO}");
    let output = run(&sandbox, &job_with_go(&sandbox, 2, &script));
    output.assert_code(1);
    let summary = output.summary();
    assert_eq!(summary.outcome(), "failed");
    assert_eq!(summary.value()["cause"]["node"], "worker:1", "{output}");
    assert_eq!(
        summary.value()["cause"]["last_lines"],
        serde_json::json!(["about to fail"]),
        "{output}"
    );
    assert_eq!(summary.value()["engine_failed"], false);
    assert_eq!(
        summary.attempt("worker:0")["verdict"],
        "stopped",
        "{output}"
    );
}

/// A role table whose nodes run this script.
fn role(name: &str, nodes: u32, script: &str) -> String {
    format!("[roles.{name}]\nnodes = {nodes}\ncommand = [\"sh\", \"-c\", '''{script}''']\n")
}

/// Like a server of the framework: listens on the port that the plugin gave it, and never ends by itself.
const FOREVER: &str = "sleep 4711";

#[test]
fn without_a_chief_a_tensorflow_job_is_done_when_worker_0_is() {
    let sandbox = Sandbox::new();
    let worker = "[ $FOREBAY_INDEX = 0 ] || sleep 4711";
    let job = format!(
        "name = \"first\"\nframework = \"tensorflow\"\n{}{}",
        role("worker", 2, worker),
        role("ps", 1, FOREVER)
    );
    let output = run(&sandbox, &job);
    output.assert_code(0);
    let summary = output.summary();
    assert_eq!(summary.attempt("worker:0")["verdict"], "finished");
    assert_eq!(summary.attempt("worker:1")["verdict"], "stopped");
    assert_eq!(summary.attempt("ps:0")["verdict"], "stopped");
}

#[test]
fn with_a_chief_a_tensorflow_job_is_done_when_the_chief_is() {
    let sandbox = Sandbox::new();
    let job = format!(
        "name = \"chief\"\nframework = \"tensorflow\"\n{}{}{}",
        role("chief", 1, "true"),
        role("worker", 1, FOREVER),
        role("ps", 1, FOREVER)
    );
    let output = run(&sandbox, &job);
    output.assert_code(0);
    assert_eq!(output.summary().attempt("chief:0")["verdict"], "finished");
    assert_eq!(output.summary().attempt("worker:0")["verdict"], "stopped");
}

#[test]
fn a_failing_observer_harms_nobody() {
    let sandbox = Sandbox::new();
    let job = format!(
        "name = \"observed\"\nframework = \"tensorflow\"\n{}{}",
        role("worker", 1, "sleep 0.5"),
        role("evaluator", 1, "exit 9")
    );
    let output = run(&sandbox, &job);
    output.assert_code(0);
    assert_eq!(output.summary().outcome(), "succeeded", "{output}");
}

#[test]
fn each_worker_of_a_pytorch_job_knows_its_rank_and_all_must_finish() {
    let sandbox = Sandbox::new();
    let worker = "echo rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT local $LOCAL_RANK";
    let job = format!(
        "name = \"ranks\"\nframework = \"pytorch\"\n{}",
        role("worker", 2, worker)
    );
    let output = run(&sandbox, &job);
    output.assert_code(0);
    for index in [0, 1] {
        let line = format!("rank {index} of 2 at 127.0.0.1:");
        let node = format!("worker:{index}");
        let wanted = log_line(&node, &line);
        assert!(output.events().iter().any(wanted), "no `{line}`: {output}");
    }
}

#[test]
fn a_script_ends_the_whole_job() {
    let sandbox = Sandbox::new();
    forebay_test_support::environment("plain");
    sandbox.write("finish.py", "import forebay, time\nnode = forebay.node()\nif node.index == 1:\n    node.finish_job('early stopping')\ntime.sleep(4711)\n");
    let output = run(
        &sandbox,
        "name = \"ends\"\n[roles.worker]\nnodes = 2\nscript = \"finish.py\"\npython = \"plain\"\n",
    );
    output.assert_code(0);
    assert_eq!(output.summary().outcome(), "succeeded", "{output}");
    assert_eq!(
        output.summary().reason(),
        "`worker:1` finished the job: early stopping"
    );
}

#[test]
fn every_python_program_of_a_node_has_its_say() {
    let sandbox = Sandbox::new();
    let python = forebay_test_support::environment("plain").join("bin/python");
    let speak = |step: u32| {
        format!(
            "{} -c 'import forebay; forebay.node().report(step={step})'",
            python.display()
        )
    };
    let script = [1, 2, 3].map(speak).join(" && ");
    let role = format!("[roles.worker]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n");
    let output = run(&sandbox, &format!("name = \"several\"\n{role}"));
    output.assert_code(0);
    assert_eq!(output.summary().reported("worker:0", "step"), 3, "{output}");
}

#[test]
fn an_observer_without_room_is_missed_aloud() {
    let sandbox = Sandbox::new();
    let go = sandbox.work().join("go");
    let job = format!(
        "name = \"no-room\"\nframework = \"pytorch\"\n{}[roles.tensorboard]\npython = \"/usr/bin/python3\"\n",
        role("worker", 2, &UNTIL_GO.replace("$GO", &go.to_string_lossy()))
    );
    sandbox.write("job.toml", job);
    let run = crate::jobs::run_json(&sandbox)
        .args(["--slots", "2"])
        .start();
    run.wait_event("the warning", |event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["kind"] == "warning" && message.contains("goes on without `tensorboard:0`: no room")
    });
    sandbox.write("go", "");
    run.finish().assert_code(0);
}

#[test]
fn a_process_that_lingers_after_its_work_is_ended_as_finished() {
    let sandbox = Sandbox::new();
    forebay_test_support::environment("plain");
    sandbox.write(
        "linger.py",
        "import forebay, time\nforebay.node().done()\ntime.sleep(4711)\n",
    );
    let role = "[roles.worker]\nscript = \"linger.py\"\npython = \"plain\"\nlimits = { linger_within = \"200 ms\" }\n";
    let output = run(&sandbox, &format!("name = \"lingers\"\n{role}"));
    output.assert_code(0);
    assert_eq!(
        output.summary().attempt("worker:0")["verdict"],
        "finished",
        "{output}"
    );
}

#[test]
fn a_node_reports_to_the_summary() {
    let sandbox = Sandbox::new();
    forebay_test_support::environment("plain");
    let script =
        "import forebay\nnode = forebay.node()\nnode.report(step=7, loss=0.25, name='net')\n";
    sandbox.write("report.py", script);
    let run = start(
        &sandbox,
        "name = \"reports\"\n[roles.worker]\nscript = \"report.py\"\npython = \"plain\"\n",
    );
    ready(&run, "worker:0");
    let output = run.finish();
    output.assert_code(0);
    let summary = output.summary();
    assert_eq!(summary.reported("worker:0", "step"), 7);
    assert_eq!(summary.reported("worker:0", "loss"), 0.25);
    assert_eq!(summary.reported("worker:0", "name"), "net");
}
