//! A node that answers with anything, through the real channel. The dataflow goes on, or it fails with words that name the node; it does not
//! panic, and it does not stand still. `FOREBAY_FUZZ_CASES` says how often, `FOREBAY_FUZZ_SEED` with what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Float64Array, RecordBatch, StringArray,
    new_null_array,
};
use arrow_schema::DataType;
use fastrand::Rng;
use forebay_channel::{
    Body, Columns, FLAG_CONTINUES, FLAG_PADDING, Header, Kind, NodeEnd, Outcome,
};
use forebay_dataflow::{Error, Options};
use forebay_runtime::Plan;

use crate::{document, folder, job, planned, runtime};

const WATCHDOG: Duration = Duration::from_mins(1);
const CASES: u64 = 100_000;
/// Dataflows at a time: most of the time of one goes by in waking up.
const AT_A_TIME: usize = 8;
/// Of a batch.
const ROWS: usize = 10;

const JOB: &str = r#"
name = "job"
[sources.numbers.generate]
rows = 60
columns.id = { kind = "sequence" }
[roles.worker]
command = ["true"]
input = "numbers"
dealing = { credit = 10 }
input_ring = "16 KiB"
output_ring = "16 KiB"
[roles.worker.output]
score = "float64"
name = "string"
is_late = "boolean"
tags = "List(Int32)"
code = "FixedSizeBinary(3)"
"#;

struct Hostile {
    end: NodeEnd,
    random: Rng,
    columns: Columns,
    /// What was read and not answered: numbers and rows.
    owed: Vec<(u64, usize)>,
    has_read_all: bool,
    /// It has said its last, or nobody listens any more.
    is_over: bool,
    /// Its last was an error.
    has_failed: bool,
}

impl Hostile {
    fn new(end: NodeEnd, random: Rng) -> Self {
        let results = end.results.clone().expect("it answers");
        let columns = Columns::decode(&results).expect("it is a schema");
        Self {
            end,
            random,
            columns,
            owed: Vec::new(),
            has_read_all: false,
            is_over: false,
            has_failed: false,
        }
    }

    /// Reads, and writes this and that, and at last an end.
    fn play(&mut self) {
        if self.random.u8(..10) > 0 {
            let schema = self.end.results.clone().expect("it answers");
            self.write(Header::new(Kind::Schema), &schema);
        }
        for _ in 0..self.random.usize(1..12) {
            self.read();
            match self.random.u8(..8) {
                0..4 => self.answer_rightly(),
                4..7 => self.answer_wrongly(),
                _ => self.mark(),
            }
        }
        let unread = self.owed.iter().map(|(sequence, _)| sequence - 1).min();
        let header = Header {
            answers: unread.filter(|_| self.random.bool()).unwrap_or(u64::MAX),
            ..Header::new(Kind::End)
        };
        let tally = self.end.output.tally().encode();
        self.write(header, &tally);
    }

    /// What is there; where there is nothing to be answered, what comes.
    fn read(&mut self) {
        while self.owed.is_empty() && !self.is_over && !self.has_read_all {
            match self.end.wait_for_record(Some(WATCHDOG)) {
                Ok(Outcome::Came(record)) => self.note(record.header()),
                _ => self.is_over = true,
            }
        }
        while let Ok(Some(record)) = self.end.input.take() {
            self.note(record.header());
        }
    }

    fn note(&mut self, header: &Header) {
        match header.kind {
            Kind::Data => self.owed.push((header.sequence, header.rows as usize)),
            Kind::End => self.has_read_all = true,
            _ => {}
        }
    }

    fn write(&mut self, header: Header, body: &[u8]) {
        if self.is_over {
            return;
        }
        let Ok(Outcome::Came(mut slot)) = self.end.wait_for_room(body.len(), Some(WATCHDOG)) else {
            self.is_over = true;
            return;
        };
        slot.body().copy_from_slice(body);
        slot.commit(header, body.len());
        self.is_over = matches!(header.kind, Kind::End | Kind::Error);
        self.has_failed = header.kind == Kind::Error;
    }

    fn wait_until_all_is_heard(&mut self) {
        let limit = Instant::now() + WATCHDOG;
        while self.end.output.occupied().is_ok_and(|bytes| bytes > 0) {
            assert!(
                Instant::now() < limit,
                "nobody reads what the node has written"
            );
            let moment = Some(Duration::from_millis(1));
            if self.end.link.wait(moment).is_err() {
                return;
            }
        }
    }

    fn answer_rightly(&mut self) {
        let Some((answers, rows)) = self.any_owed() else {
            return;
        };
        let parts = self.random.usize(1..3).min(rows);
        self.owed.retain(|(sequence, _)| *sequence != answers);
        for part in 0..parts {
            let rows = rows / parts + if part == 0 { rows % parts } else { 0 };
            let flags = if part + 1 < parts { FLAG_CONTINUES } else { 0 };
            let body = self.body(rows);
            let header = Header {
                flags,
                answers,
                rows: u32::try_from(rows).expect("they are few"),
                ..Header::new(Kind::Data)
            };
            self.write(header, &body);
        }
    }

    fn any_owed(&mut self) -> Option<(u64, usize)> {
        self.random.choice(&self.owed).copied()
    }

    /// As it should be, but for one thing or another.
    fn answer_wrongly(&mut self) {
        let (answers, rows) = self.any_owed().unwrap_or((1, ROWS));
        let mut body = self.body(rows);
        let mut header = Header {
            answers,
            rows: u32::try_from(rows).expect("they are few"),
            ..Header::new(Kind::Data)
        };
        let random = &mut self.random;
        match random.u8(..8) {
            0 => header.answers = any_number(random, answers),
            1 => header.rows = any_rows(random),
            2 => header.flags = FLAG_CONTINUES | random.u16(..) & FLAG_PADDING,
            3 => body.truncate(random.usize(..=body.len())),
            4 => body.extend((0..random.usize(1..200)).map(|_| random.u8(..))),
            5 => body.fill_with(|| random.u8(..)),
            _ => {
                for _ in 0..random.usize(1..5) {
                    let at = random.usize(..body.len());
                    body[at] = random.u8(..);
                }
            }
        }
        if random.u8(..4) == 0 {
            header.flags |= random.u16(..4);
            header.schema = random.u32(..);
            header.pass = random.u32(..);
            header.checkpoint = random.u64(..);
            header.source_offset = random.u64(..);
        }
        self.write(header, &body);
    }

    /// Something else than rows.
    fn mark(&mut self) {
        let kinds = [
            Kind::Schema,
            Kind::Barrier,
            Kind::Watermark,
            Kind::PassEnd,
            Kind::End,
            Kind::Error,
        ];
        let random = &mut self.random;
        let header = Header {
            flags: random.u16(..4),
            rows: any_rows(random),
            schema: random.u32(..),
            checkpoint: any_number(random, 0),
            answers: any_number(random, 5),
            ..Header::new(random.choice(kinds).expect("there are some"))
        };
        let body: Vec<u8> = match random.u8(..3) {
            0 => self.end.output.tally().encode().to_vec(),
            1 => self.end.results.clone().expect("it answers").to_vec(),
            _ => (0..random.usize(..100)).map(|_| random.u8(..)).collect(),
        };
        self.write(header, &body);
    }

    /// A good answer.
    fn body(&mut self, rows: usize) -> Vec<u8> {
        let fields = self.columns.schema().fields().clone();
        let arrays = fields.iter();
        let arrays = arrays.map(|field| any_array(&mut self.random, field.data_type(), rows));
        let arrays = arrays.collect();
        let batch = RecordBatch::try_new(self.columns.schema().clone(), arrays);
        let batch = batch.expect("it is of its types");
        let body = Body::new(&self.columns, &batch).expect("it can be sent");
        let mut bytes = vec![0; body.bytes()];
        body.write(&mut bytes);
        bytes
    }
}

fn any_array(random: &mut Rng, kind: &DataType, rows: usize) -> ArrayRef {
    let mut some = |row: usize| random.bool().then_some(row);
    match kind {
        DataType::Float64 => {
            let values = (0..rows).map(|row| some(row).map(|_| 0.5));
            Arc::new(values.collect::<Float64Array>())
        }
        DataType::Utf8 => {
            let values = (0..rows).map(|row| some(row).map(|_| "näme"));
            Arc::new(values.collect::<StringArray>())
        }
        DataType::Boolean => {
            let values = (0..rows).map(|row| some(row).map(|row| row > 3));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::List(_) => {
            let mut lists = ListBuilder::new(Int32Builder::new());
            for row in 0..rows {
                match some(row) {
                    Some(row) => lists.append_value((0..row % 4).map(|_| Some(7))),
                    None => lists.append_null(),
                }
            }
            Arc::new(lists.finish())
        }
        DataType::FixedSizeBinary(_) => {
            let values = (0..rows).map(|row| some(row).map(|_| *b"abc"));
            let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 3);
            Arc::new(array.expect("they have this size"))
        }
        other => new_null_array(other, rows),
    }
}

fn any_number(random: &mut Rng, near: u64) -> u64 {
    match random.u8(..4) {
        0 => random.u64(..),
        1 => u64::MAX - random.u64(..2),
        _ => near.wrapping_add(random.u64(..8)).wrapping_sub(4),
    }
}

fn any_rows(random: &mut Rng) -> u32 {
    match random.u8(..4) {
        0 => random.u32(..),
        1 => u32::MAX,
        2 => 0,
        _ => random.u32(..20),
    }
}

/// What came of a node that draws this seed: the fault that is told, without numbers, or that there is none.
fn case(plan: &Plan, seed: u64, attempt: u64) -> String {
    let graph = plan.graph(attempt).expect("it can be done");
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let running = graph.start(&options).expect("it starts");
    let handle = running.handle();
    let (sender, outcome) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(running.wait()));
    let descriptors = plan.feeds().begin("worker", 0, 1, attempt);
    let end = NodeEnd::open(descriptors.expect("it can be fed")).expect("it is a channel");
    let mut node = Hostile::new(end, Rng::with_seed(seed));
    node.play();
    if node.has_failed {
        // Its task waits for what others decide.
        node.wait_until_all_is_heard();
        handle.stop();
    }
    let outcome = outcome.recv_timeout(WATCHDOG);
    let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed}: the dataflow stands still"));
    waiting.join().expect("it waits").expect("it is awaited");
    match outcome {
        Ok(progress) => {
            assert!(progress[1].rows_out <= progress[1].rows_in, "seed {seed}");
            "nothing".to_owned()
        }
        Err(Error::Stopped) if node.has_failed => "an error of the node".to_owned(),
        Err(Error::Operator { source, .. }) => {
            let said = source.to_string();
            assert!(said.starts_with("`worker:0` "), "seed {seed}: {said}");
            let words = said["`worker:0` ".len()..].split(|one: char| one.is_ascii_digit());
            let words: Vec<_> = words.filter(|words| !words.is_empty()).collect();
            words.join("#").trim_end().to_owned()
        }
        Err(other) => panic!("seed {seed}: {other}"),
    }
}

/// What comes of these seeds, in one dataflow after the other.
fn cases(seeds: impl Iterator<Item = u64>) -> BTreeSet<String> {
    let (runtime, folder) = (runtime(), folder(&[]));
    let planned = planned(&job(&document(JOB, folder.path())), &runtime);
    let plan = planned.plan;
    let plan = plan.unwrap_or_else(|| panic!("{:?}", planned.problems));
    (1..)
        .zip(seeds)
        .map(|(attempt, seed)| case(&plan, seed, attempt))
        .collect()
}

#[test]
fn whatever_a_node_answers_the_dataflow_goes_on_or_names_it() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, asked) = (number("FOREBAY_FUZZ_SEED"), number("FOREBAY_FUZZ_CASES"));
    let first = first.unwrap_or(0);
    let end = first + asked.unwrap_or(CASES);
    let told: BTreeSet<_> = thread::scope(|scope| {
        let some = |from| move || cases((from..end).step_by(AT_A_TIME));
        let all: Vec<_> = (first..)
            .take(AT_A_TIME)
            .map(|from| scope.spawn(some(from)))
            .collect();
        all.into_iter()
            .flat_map(|one| one.join().expect("it has not failed"))
            .collect()
    });
    if asked.is_some() {
        return;
    }
    // Each way to go wrong was tried.
    let told: Vec<_> = told.into_iter().collect();
    insta::assert_snapshot!(told.join("\n"), @"
    an error of the node
    answers # rows with
    answers before it has said with which columns
    answers record #, which waits for no answer
    answers with a part that has no rows
    answers with damaged rows
    answers with other columns than the `output` of role `worker`
    does not keep to the rules of its channel: the peer of the channel has broken its rules: it says that it has sent Tally { records: #, rows: #, bytes: # }, and Tally { records: #, rows: #, bytes: # } has come
    does not keep to the rules of its channel: the peer of the channel has broken its rules: the end has a body of # bytes instead of
    has closed its feed and left # rows without an answer
    has written a record that only the host writes
    nothing
    ");
}
