//! Roles over real channels: the nodes are threads of the test, which may do what they like.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "numbers here are small"
)]

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Float64Array, RecordBatch};
use forebay_channel::{
    Body, Columns, FLAG_CONTINUES, FLAG_PADDING, Header, Kind, NodeEnd, Outcome, Record, read_body,
};
use forebay_dataflow::{Error, Options, Progress, Running, Watermark};
use forebay_runtime::{Feeds, Plan};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{document, folder, job, planned, runtime};

mod barriers;
mod closing;

const WATCHDOG: Option<Duration> = Some(Duration::from_secs(30));

/// A source of so many rows, and a role `worker` with these keys.
fn text(rows: u64, keys: &str) -> String {
    format!(
        "name = \"job\"\n[sources.numbers.generate]\nrows = {rows}\ncolumns.id = {{ kind = \"sequence\" }}\ncolumns.x = {{ kind = \"floats\", least = 0, most = 1 }}\n[roles.worker]\ncommand = [\"true\"]\ninput = \"numbers\"\n{keys}\n"
    )
}

fn plan(text: &str, runtime: &Runtime) -> (TempDir, Plan) {
    let folder = folder(&[]);
    let planned = planned(&job(&document(text, folder.path())), runtime);
    let plan = planned.plan;
    let plan = plan.unwrap_or_else(|| panic!("{:?}", planned.problems));
    (folder, plan)
}

fn start(plan: &Plan, threads: usize) -> Running {
    let options = Options {
        threads,
        ..Options::default()
    };
    plan.graph(1)
        .expect("it can be done")
        .start(&options)
        .expect("it can be done")
}

/// A node in a thread of its own.
fn node<T: Send + 'static>(
    feeds: &Feeds,
    index: u32,
    script: impl FnOnce(Node) -> T + Send + 'static,
) -> JoinHandle<T> {
    let descriptors = feeds.begin("worker", index, 1, 1).expect("it can be done");
    let end = NodeEnd::open(descriptors).expect("it can be done");
    thread::spawn(move || script(Node::new(end)))
}

struct Node {
    end: NodeEnd,
    columns: Option<Columns>,
    last: u64,
}

/// What a node reads.
enum Read {
    Rows(Header, RecordBatch),
    Mark(Header),
    End,
}

impl Node {
    fn new(end: NodeEnd) -> Self {
        Self {
            end,
            columns: None,
            last: 0,
        }
    }

    fn record(&mut self) -> Record {
        match self.end.wait_for_record(WATCHDOG).expect("it can be done") {
            Outcome::Came(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self) -> Read {
        loop {
            let record = self.record();
            let header = *record.header();
            match header.kind {
                Kind::Schema => {
                    self.columns = Some(Columns::decode(record.body()).expect("it can be done"));
                }
                Kind::Data => {
                    self.last = header.sequence;
                    let columns = self.columns.as_ref().expect("it can be done");
                    let rows = header.rows as usize;
                    let batch =
                        read_body(columns, rows, &record.into_buffer()).expect("it can be done");
                    return Read::Rows(header, batch);
                }
                Kind::End => return Read::End,
                _ => return Read::Mark(header),
            }
        }
    }

    fn write(&mut self, header: Header, body: &[u8]) {
        match self
            .end
            .wait_for_room(body.len(), WATCHDOG)
            .expect("it can be done")
        {
            Outcome::Came(mut slot) => {
                slot.body()[..body.len()].copy_from_slice(body);
                slot.commit(header, body.len());
            }
            other => panic!("{other:?}"),
        }
    }

    /// It reads no more.
    fn close(&mut self) {
        let tally = self.end.output.tally().encode();
        let header = Header {
            answers: self.last,
            ..Header::new(Kind::End)
        };
        self.write(header, &tally);
    }

    fn echo(&mut self, barrier: &Header) {
        let header = Header {
            checkpoint: barrier.checkpoint,
            ..Header::new(Kind::Barrier)
        };
        self.write(header, &[]);
    }

    fn announce_results(&mut self) -> Columns {
        let results = self.end.results.clone().expect("it can be done");
        self.write(Header::new(Kind::Schema), &results);
        Columns::decode(&results).expect("it can be done")
    }

    fn answer(&mut self, columns: &Columns, answers: u64, scores: Vec<f64>) {
        let rows = u32::try_from(scores.len()).expect("it can be done");
        let column = Arc::new(Float64Array::from(scores));
        let batch =
            RecordBatch::try_new(columns.schema().clone(), vec![column]).expect("it can be done");
        let body = Body::new(columns, &batch).expect("it can be done");
        let mut bytes = vec![0; body.bytes()];
        body.write(&mut bytes);
        let header = Header {
            answers,
            rows,
            ..Header::new(Kind::Data)
        };
        self.write(header, &bytes);
    }
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    let ids = batch.column_by_name("id").expect("it can be done");
    ids.as_primitive::<Int64Type>().values().to_vec()
}

/// Reads everything, whatever is a batch or a part of one; answers barriers.
fn reads_all(mut node: Node) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        match node.read() {
            Read::Rows(_, batch) => all.extend(ids(&batch)),
            Read::Mark(header) if header.kind == Kind::Barrier => node.echo(&header),
            Read::Mark(_) => {}
            Read::End => {
                node.close();
                return all;
            }
        }
    }
}

#[test]
fn a_node_hears_why_its_input_has_failed() {
    let runtime = runtime();
    let text = text(1_000_000, "input_ring = \"64 MiB\"")
        .replace("input = \"numbers\"", "input = \"shares\"")
        + "[transforms.shares]\nsql = \"SELECT 1 / (id - 900000) AS id FROM numbers\"\n";
    let (_folder, plan) = plan(&text, &runtime);
    let running = start(&plan, 1);
    let why = node(plan.feeds(), 0, |mut node| {
        loop {
            let record = node.record();
            if record.header().kind == Kind::Error {
                return String::from_utf8(record.body().to_vec()).expect("it can be done");
            }
        }
    });
    let failed = running.wait().expect_err("nothing is divided by 0");
    assert!(matches!(failed, Error::Operator { .. }), "{failed}");
    let why = why.join().expect("it can be done");
    assert!(why.starts_with("the dataflow has failed: `"), "{why}");
    assert!(why.contains("Divide by zero"), "{why}");
}

#[test]
fn an_answer_is_joined_with_its_row_in_whatever_order_it_comes() {
    let runtime = runtime();
    let text = text(
        500,
        "dealing = { credit = 10 }\noutput = { score = \"float64\" }",
    ) + "[sinks.scores]\ninput = \"worker\"\npath = \"scores.csv\"\n";
    let (folder, plan) = plan(&text, &runtime);
    let running = start(&plan, 1);
    let answers = node(plan.feeds(), 0, |mut node| {
        let columns = node.announce_results();
        let mut kept: Vec<(u64, Vec<i64>)> = Vec::new();
        let mut is_over = false;
        while !is_over {
            match node.read() {
                Read::Rows(header, batch) => kept.push((header.sequence, ids(&batch))),
                Read::Mark(_) => {}
                Read::End => is_over = true,
            }
            // The newest first.
            if kept.len() == 5 || is_over {
                for (sequence, ids) in kept.drain(..).rev() {
                    let scores = ids.iter().map(|id| *id as f64 / 2.0).collect();
                    node.answer(&columns, sequence, scores);
                }
            }
        }
        node.close();
    });
    answers.join().expect("it can be done");
    running.wait().expect("it can be done");
    let csv = fs::read_to_string(folder.path().join("scores.csv")).expect("it can be done");
    let rows: Vec<(usize, f64)> = csv
        .lines()
        .skip(1)
        .map(|line| {
            let values: Vec<&str> = line.split(',').collect();
            (
                values[0].parse().expect("it can be done"),
                values[2].parse().expect("it can be done"),
            )
        })
        .collect();
    let expected = (0..500).map(|id| (id, id as f64 / 2.0));
    assert!(rows.into_iter().eq(expected), "{csv}");
}

/// Answers each batch, which may be several records, with twice its ids.
fn answers_all(mut node: Node) {
    let columns = node.announce_results();
    let mut scores = Vec::new();
    loop {
        match node.read() {
            Read::Rows(header, batch) => {
                scores.extend(ids(&batch).into_iter().map(|id| 2.0 * id as f64));
                if header.flags & FLAG_CONTINUES == 0 {
                    node.answer(&columns, header.sequence, std::mem::take(&mut scores));
                }
            }
            Read::Mark(_) => {}
            Read::End => return node.close(),
        }
    }
}

/// What a sink has in the end, with two nodes that answer everything.
fn answered_by_two(text: &str, file: &str, runtime: &Runtime) -> String {
    let (folder, plan) = plan(text, runtime);
    let running = start(&plan, 2);
    let nodes = [0, 1].map(|index| node(plan.feeds(), index, answers_all));
    for node in nodes {
        node.join().expect("it can be done");
    }
    running.wait().expect("it can be done");
    fs::read_to_string(folder.path().join(file)).expect("it can be done")
}

#[test]
fn what_fills_up_a_round_is_answered_and_does_not_come_out() {
    let runtime = runtime();
    // The weights of all rows are those of a copy.
    let weighed = "[transforms.weighed]\nsql = \"SELECT id, 0.0 AS weight FROM numbers\"\n";
    let sink = "[sinks.scores]\ninput = \"worker\"\npath = \"scores.csv\"\n";
    let keys =
        "nodes = 2\ndealing = { rounds = 8, pad = \"weight\" }\noutput = { score = \"float64\" }";
    let text = text(20, keys).replace("input = \"numbers\"", "input = \"weighed\"");
    let csv = answered_by_two(&(text + weighed + sink), "scores.csv", &runtime);
    let mut rows: Vec<&str> = csv.lines().skip(1).collect();
    rows.sort_unstable();
    let mut expected: Vec<_> = (0..20).map(|id| format!("{id},0.0,{}.0", 2 * id)).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected);
}

/// A row of `slow` is with the node while that source falls silent and the other one goes on for hours. Their next rows come in years.
const SLOW_AND_BUSY: &str = r#"
name = "job"
[sources.slow]
path = "slow.csv"
event_time = "at"
idle_after = "50 ms"
replay = { speed = 36000 }
[sources.busy]
path = "busy.csv"
event_time = "at"
replay = { speed = 36000 }
[roles.worker]
command = ["true"]
input = "slow"
dealing = { credit = 1 }
output = { score = "float64" }
[transforms.both]
sql = "SELECT at FROM worker UNION ALL SELECT at FROM busy"
[transforms.hourly]
sql = "SELECT date_trunc('hour', at) AS hour, count(*) AS n FROM both GROUP BY 1"
[sinks.out]
input = "hourly"
path = "hourly.csv"
"#;

#[test]
fn a_silence_does_not_overtake_rows_that_are_with_a_node() {
    let runtime = runtime();
    let folder = folder(&[
        (
            "slow.csv",
            "at\n2013-01-01T05:00:00Z\n2033-01-01T00:00:00Z\n",
        ),
        (
            "busy.csv",
            "at\n2013-01-01T05:00:00Z\n2013-01-01T09:00:00Z\n2033-01-01T00:00:00Z\n",
        ),
    ]);
    let planned = planned(&job(&document(SLOW_AND_BUSY, folder.path())), &runtime);
    let plan = planned.plan;
    let plan = plan.unwrap_or_else(|| panic!("{:?}", planned.problems));
    let running = start(&plan, 2);
    let (answer, answers) = mpsc::channel();
    let node = node(plan.feeds(), 0, move |mut node| {
        let columns = node.announce_results();
        let mut owed = None;
        loop {
            match node.read() {
                Read::Rows(header, _) => owed = Some(header.sequence),
                // It owes the answer still: so that the test sees how far all are.
                Read::Mark(header) if header.kind == Kind::Barrier => {
                    node.echo(&header);
                    answers.recv().expect("it is told");
                    node.answer(&columns, owed.take().expect("it was read"), vec![1.0]);
                }
                Read::Mark(_) => {}
                Read::End => return node.close(),
            }
        }
    });
    let handle = running.handle();
    let until = |operator: &str, is_so: fn(&Progress) -> bool| {
        let limit = Instant::now() + WATCHDOG.expect("it has one");
        let of = |one: &Progress| &*one.operator == operator && is_so(one);
        while !handle.progress().iter().any(of) {
            assert!(Instant::now() < limit, "{:#?}", handle.progress());
            thread::park_timeout(Duration::from_millis(1));
        }
    };
    until("worker", |worker| {
        worker.rows_in == 1 && worker.watermark == Watermark::Idle
    });
    until("busy", |busy| busy.rows_out == 2);
    // Behind the barrier everybody has seen what was before it.
    handle.trigger(1);
    assert!(handle.wait_for_checkpoint(1).is_some());
    answer.send(()).expect("it waits");
    // Nobody waits for the silent one any more.
    until("hourly/2 window", |hourly| {
        hourly.watermark == Watermark::At(1_357_030_800_000_000)
    });
    handle.end_sources();
    node.join().expect("it can be done");
    let progress = running.wait().expect("it can be done");
    let late: u64 = progress.iter().map(|one| one.late).sum();
    let hours = fs::read_to_string(folder.path().join("hourly.csv")).expect("it can be done");
    let expected = "hour,n\n2013-01-01T05:00:00Z,2\n2013-01-01T09:00:00Z,1\n";
    assert_eq!((hours.as_str(), late), (expected, 0));
}

/// What a dataflow fails with whose node does this with its first batch.
fn failure(keys: &str, script: impl FnOnce(&mut Node, u64) + Send + 'static) -> String {
    let runtime = runtime();
    let (_folder, plan) = plan(&text(100, keys), &runtime);
    let running = start(&plan, 1);
    let node = node(plan.feeds(), 0, |mut node| {
        let sequence = loop {
            if let Read::Rows(header, _) = node.read() {
                break header.sequence;
            }
        };
        script(&mut node, sequence);
        node
    });
    let error = running.wait().expect_err("the node broke the rules");
    drop(node.join().expect("it can be done"));
    match error {
        Error::Operator { source, .. } => source.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_node_that_breaks_the_rules_is_named() {
    let scores = "output = { score = \"float64\" }\ndealing = { credit = 10 }";
    let told = [
        failure("", |node, _| node.write(Header::new(Kind::Schema), b"any")),
        failure(scores, |node, _| {
            node.write(Header::new(Kind::Schema), b"any");
        }),
        failure(scores, |node, sequence| {
            let columns = node.announce_results();
            node.answer(&columns, sequence, vec![1.0; 9]);
        }),
        failure(scores, |node, sequence| {
            let columns = node.announce_results();
            node.answer(&columns, sequence + 100, vec![1.0; 10]);
        }),
        failure(scores, |node, sequence| {
            let columns = node.announce_results();
            node.answer(&columns, sequence, vec![1.0; 10]);
            node.answer(&columns, sequence, vec![1.0; 10]);
        }),
        failure(scores, |node, _| node.close()),
        failure("", |node, _| {
            node.write(Header::new(Kind::Watermark), &[0; 8]);
        }),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    `worker:0` answers, but the job file names no `output` of role `worker`
    `worker:0` answers with other columns than the `output` of role `worker`
    `worker:0` answers 10 rows with 9
    `worker:0` answers record 101, which waits for no answer
    `worker:0` answers record 1, which waits for no answer
    `worker:0` has closed its feed and left 10 rows without an answer
    `worker:0` has written a record that only the host writes
    ");
}

#[test]
fn what_fills_up_a_round_is_told_apart() {
    let runtime = runtime();
    let keys = "nodes = 2\ndealing = { rounds = 8, pad = \"x\" }";
    let (_folder, plan) = plan(&text(20, keys), &runtime);
    let running = start(&plan, 1);
    let reads = |mut node: Node| {
        let mut parts = Vec::new();
        loop {
            match node.read() {
                Read::Rows(header, batch) => parts.push((header.flags, batch.num_rows())),
                Read::Mark(_) => {}
                Read::End => {
                    node.close();
                    return parts;
                }
            }
        }
    };
    let nodes = [0, 1].map(|index| node(plan.feeds(), index, reads));
    let [first, second] = nodes.map(|node| node.join().expect("it can be done"));
    running.wait().expect("it can be done");
    assert_eq!(first, [(0, 8), (FLAG_CONTINUES, 4), (FLAG_PADDING, 4)]);
    assert_eq!(second, [(0, 8), (FLAG_PADDING, 8)]);
}

#[test]
fn tensors_are_packed_as_they_are_named() {
    let runtime = runtime();
    let tensors = "[roles.worker.tensors]\nfeatures = [\"x\", \"id\", \"x\"]\nid = \"id\"\n";
    let (_folder, plan) = plan(&text(100, tensors), &runtime);
    let running = start(&plan, 1);
    let reads = |mut node: Node| {
        let Read::Rows(_, batch) = node.read() else {
            panic!("no rows")
        };
        while !matches!(node.read(), Read::End) {}
        node.close();
        batch
    };
    let batch = node(plan.feeds(), 0, reads).join().expect("it can be done");
    running.wait().expect("it can be done");
    let matrix = batch
        .column_by_name("features")
        .expect("it can be done")
        .as_fixed_size_list();
    let cells = matrix.values().as_primitive::<Float32Type>().values();
    assert_eq!((batch.num_rows(), matrix.value_length()), (100, 3));
    for (row, cells) in cells.chunks(3).enumerate() {
        assert_eq!((cells[0], cells[1]), (cells[2], row as f32));
    }
    assert_eq!(ids(&batch), (0..100).collect::<Vec<_>>());
}
