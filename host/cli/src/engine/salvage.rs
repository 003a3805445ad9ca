//! The summary of a run whose application manager could not write it: put together from what it had told before.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use forebay_cluster::events::{
    AttemptSummary, DataflowEvent, DataflowPhase, DataflowSummary, JobEvent, Line, NodeEvent,
    NodeSummary, OperatorCounts, Outcome, Summary, TermSummary,
};
use forebay_cluster::run_directory::RunDirectory;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::Received;

/// Events of the run after this number, as far as they can be read.
pub(super) fn events_after(run: &RunDirectory, sequence: u64) -> Vec<Received> {
    let Ok(file) = fs::File::open(run.events_file()) else {
        return Vec::new();
    };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let events = lines.filter_map(|line| Received::parse(line).ok());
    events
        .filter(|event| event.line.sequence.is_some_and(|number| number > sequence))
        .collect()
}

/// Why a run ended that nobody else can tell about.
pub(crate) struct Wreck {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Forebay is at fault.
    pub(crate) engine_failed: bool,
    /// The first cause, in one sentence.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Wreck {
    /// The run could not begin.
    pub(crate) fn of(failure: &Failure) -> Self {
        Self {
            outcome: Outcome::Failed,
            engine_failed: failure.exit == Exit::EngineFailed,
            reason: failure.sentence(),
            hint: failure.hint.clone(),
        }
    }
}

/// The summary of a run that ended like this.
pub(super) fn summary(run: &RunDirectory, wreck: Wreck) -> Summary {
    summarise(run.root(), &events_after(run, 0), wreck)
}

/// Writes the run's last line and its summary.
pub(super) fn write(run: &RunDirectory, summary: &Summary) -> io::Result<()> {
    fs::write(run.summary_file(), serde_json::to_vec_pretty(summary)?)?;
    let last = events_after(run, 0)
        .iter()
        .filter_map(|event| event.line.sequence)
        .max();
    let line = serde_json::to_string(&line(last.unwrap_or(0) + 1, summary.clone()))?;
    let told = fs::read(run.events_file()).unwrap_or_default();
    let torn = told.last().is_some_and(|last| *last != b'\n');
    let line_end = if torn { "\n" } else { "" };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(run.events_file())?;
    file.write_all(format!("{line_end}{line}\n").as_bytes())
}

/// The last line of a run that never began; `run_dir` is empty where none was made.
pub(crate) fn end_without_run(run_dir: &Path, wreck: Wreck) -> Line {
    line(1, summarise(run_dir, &[], wreck))
}

pub(super) fn line(sequence: u64, summary: Summary) -> Line {
    Line {
        sequence: Some(sequence),
        time_ms: now_ms(),
        event: JobEvent::Summary(summary),
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

fn summarise(run_dir: &Path, events: &[Received], wreck: Wreck) -> Summary {
    let mut ledger = Ledger::default();
    for event in events {
        ledger.apply(event.event());
    }
    let began_ms = events
        .first()
        .map_or_else(now_ms, |event| event.line.time_ms);
    Summary {
        engine_failed: wreck.engine_failed,
        outcome: wreck.outcome,
        reason: wreck.reason,
        hint: wreck.hint,
        cause: None,
        duration_ms: now_ms().saturating_sub(began_ms),
        run_dir: run_dir.into(),
        dataflow: ledger.dataflow(),
        terms: ledger.terms,
        nodes: ledger.nodes,
    }
}

#[derive(Default)]
struct Ledger {
    terms: Vec<TermSummary>,
    nodes: Vec<NodeSummary>,
    /// Attempt and phase.
    dataflow: Option<(u64, DataflowPhase)>,
    running_ms: u64,
    operators: Vec<OperatorCounts>,
}

impl Ledger {
    fn apply(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Am { term, pid, .. } => self.terms.push(TermSummary {
                term: *term,
                pid: *pid,
            }),
            JobEvent::Node(event) => self.apply_node(event),
            JobEvent::Report {
                node, step, values, ..
            } => self.apply_report(node, *step, values),
            JobEvent::Dataflow(event) => self.apply_dataflow(event),
            JobEvent::Progress(event) => {
                let counts = event.operators.iter();
                self.operators = counts.map(|operator| operator.counts.clone()).collect();
                self.running_ms = event.running_ms;
            }
            _ => {}
        }
    }

    fn apply_dataflow(&mut self, event: &DataflowEvent) {
        self.dataflow = Some((event.attempt, event.phase));
        self.operators.clone_from(&event.operators);
        self.running_ms = event.running_ms;
    }

    /// One that ran when it was lost sight of has ended with its engine.
    fn dataflow(&mut self) -> Option<DataflowSummary> {
        let (attempts, phase) = self.dataflow?;
        let phase = match phase {
            DataflowPhase::Running => DataflowPhase::Stopped,
            other => other,
        };
        let operators = std::mem::take(&mut self.operators);
        Some(DataflowSummary::new(
            attempts,
            phase,
            self.running_ms,
            operators,
        ))
    }

    fn apply_node(&mut self, event: &NodeEvent) {
        let attempts = &mut self.node(&event.node).attempts;
        if event.attempt == 0 {
            return;
        }
        if attempts
            .last()
            .is_none_or(|last| last.attempt < event.attempt)
        {
            let (ending, verdict) = ("lost sight of".into(), "stopped".into());
            attempts.push(AttemptSummary {
                attempt: event.attempt,
                pid: None,
                ending,
                verdict,
            });
        }
        if let Some(last) = attempts.last_mut() {
            last.pid = event.pid.or(last.pid);
            last.ending = event.ending.clone().unwrap_or_else(|| last.ending.clone());
            last.verdict = event
                .verdict
                .clone()
                .unwrap_or_else(|| last.verdict.clone());
        }
    }

    fn apply_report(&mut self, node: &str, step: Option<u64>, values: &BTreeMap<String, Value>) {
        let last = &mut self.node(node).last_report;
        last.extend(values.clone());
        last.extend(step.map(|step| ("step".to_owned(), step.into())));
    }

    fn node(&mut self, name: &str) -> &mut NodeSummary {
        let position = self
            .nodes
            .iter()
            .position(|node| node.node == name)
            .unwrap_or_else(|| {
                let node = name.to_owned();
                self.nodes.push(NodeSummary {
                    node,
                    attempts: Vec::new(),
                    last_report: BTreeMap::new(),
                });
                self.nodes.len() - 1
            });
        &mut self.nodes[position]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = r#"{"sequence":1,"time_ms":1000,"kind":"am","term":1,"pid":5}
{"sequence":2,"time_ms":1001,"kind":"node","node":"a:0","attempt":0,"phase":"placed","pid":null,"agent":"mill","ending":null,"verdict":null,"reason":null}
{"sequence":3,"time_ms":1002,"kind":"node","node":"a:0","attempt":1,"phase":"starting","pid":9,"agent":"mill","ending":null,"verdict":null,"reason":null}
{"sequence":4,"time_ms":1003,"kind":"report","node":"a:0","attempt":1,"step":7,"values":{"loss":0.5}}
{"sequence":5,"time_ms":1004,"kind":"dataflow","attempt":2,"phase":"running","reason":null,"hint":null,"operator":null,"running_ms":0,"operators":[]}
{"sequence":6,"time_ms":3004,"kind":"progress","attempt":2,"running_ms":2000,"operators":[{"operator":"rows","tasks":1,"ended":0,"rows_in":100,"rows_out":90,"late":0,"malformed":0,"dropped":0}]}
{"sequence":7,"time_m"#;

    #[test]
    fn a_dead_manager_leaves_an_end_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        fs::write(run.events_file(), EVENTS).unwrap();
        let reason = "it was killed".into();
        let wreck = Wreck {
            outcome: Outcome::Failed,
            engine_failed: true,
            reason,
            hint: None,
        };
        let summary = summary(&run, wreck);
        write(&run, &summary).unwrap();
        assert!(summary.engine_failed);
        assert_eq!(summary.terms[0].pid, 5);
        assert_eq!(summary.nodes[0].attempts[0].pid, Some(9));
        assert_eq!(summary.nodes[0].last_report["step"], 7);
        assert_eq!(crate::runs::summary_of(&run).as_ref(), Some(&summary));
        let told = fs::read_to_string(run.events_file()).unwrap();
        let last: Line = serde_json::from_str(told.lines().last().unwrap())
            .expect("a torn line swallows the end");
        assert_eq!(last.sequence, Some(7));
        let dataflow = summary.dataflow.unwrap();
        assert_eq!(
            (dataflow.attempts, dataflow.phase),
            (2, DataflowPhase::Stopped)
        );
        assert!((dataflow.operators[0].rows_per_second - 50.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_was_not_seen_is_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        fs::write(run.events_file(), EVENTS).unwrap();
        assert_eq!(events_after(&run, 2).len(), 4);
    }
}
