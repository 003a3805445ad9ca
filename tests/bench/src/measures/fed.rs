//! What Python is fed with: large batches beside other ways to PyTorch, small rows through a whole job, a row there and back, and what
//! waiting costs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow_schema::{DataType, Field};
use forebay_channel::{Body, Columns, Header, Kind, Retention, Setting, read_body};
use forebay_test_support::{environment, repository};
use serde_json::Value;

use super::channel::{self, BESIDE_WAKE_UPS_US, PAUSE, Waiting, put, wake_ups, wake_ups_of_python};
use crate::Effort;
use crate::engine::Run;
use crate::node::Node;
use crate::process::{idle_percent, kill, printed};
use crate::row::{Judged, Row, Unit, median, microseconds, milliseconds};

/// What a job file says by default.
const RING_BYTES: u64 = 16 << 20;
/// Rows and columns of a large batch: 640 KiB.
const LARGE: (usize, usize) = (4096, 40);
/// Each with its own tunings, and the environment of Python that has it; the best one counts.
const PEERS: [(&str, &str, [&str; 3]); 4] = [
    ("data-loader", "bench", ["default", "deep", "two-workers"]),
    ("tf-data", "tensorflow", ["generator", "slices", "prefetch"]),
    (
        "arrow-socket",
        "bench",
        ["default", "wide", "wide-buffered"],
    ),
    ("iceoryx2", "bench", ["two", "eight", "thirty-two"]),
];
/// Of the same reads from one array in memory.
const OF_MEMORY: f64 = 0.7;

/// Answers each row.
const ECHO: &str = "
import forebay
node = forebay.node()
for batch in node.feed:
    node.emit({'score': batch.numpy('x')}, of=batch)
print('null')
";

/// Reads rows of 16 bytes, and says when the first batch was there and how fast the others came.
const READER: &str = "
import json, time
import forebay, numpy
node = forebay.node()
attached = time.perf_counter()
rows, total, before = 0, 0, None
for batch in node.feed:
    if before is None:
        begun, before = time.perf_counter(), len(batch)
    rows += len(batch)
    total += int(batch.numpy('id').sum()) + int(batch.numpy('value').sum())
seconds = time.perf_counter() - begun
assert total == rows * (rows - 1), (rows, total)
(node.output / 'read.json').write_text(json.dumps({'first_ms': (begun - attached) * 1e3, 'rate': (rows - before) / seconds / 1e6}))
";

/// Reads without end.
const FOREVER: &str = "
import forebay
node = forebay.node()
for step, batch in enumerate(node.feed):
    node.report(step=step)
";
/// No node takes so long to end.
const LONGEST: Duration = Duration::from_mins(1);

pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows = vec![large(effort)?];
    rows.extend(small(effort)?);
    rows.extend(there_and_back(effort)?);
    rows.push(engine_killed(effort)?);
    Ok(rows)
}

fn setting(retention: Retention) -> Setting {
    Setting {
        input_bytes: RING_BYTES,
        output_bytes: RING_BYTES,
        retention,
    }
}

/// Puts columns into the ring of a node.
fn put_columns(node: &mut Node, columns: &Columns) -> Result<()> {
    let header = Header {
        schema: 1,
        ..Header::new(Kind::Schema)
    };
    put(&mut node.host, header, &columns.encode()?).map(drop)
}

/// Puts a batch into the ring of a node, as a task of a dataflow does; its sequence.
fn put_batch(node: &mut Node, columns: &Columns, batch: &RecordBatch) -> Result<u64> {
    let body = Body::new(columns, batch)?;
    let header = Header {
        rows: u32::try_from(batch.num_rows())?,
        schema: 1,
        ..Header::new(Kind::Data)
    };
    channel::put_with(&mut node.host, header, body.bytes(), |room| {
        body.write(room);
    })
}

fn put_end(node: &mut Node) -> Result<()> {
    let tally = node.host.input.tally().encode();
    put(&mut node.host, Header::new(Kind::End), &tally).map(drop)
}

// --------------------------------------------------------------------------------------------------------------- large batches

fn large(effort: Effort) -> Result<Row> {
    let (rounds, batches) = (effort.times(5, 1), effort.times(2_000, 400));
    let script = repository().join("tests/bench/scripts/batches.py");
    let script = script.to_string_lossy();
    let numbers = [rounds, batches].map(|number| number.to_string());
    let of_feed = large_through_the_ring(
        &[&script, "forebay", &numbers[0], &numbers[1]],
        rounds * batches,
    )?;
    let samples = |key: &str| numbers_in(&of_feed[key]);
    let memory = samples("memory")?;
    let what = "batches of 4096 × 40 float32 to Python, every value read by PyTorch";
    let at_least = OF_MEMORY * median(&memory);
    let mut row = Row::at_least(what, Unit::GigabytesASecond, at_least, samples("forebay")?)
        .beside("the same reads from one array in memory", memory)
        .noted("one thread reads, and another process copies batches into the ring; the target is 0.7 of the reads from memory. Of each peer the best of three of its own tunings; in `tf.data` TensorFlow reads, in the same process");
    for (peer, python, ways) in PEERS {
        let python = environment(python).join("bin/python");
        let of_way = |way: &&str| {
            let mut command = Command::new(&python);
            command
                .args([script.as_ref(), &format!("{peer}/{way}")])
                .args(&numbers);
            numbers_in(&printed(&mut command)?)
        };
        let all = ways.iter().map(of_way).collect::<Result<Vec<_>>>()?;
        let best = all
            .into_iter()
            .max_by(|one, other| median(one).total_cmp(&median(other)));
        row = row.beside(peer, best.context("there are three ways")?);
    }
    Ok(row)
}

/// What the script of the node says, when it has had so many batches.
fn large_through_the_ring(arguments: &[&str], batches: usize) -> Result<Value> {
    let sources = (0..4)
        .map(large_batch)
        .collect::<Result<Vec<RecordBatch>>>()?;
    let columns = Columns::of(&sources[0]);
    let mut node = Node::start("bench", arguments, setting(Retention::Read), None)?;
    put_columns(&mut node, &columns)?;
    for number in 0..batches {
        put_batch(&mut node, &columns, &sources[number % sources.len()])?;
    }
    put_end(&mut node)?;
    node.printed()
}

/// Whole numbers that the script knows too.
fn large_batch(number: usize) -> Result<RecordBatch> {
    let (rows, width) = LARGE;
    let first = number * rows * width;
    #[expect(clippy::cast_precision_loss, reason = "below 251")]
    let values = (first..first + rows * width).map(|at| (at % 251) as f32);
    let field = Arc::new(Field::new("item", DataType::Float32, false));
    let values = Arc::new(Float32Array::from_iter_values(values));
    let list = FixedSizeListArray::try_new(field, i32::try_from(width)?, values, None)?;
    let list: ArrayRef = Arc::new(list);
    Ok(RecordBatch::try_from_iter([("features", list)])?)
}

fn numbers_in(value: &Value) -> Result<Vec<f64>> {
    let numbers: Vec<f64> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect();
    ensure!(!numbers.is_empty(), "no numbers in {value}");
    Ok(numbers)
}

// ----------------------------------------------------------------------------------------------------------------- small rows

/// Of a whole job: a source, a role, and Python.
fn small(effort: Effort) -> Result<Vec<Row>> {
    std::fs::write("reader.py", READER)?;
    let job = format!(
        "name = \"small\"
[sources.rows.generate]
rows = {}
columns.id = {{ kind = \"sequence\" }}
columns.value = {{ kind = \"sequence\" }}
[roles.reader]
script = \"reader.py\"
python = \"{}\"
input = \"rows\"
dealing = {{ credit = 4096 }}
",
        effort.times(20_000_000, 2_000_000),
        environment("dataflow").join("bin/python").display()
    );
    let (mut rates, mut firsts) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(5, 1) {
        let run = Run::start(&job, &[])?;
        let output = run.running.finish();
        output.assert_code(0);
        let read = json_in(&output.summary().run_dir().join("output/read.json"))?;
        rates.push(read["rate"].as_f64().context("a rate")?);
        firsts.push(read["first_ms"].as_f64().context("a time")?);
    }
    Ok(vec![
        Row::at_least(
            "rows of 16 bytes to Python through a whole job, in batches of at most 4096, every value read by numpy",
            Unit::MillionRows,
            3.0,
            rates,
        )
        .noted("by the clock, from the first batch on; source, role and Python share the cores"),
        Row::new(
            "node that has said `forebay.node()` to its first batch",
            Unit::Milliseconds,
            50.0,
            firsts,
        ),
    ])
}

/// Nodes notice that nobody feeds them any more.
fn engine_killed(effort: Effort) -> Result<Row> {
    std::fs::write("forever.py", FOREVER)?;
    let job = format!(
        "name = \"forever\"
[sources.rows.generate]
rate = 1000
columns.id = {{ kind = \"sequence\" }}
[roles.worker]
nodes = 2
script = \"forever.py\"
python = \"{}\"
input = \"rows\"
",
        environment("dataflow").join("bin/python").display()
    );
    let mut samples = Vec::new();
    for _ in 0..effort.times(10, 2) {
        let run = Run::start(&job, &[])?;
        let (_, pids) = run.all_ready(2);
        run.running
            .wait_event("a report", |event| event["kind"] == "report");
        let begun = Instant::now();
        kill(run.running.pid())?;
        let is_there = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
        while pids.iter().any(is_there) {
            ensure!(begun.elapsed() < LONGEST, "nodes outlive their engine");
            thread::sleep(Duration::from_millis(1));
        }
        samples.push(milliseconds(begun.elapsed()));
        run.running.finish();
    }
    let what = "engine killed to the end of the two nodes that it feeds";
    Ok(Row::new(what, Unit::Milliseconds, 2000.0, samples).judged_by(Judged::Worst))
}

fn json_in(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

// ------------------------------------------------------------------------------------------------------------- there and back

fn there_and_back(effort: Effort) -> Result<Vec<Row>> {
    let (trips, idle) = (effort.times(2_000, 100), effort.times(3, 1));
    let (bare, python) = (wake_ups(trips)?, wake_ups_of_python(trips)?);
    let most = median(&bare) + BESIDE_WAKE_UPS_US;
    let mut echo = Echo::start()?;
    let spinning = echo.round_trips(trips, Waiting::Spins)?;
    let sleeping = echo.round_trips(trips, Waiting::Sleeps)?;
    let idle = (0..idle).map(|_| idle_percent(&[echo.node.pid()], Duration::from_secs(5)));
    let idle = idle.collect::<Result<Vec<_>>>()?.concat();
    echo.end()?;
    let row = |what: &str, most, samples| Row::new(what, Unit::Microseconds, most, samples);
    Ok(vec![
        row(
            "a row to Python and its answer back, without a sleep",
            20.0,
            spinning,
        ),
        row(
            "a row to Python and its answer back, both ends asleep",
            most,
            sleeping,
        )
        .beside("a byte there and back through a socket", bare)
        .beside("a byte to Python and back through a socket", python)
        .noted("the target is the socket's median and 40 µs; after such a pause the same lines of Python take some times longer than in a row"),
        Row::new(
            "idle CPU of a Python node that waits for a batch",
            Unit::PercentOfACore,
            0.0,
            idle,
        )
        .judged_by(Judged::Worst)
        .noted("by the clock of the process, which counts nanoseconds; it looks for signals a few times a second"),
    ])
}

/// A node that answers each row with one of its values.
struct Echo {
    node: Node,
    columns: Columns,
    results: Columns,
    batch: RecordBatch,
}

impl Echo {
    fn start() -> Result<Self> {
        let x: ArrayRef = Arc::new(Float64Array::from(vec![2.5]));
        let id: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let batch = RecordBatch::try_from_iter([("id", id), ("x", Arc::clone(&x))])?;
        let results = Columns::of(&RecordBatch::try_from_iter([("score", x)])?);
        let setting = setting(Retention::Emitted);
        let mut node = Node::start("dataflow", &["-c", ECHO], setting, Some(&results))?;
        let columns = Columns::of(&batch);
        put_columns(&mut node, &columns)?;
        Ok(Self {
            node,
            columns,
            results,
            batch,
        })
    }

    /// How long each takes, in microseconds; the first ones are not counted.
    fn round_trips(&mut self, trips: usize, waiting: Waiting) -> Result<Vec<f64>> {
        let mut samples = Vec::new();
        for _ in 0..trips + 50 {
            if waiting == Waiting::Sleeps {
                thread::sleep(PAUSE);
            }
            let begun = Instant::now();
            self.round_trip(waiting)?;
            samples.push(microseconds(begun.elapsed()));
        }
        Ok(samples.split_off(50))
    }

    fn round_trip(&mut self, waiting: Waiting) -> Result<()> {
        let sequence = put_batch(&mut self.node, &self.columns, &self.batch)?;
        loop {
            let record = channel::answer(&mut self.node.host, waiting)?;
            if record.header().kind != Kind::Data {
                continue;
            }
            let answer = read_body(&self.results, 1, &record.copied_buffer())?;
            let score = answer.column(0).as_primitive::<Float64Type>().value(0);
            ensure!(
                record.header().answers == sequence && (score - 2.5).abs() < f64::EPSILON,
                "another answer came"
            );
            return Ok(self.node.host.input.answered(sequence)?);
        }
    }

    fn end(mut self) -> Result<()> {
        put_end(&mut self.node)?;
        self.node.printed().map(drop)
    }
}
