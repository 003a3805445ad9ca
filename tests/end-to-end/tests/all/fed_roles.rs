//! Roles that the dataflow feeds: every row comes once, whoever gets it; what nodes answer comes back; and a feed ends as its script wants
//! it.

#![expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "numbers here are small, and halves of them exact"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use forebay_test_support::{Output, Sandbox, Signal, environment, reported_step, repository};
use serde_json::Value;

use crate::dataflows::{count, generated, sink, summary};
use crate::frameworks::compile_cache;
use crate::jobs::{heavy, run, run_json, start};

/// Counts the ids that it is fed, and writes them down.
const COUNTING: &str = "\
import forebay
node = forebay.node()
ids = []
for batch in node.feed:
    ids += batch.numpy('id').tolist()
    node.report(step=len(ids))
(node.output / f'{node.role}-{node.index}').write_text(' '.join(map(str, ids)))
";

/// Answers each row.
pub(crate) const SCORING: &str = "\
import forebay
node = forebay.node()
for batch in node.feed:
    node.emit({'score': batch.numpy('id') * 2.5})
";

/// A source `numbers` of so many rows.
pub(crate) fn numbers(rows: u64) -> String {
    generated("numbers", "batch_rows = 700", &format!("rows = {rows}"))
}

/// A role whose nodes run this script in the environment `python`.
pub(crate) fn role(
    sandbox: &Sandbox,
    name: &str,
    python: &str,
    script: &str,
    keys: &str,
) -> String {
    environment(python);
    sandbox.write(format!("{name}.py"), script);
    format!("[roles.{name}]\nscript = \"{name}.py\"\npython = \"{python}\"\n{keys}\n")
}

pub(crate) fn job(parts: &[&str]) -> String {
    format!("name = \"fed\"\n{}", parts.concat())
}

/// A worker that counts, with numpy at hand.
pub(crate) fn counting(sandbox: &Sandbox, keys: &str) -> String {
    role(
        sandbox,
        "worker",
        "dataflow",
        COUNTING,
        &format!("input = \"numbers\"\n{keys}"),
    )
}

/// What each node of `worker` has written down.
#[track_caller]
pub(crate) fn ids(output: &Output, nodes: u64) -> Vec<Vec<u64>> {
    let folder = output.summary().run_dir().join("output");
    let of_node = |index| {
        let text = fs::read_to_string(folder.join(format!("worker-{index}")));
        let text = text.unwrap_or_else(|error| panic!("worker:{index}: {error}: {output}"));
        text.split_whitespace()
            .map(|id| id.parse().expect("it is a number"))
            .collect()
    };
    (0..nodes).map(of_node).collect()
}

/// All rows but so many have come, each once.
#[track_caller]
pub(crate) fn assert_once(ids: &[Vec<u64>], rows: u64, dropped: u64, what: &str) {
    let all: Vec<u64> = ids.iter().flatten().copied().collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "some came twice: {what}");
    assert_eq!(all.len() as u64 + dropped, rows, "{what}");
    assert!(distinct.iter().all(|id| *id < rows), "{what}");
}

// ------------------------------------------------------------------------------------------------------ every row comes once

/// Runs workers that are dealt rows so; what each got, and how many filled no round.
#[track_caller]
fn dealt(rows: u64, nodes: u64, dealing: &str, ring: &str) -> (Vec<Vec<u64>>, u64) {
    let sandbox = Sandbox::new();
    let keys = format!("nodes = {nodes}\ndealing = {dealing}\ninput_ring = \"{ring}\"");
    let output = run(
        &sandbox,
        &job(&[&numbers(rows), &counting(&sandbox, &keys)]),
    );
    output.assert_code(0);
    let dropped = count(&summary(&sandbox)["dataflow"], "numbers", "dropped");
    let fed = ids(&output, nodes);
    assert_once(
        &fed,
        rows,
        dropped,
        &format!("{nodes} nodes, {dealing}, {ring}"),
    );
    (fed, dropped)
}

/// Numbers of nodes with the least rings and large ones, batches of one row and of many, and the rows of such a run.
fn shapes(many: u64) -> impl Iterator<Item = (u64, &'static str, u64, u64)> {
    let of = move |nodes| {
        ["16 KiB", "64 MiB"]
            .into_iter()
            .flat_map(move |ring| [(nodes, ring, 1, 1_999), (nodes, ring, many, 9 * many + 1)])
    };
    [1, 2, 4].into_iter().flat_map(of)
}

#[test]
fn rounds_give_as_many_rows_to_everybody() {
    for (nodes, ring, of, rows) in shapes(512) {
        let (fed, dropped) = dealt(rows, nodes, &format!("{{ rounds = {of} }}"), ring);
        let of_each = rows / (nodes * of) * of;
        assert!(
            fed.iter().all(|ids| ids.len() as u64 == of_each),
            "{nodes} nodes"
        );
        assert_eq!(dropped, rows - nodes * of_each);
    }
}

#[test]
fn credit_gives_rows_to_whoever_has_room() {
    for (nodes, ring, of, rows) in shapes(4096) {
        let (_, dropped) = dealt(rows, nodes, &format!("{{ credit = {of} }}"), ring);
        assert_eq!(dropped, 0);
    }
}

#[test]
fn rows_of_a_key_go_to_one_node_in_their_order() {
    for (nodes, ring, of, rows) in shapes(512) {
        let dealing = format!("{{ key = \"id\", rows = {of} }}");
        let (fed, dropped) = dealt(rows, nodes, &dealing, ring);
        assert_eq!(dropped, 0);
        assert!(fed.iter().all(|ids| ids.is_sorted()), "{nodes} nodes");
        let shares = fed.iter().filter(|ids| !ids.is_empty()).count();
        assert_eq!(shares as u64, nodes, "everybody gets some");
    }
}

#[test]
fn all_passes_have_the_same_rows() {
    let sandbox = Sandbox::new();
    let script = "\
import forebay
node = forebay.node()
passes = [[int(id) for batch in one for id in batch.numpy('id')] for one in node.feed.passes()]
assert len(passes) == 3 and passes[0] == passes[1] == passes[2], [len(one) for one in passes]
(node.output / f'worker-{node.index}').write_text(' '.join(map(str, passes[0])))
";
    let keys = "input = \"numbers\"\nnodes = 2\npasses = 3\ndealing = { rounds = 100 }\ninput_ring = \"16 KiB\"";
    let worker = role(&sandbox, "worker", "dataflow", script, keys);
    let output = run(&sandbox, &job(&[&numbers(5_000), &worker]));
    output.assert_code(0);
    assert_once(&ids(&output, 2), 5_000, 0, "passes");
    let feeds = summary(&sandbox)["dataflow"]["feeds"].clone();
    assert_eq!(
        (&feeds[0]["rows"], &feeds[0]["pass"]),
        (&7_500.into(), &3.into()),
        "{feeds}"
    );
}

// ---------------------------------------------------------------------------------------------------------- what comes back

/// The rows of the sink `scores`.
pub(crate) fn scores(sandbox: &Sandbox) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(sandbox.work().join("scores.jsonl")).expect("it is written");
    let row = |line| {
        let row: Value = serde_json::from_str(line).expect("it is JSON");
        (
            row["id"].as_u64().expect("an id"),
            row["score"].as_f64().expect("a score"),
        )
    };
    text.lines().map(row).collect()
}

pub(crate) fn scorer(sandbox: &Sandbox, script: &str, keys: &str) -> String {
    let keys = format!("input = \"numbers\"\noutput = {{ score = \"float64\" }}\n{keys}");
    let scores = sink("scores", "scorer", "path = \"scores.jsonl\"");
    role(sandbox, "scorer", "dataflow", script, &keys) + &scores
}

#[track_caller]
pub(crate) fn assert_scores(sandbox: &Sandbox, rows: u64) {
    let scores = scores(sandbox);
    let distinct: BTreeSet<u64> = scores.iter().map(|(id, _)| *id).collect();
    assert_eq!((scores.len() as u64, distinct.len() as u64), (rows, rows));
    assert!(scores.iter().all(|(id, score)| *id as f64 * 2.5 == *score));
}

#[test]
fn every_row_has_its_score_through_the_smallest_rings() {
    for (nodes, dealing) in [
        (1, "{ credit = 1 }"),
        (2, "{ key = \"id\", rows = 64 }"),
        (4, "{ credit = 1000 }"),
    ] {
        let sandbox = Sandbox::new();
        let keys = format!(
            "nodes = {nodes}\ndealing = {dealing}\ninput_ring = \"16 KiB\"\noutput_ring = \"16 KiB\""
        );
        let output = run(
            &sandbox,
            &job(&[&numbers(4_000), &scorer(&sandbox, SCORING, &keys)]),
        );
        output.assert_code(0);
        assert_scores(&sandbox, 4_000);
    }
}

#[test]
fn scores_of_a_key_come_back_in_the_order_of_its_rows() {
    let sandbox = Sandbox::new();
    let script = SCORING.replace(
        "    node.emit",
        "    import time\n    time.sleep(0.003 * node.index)\n    node.emit",
    );
    let kinds = "[transforms.kinds]\nsql = \"SELECT id, id % 23 AS kind FROM numbers\"\n";
    let keys = "input = \"kinds\"\noutput = { score = \"float64\" }\nnodes = 3\ndealing = { key = \"kind\", rows = 16 }\noutput_ring = \"16 KiB\"";
    let scorer = role(&sandbox, "scorer", "dataflow", &script, keys);
    let sink = sink("scores", "scorer", "path = \"scores.jsonl\"");
    let output = run(&sandbox, &job(&[&numbers(10_000), kinds, &scorer, &sink]));
    output.assert_code(0);
    assert_scores(&sandbox, 10_000);
    let mut of_kinds: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (id, _) in scores(&sandbox) {
        of_kinds.entry(id % 23).or_default().push(id);
    }
    assert!(of_kinds.values().all(|ids| ids.is_sorted()), "{output}");
    let all: Vec<u64> = scores(&sandbox).into_iter().map(|(id, _)| id).collect();
    assert!(!all.is_sorted(), "nodes that are not equally fast");
}

#[test]
fn scores_are_rows_with_an_event_time() {
    let sandbox = Sandbox::new();
    let numbers = generated("numbers", "event_time = \"at\"", "rows = 5000");
    let windows = "[transforms.windows]\nsql = \"SELECT date_trunc('second', at) AS second, count(*) AS n, sum(score) AS total FROM scorer GROUP BY date_trunc('second', at)\"\n";
    let sums = sink("sums", "windows", "path = \"sums.jsonl\"");
    let scorer = scorer(&sandbox, SCORING, "dealing = { key = \"id\" }\nnodes = 2");
    let output = run(&sandbox, &job(&[&numbers, &scorer, windows, &sums]));
    output.assert_code(0);
    let text = fs::read_to_string(sandbox.work().join("sums.jsonl")).expect("it is written");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect();
    let total = |key: &str| rows.iter().filter_map(|row| row[key].as_f64()).sum::<f64>();
    assert_eq!((rows.len(), total("n")), (5, 5000.0), "{text}");
    assert_eq!(total("total"), 2.5 * 4999.0 * 5000.0 / 2.0, "{text}");
}

#[test]
fn an_answer_of_other_rows_fails_by_name() {
    let sandbox = Sandbox::new();
    let script = SCORING.replace("batch.numpy('id') * 2.5", "batch.numpy('id')[1:] * 2.5");
    let output = run(
        &sandbox,
        &job(&[&numbers(4_000), &scorer(&sandbox, &script, "")]),
    );
    output.assert_code(1);
    assert!(output.summary().reason().contains("rows"), "{output}");
    assert!(!sandbox.work().join("scores.jsonl").exists());
}

// ------------------------------------------------------------------------------------------------------- how a feed ends

#[test]
fn it_streams_into_training() {
    let sandbox = Sandbox::new();
    let rows = 200_000;
    let source = |name| {
        let keys = format!("rate = 2000\nrows = {rows}");
        generated(name, "event_time = \"at\"", &keys)
    };
    let joined = "[transforms.joined]\nsql = \"SELECT n.id, n.at FROM numbers n JOIN others o ON n.id = o.id AND n.at = o.at\"\n";
    let worker = counting(&sandbox, "nodes = 2").replace("\"numbers\"", "\"joined\"");
    let run = start(
        &sandbox,
        &job(&[&source("numbers"), &source("others"), joined, &worker]),
    );
    run.wait_event("a step", reported_step("worker:0", 1));
    run.wait_event("a step", reported_step("worker:1", 1));
    run.signal(Signal::INT);
    let output = run.finish();
    output.assert_code(130);
    let dataflow = summary(&sandbox)["dataflow"].clone();
    for source in ["numbers", "others"] {
        let sent = count(&dataflow, source, "rows_out");
        assert!(sent * 10 < rows, "{sent} of {rows}: {output}");
    }
    assert_eq!(dataflow["phase"], "drained", "{output}");
    // What was joined went to the nodes, and they have ended by themselves.
    let fed = ids(&output, 2);
    let all = fed.iter().flatten().count() as u64;
    assert_once(&fed, all, 0, "a stop");
    let joined = ["numbers", "others"].map(|source| count(&dataflow, source, "rows_out"));
    assert_eq!(Some(&all), joined.iter().min(), "all that have a partner");
}

#[test]
fn rows_that_a_node_does_not_want_go_to_the_others() {
    for dealing in ["{ credit = 10 }", "{ key = \"id\", rows = 10 }"] {
        let sandbox = Sandbox::new();
        // The others leave it some: their rings are small, and they read when it has ended.
        let script = COUNTING
            .replace(
                "    node.report",
                "    if node.index == 0 and len(ids) >= 100:\n        node.feed.close()\n        break\n    node.report",
            )
            .replace(
                "ids = []",
                "ids = []\nimport time\nwhile node.index > 0 and not (node.output / 'worker-0').exists():\n    time.sleep(0.01)",
            );
        let keys =
            format!("input = \"numbers\"\nnodes = 3\ninput_ring = \"16 KiB\"\ndealing = {dealing}");
        let worker = role(&sandbox, "worker", "dataflow", &script, &keys);
        let output = run(&sandbox, &job(&[&numbers(30_000), &worker]));
        output.assert_code(0);
        let fed = ids(&output, 3);
        assert!((100..120).contains(&fed[0].len()), "{} rows", fed[0].len());
        assert_once(&fed, 30_000, 0, dealing);
    }
}

#[test]
fn with_rounds_one_that_closes_ends_the_input_of_all() {
    let sandbox = Sandbox::new();
    let script = COUNTING.replace(
        "    node.report",
        "    if node.index == 0:\n        node.feed.close()\n        break\n    node.report",
    );
    let source = generated("numbers", "", "rate = 5000");
    let keys = "input = \"numbers\"\nnodes = 2\ndealing = { rounds = 10 }";
    let worker = role(&sandbox, "worker", "dataflow", &script, keys);
    let output = run(&sandbox, &job(&[&source, &worker]));
    output.assert_code(0);
    assert_eq!(ids(&output, 2)[0].len(), 10, "{output}");
}

#[test]
fn a_script_that_leaves_its_input_fails() {
    for script in [
        "import forebay\nforebay.node()\n",
        "import forebay\nfor batch in forebay.node().feed:\n    break\n",
    ] {
        let sandbox = Sandbox::new();
        let worker = role(
            &sandbox,
            "worker",
            "plain",
            script,
            "input = \"numbers\"\nnodes = 2",
        );
        let output = run(&sandbox, &job(&[&numbers(100_000), &worker]));
        output.assert_code(1);
        let reason = output.summary().reason().to_owned();
        assert_eq!(
            reason, "it ended with exit code 0 before it had read its input",
            "{output}"
        );
    }
}

#[test]
fn a_slow_node_holds_up_nobody_who_has_credit() {
    let sandbox = Sandbox::new();
    let script = COUNTING.replace(
        "    node.report",
        "    if node.index == 0:\n        import time\n        time.sleep(0.05)\n    node.report",
    );
    let keys = "input = \"numbers\"\nnodes = 2\ndealing = { credit = 64 }\ninput_ring = \"16 KiB\"";
    let worker = role(&sandbox, "worker", "dataflow", &script, keys);
    let output = run(
        &sandbox,
        &job(&["[dataflow]\nthreads = 1\n", &numbers(20_000), &worker]),
    );
    output.assert_code(0);
    let fed = ids(&output, 2);
    assert_once(&fed, 20_000, 0, "slow and fast");
    assert!(
        fed[1].len() > fed[0].len(),
        "{} and {}",
        fed[0].len(),
        fed[1].len()
    );
}

#[test]
fn a_row_that_is_too_large_says_which_setting_to_change() {
    let sandbox = Sandbox::new();
    sandbox.write("rows.csv", format!("id,text\n1,{}\n", "x".repeat(20_000)));
    let source = "[sources.numbers]\npath = \"rows.csv\"\n";
    let output = run(
        &sandbox,
        &job(&[source, &counting(&sandbox, "input_ring = \"16 KiB\"")]),
    );
    output.assert_code(1);
    let reason = output.summary().reason().to_owned();
    assert!(
        reason.contains("raise `roles.worker.input_ring` to 2 MiB"),
        "{reason}"
    );
}

// ------------------------------------------------------------------------------------------------------------ the page

/// The first two pairs of a job and its script in `docs/training.md`.
fn page() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("docs/training.md")).expect("it is there");
    let blocks = |language: &str| -> Vec<String> {
        let begin = format!("```{language}\n");
        let rests = text.split(&begin).skip(1);
        let block = |rest: &str| Some(rest.split("```").next()?.to_owned());
        rests.filter_map(block).collect()
    };
    blocks("toml")
        .into_iter()
        .zip(blocks("python"))
        .take(2)
        .collect()
}

#[test]
fn the_page_trains_and_scores() {
    let _one = heavy();
    environment("pytorch");
    let sandbox = Sandbox::new();
    let pages = page();
    for ((job, script), name) in pages.iter().zip(["train", "score"]) {
        sandbox.write(format!("{name}.py"), script);
        sandbox.write("job.toml", job);
        let (variable, cache) = compile_cache(&sandbox);
        let output = run_json(&sandbox).env(variable, cache).run();
        output.assert_code(0);
        if name == "train" {
            let model = output.summary().run_dir().join("output/model.pt");
            fs::copy(model, sandbox.work().join("model.pt")).expect("it has trained one");
        }
    }
    let scores = fs::read_to_string(sandbox.work().join("scores.csv")).expect("it is written");
    let row = |line: &str| -> Vec<f64> {
        line.split(',')
            .map(|value| value.parse().expect("a number"))
            .collect()
    };
    let rows: Vec<_> = scores.lines().skip(1).map(row).collect();
    assert_eq!(rows.len(), 1000);
    for row in rows {
        let meant = 3.0 * row[1] - 2.0 * row[2] + row[3];
        assert!((row[5] - meant).abs() < 0.01, "{row:?}");
    }
}
