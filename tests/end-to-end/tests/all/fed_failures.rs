//! Roles that the dataflow feeds, and what fails in them: whoever is killed, sinks have what an undisturbed run has; and nobody waits for ever.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use forebay_test_support::{Sandbox, Signal, WATCHDOG, environment, reported_step, wait_until};
use serde_json::Value;

use crate::dataflow_stops::is_held;
use crate::dataflows::{SlowReader, generated, sink, summary};
use crate::fed_roles::{
    SCORING, assert_once, assert_scores, counting, ids, job, numbers, role, scorer,
};
use crate::frameworks::compile_cache;
use crate::jobs::{heavy, ready, run, run_json, start};
use crate::processes::{kill, signal};
use crate::restarts::{endings, ready_again, restarts};

/// A framework takes seconds to import, on two cores many; and it is imported up to four times.
const PATIENCE: Duration = Duration::from_mins(5);

// ------------------------------------------------------------------------------------------------------- killed workers

/// Scores rows. `kills` has a number of rows for each of the first attempts: whoever has so many kills itself, before it has answered the last of
/// them where the number is negative, else at once when it has.
const MORTAL: &str = "
import os, signal
import forebay
node = forebay.node()
node.report(step=node.attempt)
kills = [int(rows) for rows in node.parameters['kills'].split()]
last = kills[node.attempt - 1] if node.attempt <= len(kills) else None
rows = 0
def may_end(has_answered):
    if last is not None and rows >= abs(last) and has_answered == (last > 0):
        os.kill(os.getpid(), signal.SIGKILL)
for batch in node.feed:
    rows += len(batch)
    may_end(False)
    node.emit({'score': score(batch)})
    may_end(True)
end()
";

/// Rows of a job whose workers are killed: several rings of the smallest size.
const ROWS: u64 = 2_000;

/// A job that scores rows.
#[derive(Clone, Copy)]
struct Scorers {
    /// The line of the job file that names the framework; empty: none.
    framework: &'static str,
    /// Those of the framework besides.
    other_roles: &'static str,
    nodes: u64,
    dealing: &'static str,
    python: &'static str,
    /// How a batch is scored, and what is done at the end.
    script: &'static str,
}

impl Scorers {
    /// So many rows, each time, before a worker is killed. One of them gets as many: that is as much as its fair share at most.
    fn kills(&self, rng: &mut Rng) -> Vec<i64> {
        let most = i64::try_from(ROWS / self.nodes).expect("they are few");
        let rows = |rng: &mut Rng| rng.i64(1..=most) * if rng.bool() { 1 } else { -1 };
        (0..rng.u32(1..=3)).map(|_| rows(rng)).collect()
    }

    /// The rows of the sink, sorted.
    #[track_caller]
    fn rows(&self, kills: &[i64]) -> Vec<String> {
        let sandbox = Sandbox::new();
        let keys = format!(
            "input = \"numbers\"\ntensors = {{ features = [\"id\"], id = \"id\" }}\noutput = {{ score = \"float64\" }}\nnodes = {}\ndealing = {}\ninput_ring = \"16 KiB\"\noutput_ring = \"16 KiB\"\nenvironment = {{ OPENBLAS_NUM_THREADS = \"1\", TF_CPP_MIN_LOG_LEVEL = \"2\" }}",
            self.nodes, self.dealing
        );
        let script = format!("{}{MORTAL}", self.script);
        let worker = role(&sandbox, "worker", self.python, &script, &keys);
        let kills_text: Vec<_> = kills.iter().map(i64::to_string).collect();
        let properties = format!("[properties]\nkills = \"{}\"\n", kills_text.join(" "));
        sandbox.write(
            "job.toml",
            job(&[
                self.framework,
                &properties,
                &numbers(ROWS),
                &worker,
                self.other_roles,
                &sink("scores", "worker", "path = \"scores.jsonl\""),
                &restarts(9, 1),
            ]),
        );
        let (variable, cache) = compile_cache(&sandbox);
        let run = run_json(&sandbox).env(variable, cache);
        let output = run.within(PATIENCE).run();
        output.assert_code(0);
        let nodes = (0..self.nodes).map(|index| format!("worker:{index}"));
        let killed = nodes.flat_map(|node| endings(&output, &node));
        let killed = killed.filter(|ending| ending == "signal 9 (SIGKILL)");
        assert!(killed.count() >= kills.len(), "{output}");
        assert_scores(&sandbox, ROWS);
        let text = fs::read_to_string(sandbox.work().join("scores.jsonl"));
        let text = text.expect("it is written");
        let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    #[track_caller]
    #[expect(
        clippy::print_stdout,
        reason = "shown where the test fails: that job can be run alone"
    )]
    fn assert_kills_change_nothing(&self, undisturbed: &[String], seed: u64) {
        let kills = self.kills(&mut Rng::with_seed(seed));
        println!(
            "FOREBAY_SEED={seed}: {} nodes, {}, kills {kills:?}",
            self.nodes, self.dealing
        );
        assert!(
            self.rows(&kills) == undisturbed,
            "FOREBAY_SEED={seed}: other rows"
        );
    }
}

/// `FOREBAY_SEED` alone, or so many from anywhere.
fn seeds(number: u64) -> Vec<u64> {
    let one = std::env::var("FOREBAY_SEED").ok();
    if let Some(seed) = one.and_then(|seed| seed.parse().ok()) {
        return vec![seed];
    }
    let first = u64::from(fastrand::u32(..));
    (first..first + number).collect()
}

const PLAIN: Scorers = Scorers {
    framework: "",
    other_roles: "",
    nodes: 1,
    dealing: "{ credit = 20 }",
    python: "dataflow",
    script: "\
def score(batch):
    return batch.numpy('id') * 2.5
def end():
    pass
",
};

/// How many jobs run at once: they wait most of the time.
const AT_ONCE: usize = 8;

#[test]
fn a_hundred_jobs_whose_workers_are_killed_score_as_if_nobody_had_been() {
    let of = |nodes, dealing| Scorers {
        nodes,
        dealing,
        ..PLAIN
    };
    let shapes = [
        PLAIN,
        of(1, "{ key = \"id\", rows = 50 }"),
        of(2, "{ rounds = 20 }"),
        of(2, "{ credit = 10 }"),
    ];
    let undisturbed = shapes.each_ref().map(|scorers| scorers.rows(&[]));
    let seeds = seeds(100);
    let next = AtomicUsize::new(0);
    let take_seeds = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let shape = usize::try_from(seed % 4).expect("it is small");
            shapes[shape].assert_kills_change_nothing(&undisturbed[shape], *seed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(take_seeds);
        }
    });
}

/// The same, once, with two workers of a framework that work together on each batch.
#[track_caller]
fn assert_survives_kills(scorers: Scorers) {
    environment(scorers.python);
    let _one = heavy();
    let undisturbed = scorers.rows(&[]);
    for seed in seeds(1) {
        scorers.assert_kills_change_nothing(&undisturbed, seed);
    }
}

#[test]
fn kills_change_nothing_of_what_pytorch_scores() {
    assert_survives_kills(Scorers {
        framework: "framework = \"pytorch\"\n",
        other_roles: "",
        nodes: 2,
        dealing: "{ rounds = 50 }",
        python: "pytorch",
        script: "\
import torch
torch.distributed.init_process_group('gloo')
layer = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
def score(batch):
    weight = torch.full((1, 1), 1.25)
    torch.distributed.all_reduce(weight)
    layer.weight.copy_(weight)
    return layer(batch.torch('features')).squeeze(1)
def end():
    torch.distributed.destroy_process_group()
",
    });
}

#[test]
fn kills_change_nothing_of_what_tensorflow_scores() {
    assert_survives_kills(Scorers {
        framework: "framework = \"tensorflow\"\n",
        other_roles: "[roles.ps]\nscript = \"worker.py\"\npython = \"tensorflow\"\nenvironment = { TF_CPP_MIN_LOG_LEVEL = \"2\" }\nlimits = { stop_grace = \"1 s\" }\n",
        nodes: 2,
        dealing: "{ credit = 50 }",
        python: "tensorflow",
        script: "\
import json, os
import forebay
import tensorflow.compat.v1 as tf
tf.disable_eager_execution()
node = forebay.node()
cluster = json.loads(os.environ['TF_CONFIG'])['cluster']
server = tf.train.Server(cluster, job_name=node.role, task_index=node.index)
if node.role == 'ps':
    server.join()
with tf.device('/job:ps/task:0'):
    weight = tf.get_variable('weight', [], tf.float32, tf.constant_initializer(2.5))
features = tf.placeholder(tf.float32, [None, 1])
scores = tf.squeeze(features * weight, 1)
own_devices = tf.ConfigProto(device_filters=['/job:ps', f'/job:worker/task:{node.index}'])
session = tf.Session(server.target, config=own_devices)
session.run(weight.initializer)
def score(batch):
    return session.run(scores, {features: batch.numpy('features')})
def end():
    session.close()
",
    });
}

#[test]
fn kills_change_nothing_of_what_mxnet_scores() {
    assert_survives_kills(Scorers {
        framework: "framework = \"mxnet\"\n",
        other_roles: "[roles.server]\npython = \"mxnet\"\nlimits = { stop_grace = \"1 s\" }\n",
        nodes: 2,
        dealing: "{ rounds = 50 }",
        python: "mxnet",
        script: "\
import forebay
import mxnet as mx
node = forebay.node()
store = mx.kv.create('dist_sync')
store.init('weight', mx.nd.zeros(1))
weight = mx.nd.zeros(1)
def score(batch):
    store.push('weight', mx.nd.full(1, 1.25))
    store.pull('weight', out=weight)
    return mx.nd.dot(batch.mxnet('features'), weight)
def end():
    node.done()
",
    });
}

/// A scorer slow enough to be killed in its midst.
fn slow_scorer(sandbox: &Sandbox) -> String {
    let script = SCORING.replace("    node.emit", "    import time; time.sleep(0.005)\n    node.report(step=int(batch.numpy('id')[0]) + 1)\n    node.emit");
    scorer(sandbox, &script, "nodes = 2\ndealing = { credit = 20 }")
}

#[test]
fn a_worker_that_is_killed_costs_no_row_and_doubles_none() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    println!("seed {seed}");
    for _ in 0..2 {
        let sandbox = Sandbox::new();
        let run = start(
            &sandbox,
            &job(&[&numbers(6_000), &slow_scorer(&sandbox), &restarts(5, 10)]),
        );
        for attempt in 1..=rng.u64(1..=3) {
            let node = format!("scorer:{}", rng.u32(0..2));
            let pid = ready_again(&run, &node, attempt);
            run.wait_event("a step of it", |event| {
                event["kind"] == "report" && event["node"] == *node && event["attempt"] == attempt
            });
            kill(pid);
        }
        let output = run.finish();
        output.assert_code(0);
        assert_scores(&sandbox, 6_000);
    }
}

#[test]
fn nodes_end_with_their_engine() {
    let sandbox = Sandbox::new();
    let source = generated("numbers", "", "rate = 1000");
    let run = start(&sandbox, &job(&[&source, &counting(&sandbox, "nodes = 2")]));
    let pids = ["worker:0", "worker:1"].map(|node| ready(&run, node));
    run.wait_event("a step", reported_step("worker:1", 1));
    run.signal(Signal::KILL);
    for pid in pids {
        let process = PathBuf::from(format!("/proc/{pid}"));
        wait_until("the end of a node", Duration::from_secs(20), || {
            !process.exists()
        });
    }
    run.finish();
}

#[test]
fn one_that_is_stopped_for_a_while_goes_on() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job(&[&numbers(40_000), &slow_scorer(&sandbox)]));
    let pid = ready(&run, "scorer:0");
    run.wait_event("a step", reported_step("scorer:0", 1));
    signal(pid, Signal::STOP);
    sandbox.command("sleep").args(["5"]).run().assert_code(0);
    signal(pid, Signal::CONT);
    let output = run.finish();
    output.assert_code(0);
    assert_scores(&sandbox, 40_000);
}

// --------------------------------------------------------------------------------------------------- nobody waits for ever

#[test]
fn workers_in_step_go_on_with_one_thread_and_the_smallest_rings() {
    let _one = heavy();
    let sandbox = Sandbox::new();
    let script = "\
import forebay
import torch
node = forebay.node()
torch.distributed.init_process_group('gloo')
network = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
improve = torch.optim.SGD(network.parameters(), lr=1e-9)
ids = []
for step, batch in enumerate(node.feed, start=1):
    improve.zero_grad()
    network(batch.torch('features')).square().mean().backward()
    improve.step()
    ids += batch.torch('id').tolist()
    node.report(step=step)
torch.distributed.destroy_process_group()
(node.output / f'{node.role}-{node.index}').write_text(' '.join(map(str, ids)))
";
    let keys = "input = \"numbers\"\nnodes = 2\ndealing = { rounds = 64 }\ninput_ring = \"16 KiB\"\ntensors = { features = [\"id\"], id = \"id\" }";
    let worker = role(&sandbox, "worker", "pytorch", script, keys);
    let rows = 20_000;
    let head = "framework = \"pytorch\"\n[dataflow]\nthreads = 1\n";
    sandbox.write("job.toml", job(&[head, &numbers(rows), &worker]));
    let (variable, cache) = compile_cache(&sandbox);
    let output = run_json(&sandbox)
        .env(variable, cache)
        .within(PATIENCE)
        .run();
    output.assert_code(0);
    let rounds = rows / 128;
    assert_once(&ids(&output, 2), rounds * 128, 0, "rounds");
    for node in ["worker:0", "worker:1"] {
        assert_eq!(output.summary().reported(node, "step"), rounds, "{output}");
    }
}

#[test]
fn an_answer_to_nothing_fails_by_name() {
    let twice = "\
import forebay
node = forebay.node()
batch = next(node.feed)
for _ in range(2):
    node.emit({'score': batch.numpy('id') * 2.5})
";
    let unread = "\
import forebay
node = forebay.node()
while True:
    node.emit({'score': [0.0] * 100})
";
    for script in [twice, unread] {
        let sandbox = Sandbox::new();
        let output = run(
            &sandbox,
            &job(&[&numbers(4_000), &scorer(&sandbox, script, "")]),
        );
        output.assert_code(1);
        let reason = output.summary().reason().to_owned();
        assert_eq!(
            reason, "ValueError: no batch waits for an answer",
            "{output}"
        );
    }
}

/// One thread reads all that comes, and another one answers when there is nothing more.
const READS_AHEAD: &str = "\
import threading
import forebay
node = forebay.node()
batches = []
def reads_ahead():
    batches.extend(node.feed)
reader = threading.Thread(target=reads_ahead)
reader.start()
reader.join()
for batch in batches:
    node.emit({'score': batch.numpy('id') * 2.5}, of=batch)
";

#[test]
fn all_may_be_read_before_it_is_answered_where_the_ring_takes_it() {
    let sandbox = Sandbox::new();
    let output = run(
        &sandbox,
        &job(&[&numbers(4_000), &scorer(&sandbox, READS_AHEAD, "")]),
    );
    output.assert_code(0);
    assert_scores(&sandbox, 4_000);
}

/// Runs a scorer that stands still in this function, with rings that are full soon.
#[track_caller]
fn assert_stands_still(script: &str, function: &str) {
    let sandbox = Sandbox::new();
    let keys = "input_ring = \"16 KiB\"\nlimits = { stall_kill = \"1 s\" }";
    sandbox.write(
        "job.toml",
        job(&[&numbers(20_000), &scorer(&sandbox, script, keys)]),
    );
    let run = run_json(&sandbox).within(3 * WATCHDOG).start();
    let stalled = run.wait_event("it stands still", |event| event["kind"] == "stalled");
    assert_eq!(stalled["stall"], "no-progress", "{stalled}");
    let stacks = stalled["stacks"].as_str().unwrap_or_default();
    assert!(stacks.contains(function), "{stalled}");
    let output = run.finish();
    output.assert_code(1);
    let reason = output.summary().reason().to_owned();
    assert_eq!(reason, "it made no progress and was ended", "{output}");
    assert!(!sandbox.work().join("scores.jsonl").exists());
}

#[test]
fn who_never_reads_or_keeps_the_room_that_the_dataflow_waits_for_is_shown_and_ended() {
    let never_reads = "\
import time
import forebay
feed = forebay.node().feed
def never_reads():
    time.sleep(4711)
never_reads()
";
    // The arrays are gone, but what has no answer stays in the ring.
    let forgets = "\
import forebay
node = forebay.node()
def answers_nothing():
    return [len(batch) for batch in node.feed]
for rows in answers_nothing():
    node.emit({'score': [0.0] * rows})
";
    thread::scope(|scope| {
        scope.spawn(|| assert_stands_still(never_reads, "never_reads"));
        scope.spawn(|| assert_stands_still(forgets, "answers_nothing"));
        scope.spawn(|| assert_stands_still(READS_AHEAD, "reads_ahead"));
    });
}

#[test]
fn full_rings_before_a_sink_that_takes_nothing_are_no_stall_and_cost_no_row() {
    let sandbox = Sandbox::new();
    let script = SCORING.replace("* 2.5}", "* 2.5, 'text': ['x' * 100] * len(batch)}");
    // Answers are larger than the rows, and each of them larger than a record.
    let keys = "input = \"numbers\"\noutput = { score = \"float64\", text = \"string\" }\ndealing = { credit = 64 }\ninput_ring = \"16 KiB\"\noutput_ring = \"16 KiB\"";
    let scorer = role(&sandbox, "scorer", "dataflow", &script, keys);
    let rows = 3_000;
    let queues = "[dataflow]\nqueue_rows = 16\nqueue_bytes = \"1 KiB\"\n";
    let screen = sink("screen", "scorer", "to = \"stdout\"");
    sandbox.write("job.toml", job(&[queues, &numbers(rows), &scorer, &screen]));
    let mut reader = SlowReader::new(&sandbox);
    let run = reader.of(sandbox.forebay(["run", "job.toml"]));
    let run = run.within(3 * WATCHDOG).start();
    let first = reader.row();
    wait_until("the rings are full", WATCHDOG, || {
        is_held(&sandbox, "numbers")
    });
    // Longer than a node may stand still.
    sandbox.command("sleep").args(["33"]).run().assert_code(0);
    assert!(is_held(&sandbox, "numbers"), "nobody has read");
    let (mut read, output) = reader.rest_of(run);
    output.assert_code(0);
    read.push(first);
    read.sort_by_key(|row| row["id"].as_u64());
    assert_eq!(read.len() as u64, rows, "{output}");
    for (id, row) in (0_u32..).zip(&read) {
        assert_eq!(row["id"], id);
        assert_eq!(row["score"].as_f64(), Some(f64::from(id) * 2.5));
    }
    assert!(!has_stalled(&sandbox), "{output}");
    assert_eq!(summary(&sandbox)["outcome"], "succeeded", "{output}");
}

/// Whether the newest run has told of a node that stands still.
fn has_stalled(sandbox: &Sandbox) -> bool {
    let run = sandbox.runs().pop().expect("there was a run");
    let events = fs::read_to_string(run.join("events.jsonl")).expect("it is written");
    let mut events = events
        .lines()
        .map(|line| -> Value { serde_json::from_str(line).expect("it is JSON") });
    events.any(|event| event["kind"] == "stalled")
}
