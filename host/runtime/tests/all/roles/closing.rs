//! Nodes that read no more, and what becomes of their rows.

use std::collections::VecDeque;
use std::fs;

use fastrand::Rng;

use super::{Kind, Node, Read, answered_by_two, ids, node, plan, reads_all, start, text};
use crate::{document, folder, job, planned, runtime};

#[test]
fn nodes_that_close_their_feeds_at_any_time_lose_no_row() {
    let runtime = runtime();
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let dealing = ["{ credit = 7 }", "{ key = \"id\", rows = 9 }"][rng.usize(..2)];
        let rows = rng.u64(1..20_000);
        let keys = format!("nodes = 3\ndealing = {dealing}\ninput_ring = \"16 KiB\"");
        let (_folder, plan) = plan(&text(rows, &keys), &runtime);
        let closing = |after: usize| {
            move |mut node: Node| {
                let mut all = Vec::new();
                for _ in 0..after {
                    match node.read() {
                        Read::Rows(_, batch) => all.extend(ids(&batch)),
                        Read::Mark(_) => {}
                        Read::End => break,
                    }
                }
                node.close();
                all
            }
        };
        let running = start(&plan, 1 + rng.usize(..2));
        let feeds = plan.feeds();
        let nodes = [
            node(feeds, 0, closing(rng.usize(..50))),
            node(feeds, 1, closing(rng.usize(..500))),
            node(feeds, 2, reads_all),
        ];
        let mut all: Vec<i64> = nodes
            .into_iter()
            .flat_map(|node| node.join().expect("it can be done"))
            .collect();
        all.sort_unstable();
        let progress = running.wait().expect("it can be done");
        assert_eq!(progress[1].dropped, 0, "seed {seed}");
        assert!(
            all.iter().copied().eq(0..rows as i64),
            "seed {seed}: {} of {rows}",
            all.len()
        );
        assert!(feeds.ended_inputs(1).contains("worker"), "seed {seed}");
    }
}

const CLOSING: &str = r#"
name = "job"
[sources.rows]
path = "rows.csv"
event_time = "at"
replay = { speed = 7200000 }
[roles.worker]
nodes = 2
command = ["true"]
input = "rows"
dealing = DEALING
output = { score = "float64" }
[transforms.hourly]
sql = "SELECT date_trunc('hour', at) AS hour, count(*) AS n, sum(score) AS score FROM worker GROUP BY 1"
[sinks.out]
input = "hourly"
path = "hourly.csv"
"#;

/// Answers in the order of the rows, the older ones when there are so many, with the id of each; reads no more after so many batches.
fn answers_late(mut node: Node, lag: usize, after: usize) {
    let columns = node.announce_results();
    let mut owed = VecDeque::new();
    let answer = |node: &mut Node, (sequence, ids): (u64, Vec<i64>)| {
        let scores = ids.into_iter().map(|id| id as f64).collect();
        node.answer(&columns, sequence, scores);
    };
    for _ in 0..after {
        match node.read() {
            Read::Rows(header, batch) => owed.push_back((header.sequence, ids(&batch))),
            Read::Mark(header) if header.kind == Kind::Barrier => node.echo(&header),
            Read::Mark(_) => {}
            Read::End => break,
        }
        if owed.len() > lag {
            answer(&mut node, owed.pop_front().expect("there are some"));
        }
    }
    for rest in owed {
        answer(&mut node, rest);
    }
    node.close();
}

#[test]
fn rows_that_a_node_leaves_are_answered_in_time() {
    let runtime = runtime();
    let rows = 3_000;
    let lines = (0..rows).map(|row| {
        let minutes = 7 * row;
        let (days, hours) = (minutes / 1440, minutes / 60 % 24);
        format!(
            "{row},2013-01-{:02}T{hours:02}:{:02}:00Z\n",
            1 + days,
            minutes % 60
        )
    });
    let csv = lines.collect::<Vec<_>>().concat();
    // Event time goes on in small steps.
    for seed in 0..16 {
        let mut rng = Rng::with_seed(seed);
        let dealing = ["{ credit = 5 }", "{ key = \"id\", rows = 9 }"][rng.usize(..2)];
        let folder = folder(&[("rows.csv", &format!("id,at\n{csv}"))]);
        let text = CLOSING.replace("DEALING", dealing);
        let planned = planned(&job(&document(&text, folder.path())), &runtime);
        let plan = planned.plan;
        let plan = plan.unwrap_or_else(|| panic!("{:?}", planned.problems));
        let running = start(&plan, 1 + rng.usize(..2));
        let (after, lag) = (rng.usize(..100), rng.usize(5..30));
        let nodes = [
            node(plan.feeds(), 0, move |node| answers_late(node, 0, after)),
            node(plan.feeds(), 1, move |node| {
                answers_late(node, lag, usize::MAX);
            }),
        ];
        for node in nodes {
            node.join().expect("it can be done");
        }
        let progress = running.wait().expect("it can be done");
        let late: u64 = progress.iter().map(|one| one.late).sum();
        let counted = fs::read_to_string(folder.path().join("hourly.csv")).expect("it is there");
        let sums = counted.lines().skip(1).map(|line| {
            let of = |at: usize| line.split(',').nth(at).and_then(|text| text.parse().ok());
            (of(1).unwrap_or(0.0), of(2).unwrap_or(0.0))
        });
        let (all, scores): (Vec<f64>, Vec<f64>) = sums.unzip();
        let expected = f64::from(rows * (rows - 1) / 2);
        let found = (late, all.iter().sum::<f64>(), scores.iter().sum::<f64>());
        assert_eq!(
            found,
            (0, f64::from(rows), expected),
            "seed {seed}: {dealing}"
        );
    }
}

#[test]
fn nodes_whose_answers_nobody_reads_any_more_get_their_end() {
    let runtime = runtime();
    let keys = "nodes = 2\ndealing = { credit = 10 }\noutput = { score = \"float64\" }";
    let text = text(1_000_000_000, keys)
        + "[transforms.few]\nsql = \"SELECT id, score FROM worker LIMIT 25\"\n[sinks.out]\ninput = \"few\"\npath = \"few.csv\"\n";
    let csv = answered_by_two(&text, "few.csv", &runtime);
    assert_eq!(csv.lines().count(), 1 + 25, "{csv}");
}
