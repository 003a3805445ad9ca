//! A host for tests: makes a channel, starts a program as its node, feeds it as a plan says, and tells what came back.
//!
//! `feeder PLAN PROGRAM ARGUMENT...`, where the plan is JSON: see [`plan::Plan`]. The program inherits the descriptors of the channel, which
//! `FOREBAY_CHANNEL` names. When it has ended, the feeder writes a JSON object into the file `report` of the plan.

mod plan;
mod rows;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use arrow_array::RecordBatch;
use forebay_channel::{
    Body, Channel, Columns, Descriptors, FLAG_CONTINUES, FLAG_PADDING, Header, HostEnd, Kind,
    Setting, UntrustedRecord, read_body,
};
use rustix::fd::AsRawFd;
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::{Value, json};

use crate::plan::{Data, Plan, Step};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const POLL: Option<Duration> = Some(Duration::from_millis(5));

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let plan = Plan::read(&serde_json::from_str(&arguments.next().ok_or("no plan")?)?)?;
    let setting = Setting {
        input_bytes: plan.input_bytes,
        output_bytes: plan.output_bytes,
        retention: plan.retention,
    };
    let mut channel = Channel::new(setting)?;
    let results = plan.results.as_ref().map(|names| rows::columns(names));
    if let Some(columns) = &results {
        channel = channel.with_results(&columns.encode()?);
    }
    let (host, descriptors) = channel.begin(1)?;
    let program = arguments.next().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let child = start(command, &descriptors)?;
    drop(descriptors);
    let mut feeder = Feeder::new(host, results, plan.steps);
    feeder.run(child)?;
    fs::write(&plan.report, feeder.report.to_string())?;
    Ok(())
}

/// The program has the descriptors under the numbers that they have here.
fn start(mut command: Command, descriptors: &Descriptors) -> Result<Child> {
    let numbers = descriptors
        .0
        .each_ref()
        .map(|one| one.as_raw_fd().to_string());
    for descriptor in &descriptors.0 {
        fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    Ok(command.env("FOREBAY_CHANNEL", numbers.join(",")).spawn()?)
}

struct Feeder {
    /// `None`: it has hung up.
    host: Option<HostEnd>,
    results: Option<Columns>,
    steps: VecDeque<Step>,
    /// Records that wait for room.
    records: VecDeque<(Header, Bytes)>,
    /// Number and columns of the schema in force.
    columns: Option<Columns>,
    schema: u32,
    /// Of the next row.
    row: usize,
    /// Sequences that the answer of a batch, a barrier or the end answers too, by what it names.
    answers: HashMap<u64, Vec<u64>>,
    barriers: HashMap<u64, u64>,
    parts: Vec<u64>,
    paused: Option<Instant>,
    is_over: bool,
    report: Value,
}

enum Bytes {
    Plain(Vec<u8>),
    Tally,
}

impl Feeder {
    fn new(host: HostEnd, results: Option<Columns>, steps: Vec<Step>) -> Self {
        Self {
            host: Some(host),
            results,
            steps: steps.into(),
            records: VecDeque::new(),
            columns: None,
            schema: 0,
            row: 0,
            answers: HashMap::new(),
            barriers: HashMap::new(),
            parts: Vec::new(),
            paused: None,
            is_over: false,
            report: json!({
                "sent": [], "came": [], "answers": [], "barriers": [], "end": null, "error": null, "fault": null, "code": null, "gone": false,
            }),
        }
    }

    /// Until the program has ended.
    fn run(&mut self, mut child: Child) -> Result<()> {
        loop {
            if let Some(status) = child.try_wait()? {
                self.exchange();
                self.report["code"] = json!(status.code());
                self.report["gone"] = json!(self.is_gone());
                return Ok(());
            }
            self.exchange();
            self.advance()?;
            match &self.host {
                Some(host) => drop(host.link.wait(POLL)),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Whether the node has hung up. What is in the socket comes first.
    fn is_gone(&self) -> bool {
        let Some(host) = &self.host else {
            return false;
        };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if host.link.wait(POLL).is_err() {
                return true;
            }
        }
        false
    }

    /// Writes and reads what can be.
    fn exchange(&mut self) {
        while !self.is_over {
            match self.try_exchange() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.is_over = true;
                    self.report["fault"] = json!(error.to_string());
                }
            }
        }
    }

    /// Whether anything was done.
    fn try_exchange(&mut self) -> Result<bool> {
        let wrote = self.write()?;
        let holds = matches!(self.steps.front(), Some(Step::HoldOutput(_)));
        let Some(host) = self.host.as_mut().filter(|_| !holds) else {
            return Ok(wrote);
        };
        if let Some(record) = host.output.take()? {
            return self.take(&record).map(|()| true);
        }
        host.output.sleeps()?;
        Ok(wrote)
    }

    fn write(&mut self) -> Result<bool> {
        let (Some(host), Some((header, bytes))) = (&mut self.host, self.records.front()) else {
            return Ok(false);
        };
        let tally = host.input.tally().encode();
        let bytes = match bytes {
            Bytes::Plain(bytes) => &bytes[..],
            Bytes::Tally => &tally[..],
        };
        let Some(mut slot) = host.input.reserve(bytes.len())? else {
            host.input.sleeps_for(bytes.len())?;
            return Ok(false);
        };
        slot.body().copy_from_slice(bytes);
        let sequence = slot.commit(*header, bytes.len());
        self.note(*header, sequence);
        self.records.pop_front();
        Ok(true)
    }

    fn note(&mut self, header: Header, sequence: u64) {
        match header.kind {
            Kind::Data => {
                self.parts.push(sequence);
                if header.flags & FLAG_CONTINUES == 0 {
                    let parts = std::mem::take(&mut self.parts);
                    self.answers.insert(sequence, parts);
                    push(&mut self.report["sent"], json!(sequence));
                }
            }
            Kind::Barrier => {
                self.barriers.insert(header.checkpoint, sequence);
            }
            _ => {}
        }
    }

    fn take(&mut self, record: &UntrustedRecord) -> Result<()> {
        let header = *record.header();
        let kind = format!("{:?}", header.kind).to_lowercase();
        push(&mut self.report["came"], json!(kind));
        match header.kind {
            Kind::Schema => {
                let expected = self.results.as_ref().map(Columns::encode).transpose()?;
                if header.schema != 0 || expected != Some(record.copied()) {
                    return Err("the node has announced other results".into());
                }
            }
            Kind::Data => self.take_answer(record)?,
            Kind::Barrier => {
                push(&mut self.report["barriers"], json!(header.checkpoint));
                let sequence = self.barriers.get(&header.checkpoint);
                self.answered(&[*sequence.ok_or("an echo of no barrier")?])?;
            }
            Kind::End => self.report["end"] = json!(header.answers),
            Kind::Error => {
                self.report["error"] = json!(String::from_utf8_lossy(&record.copied()));
            }
            _ => return Err(format!("the node has sent {:?}", header.kind).into()),
        }
        Ok(())
    }

    fn take_answer(&mut self, record: &UntrustedRecord) -> Result<()> {
        let header = *record.header();
        let columns = self.results.as_ref().ok_or("nobody asked for answers")?;
        let batch = read_body(columns, header.rows as usize, &record.copied_buffer())?;
        let continues = header.flags & FLAG_CONTINUES != 0;
        let answer = json!({
            "of": header.answers, "rows": header.rows, "continues": continues, "columns": rows::values(&batch),
        });
        push(&mut self.report["answers"], answer);
        if continues {
            return Ok(());
        }
        let parts = self.answers.remove(&header.answers);
        self.answered(&parts.ok_or("an answer to no batch")?)
    }

    fn answered(&mut self, sequences: &[u64]) -> Result<()> {
        let host = self.host.as_mut().ok_or("it has hung up")?;
        sequences
            .iter()
            .try_for_each(|sequence| host.input.answered(*sequence))?;
        Ok(())
    }

    /// Makes records of the next steps, if those before have gone out.
    fn advance(&mut self) -> Result<()> {
        while self.records.is_empty()
            && let Some(step) = self.steps.front()
            && self.is_due(&step.clone())
        {
            let step = self.steps.pop_front().ok_or("it was there")?;
            self.paused = None;
            self.make(step)?;
            self.exchange();
        }
        Ok(())
    }

    fn is_due(&mut self, step: &Step) -> bool {
        match step {
            Step::Pause(time) | Step::HoldOutput(time) => {
                self.paused.get_or_insert_with(Instant::now).elapsed() >= *time
            }
            Step::WaitForFile(path) => Path::new(path).exists(),
            Step::WaitForBarrier(checkpoint) => {
                let echoes = self.report["barriers"].as_array();
                echoes.is_some_and(|echoes| echoes.contains(&json!(checkpoint)))
            }
            _ => true,
        }
    }

    fn make(&mut self, step: Step) -> Result<()> {
        let mark = |kind: Kind| Header::new(kind);
        match step {
            Step::Schema(names) => {
                let columns = rows::columns(&names);
                self.schema += 1;
                let header = Header {
                    schema: self.schema,
                    ..mark(Kind::Schema)
                };
                self.push(header, columns.encode()?);
                self.columns = Some(columns);
            }
            Step::Data(data) => self.make_data(&data)?,
            Step::Barrier(checkpoint) => {
                let header = Header {
                    checkpoint,
                    ..mark(Kind::Barrier)
                };
                self.push(header, Vec::new());
            }
            Step::Watermark(time) => self.push(mark(Kind::Watermark), time.to_le_bytes().to_vec()),
            Step::PassEnd(pass) => {
                let header = Header {
                    pass,
                    ..mark(Kind::PassEnd)
                };
                self.push(header, Vec::new());
            }
            Step::End => self.records.push_back((mark(Kind::End), Bytes::Tally)),
            Step::Error(text) => self.push(mark(Kind::Error), text.into_bytes()),
            Step::HangUp => self.host = None,
            Step::Pause(_)
            | Step::HoldOutput(_)
            | Step::WaitForFile(_)
            | Step::WaitForBarrier(_) => {}
        }
        Ok(())
    }

    fn push(&mut self, header: Header, body: Vec<u8>) {
        self.records.push_back((header, Bytes::Plain(body)));
    }

    fn make_data(&mut self, data: &Data) -> Result<()> {
        let columns = Arc::new(self.columns.clone().ok_or("data without a schema")?);
        if data.rows == 0 {
            return self.make_parts(&columns, &[(0, 0)], data.pass);
        }
        let mut left = data.rows;
        while left > 0 {
            let rows = left.min(data.batch);
            left -= rows;
            let padding = if left == 0 { data.padding } else { 0 };
            let mut parts = Vec::new();
            for (of, flag) in [(rows - padding, 0), (padding, FLAG_PADDING)] {
                let mut of = of;
                while of > 0 {
                    let rows = of.min(data.part);
                    of -= rows;
                    parts.push((rows, flag));
                }
            }
            self.make_parts(&columns, &parts, data.pass)?;
        }
        Ok(())
    }

    fn make_parts(&mut self, columns: &Columns, parts: &[(usize, u16)], pass: u32) -> Result<()> {
        for (index, (rows, flag)) in parts.iter().enumerate() {
            let batch: RecordBatch = rows::batch(columns, self.row, *rows);
            self.row += rows;
            let body = Body::new(columns, &batch)?;
            let mut bytes = vec![0; body.bytes()];
            body.write(&mut bytes);
            let continues = if index + 1 < parts.len() {
                FLAG_CONTINUES
            } else {
                0
            };
            let header = Header {
                flags: flag | continues,
                rows: u32::try_from(*rows)?,
                schema: self.schema,
                pass,
                ..Header::new(Kind::Data)
            };
            self.push(header, bytes);
        }
        Ok(())
    }
}

fn push(list: &mut Value, value: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}
