//! The state of a job as a few lines: what the live view shows. No terminal in here.

use std::collections::BTreeMap;

use forebay_cluster::events::{DataflowPhase, JobEvent, NodeEvent, OperatorProgress};

use super::{feeds, operators, words};
use crate::text::{Colour, Palette, neutral};

/// Job and nodes as they stand.
#[derive(Debug, Default)]
pub(super) struct Board {
    job: String,
    phase: String,
    note: String,
    /// In the order in which they were first heard of.
    nodes: Vec<Row>,
    positions: BTreeMap<String, usize>,
    /// Absent: there is none, or nothing was heard of it.
    dataflow: Option<DataflowPhase>,
    operators: Vec<OperatorProgress>,
}

#[derive(Debug, Default)]
struct Row {
    node: String,
    phase: String,
    attempt: u32,
    report: String,
    /// What it is fed.
    feed: String,
    verdict: Option<String>,
}

impl Board {
    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Job { job, .. } => self.job = neutral(job).into_owned(),
            JobEvent::Phase { phase, note } => {
                self.phase = neutral(phase).into_owned();
                self.note = note
                    .as_deref()
                    .map(neutral)
                    .unwrap_or_default()
                    .into_owned();
            }
            JobEvent::Node(event) => self.apply_node(event),
            JobEvent::Report {
                node,
                attempt,
                step,
                values,
            } => {
                let row = self.row(node);
                row.attempt = *attempt;
                row.report = words::report(*step, values);
            }
            JobEvent::Dataflow(event) => {
                self.dataflow = Some(event.phase);
                self.operators = operators::at_rest(event);
            }
            JobEvent::Progress(event) => {
                self.operators.clone_from(&event.operators);
                for feed in &event.feeds {
                    self.row(&feed.node).feed = feeds::words(feed);
                }
            }
            _ => {}
        }
    }

    fn apply_node(&mut self, event: &NodeEvent) {
        let row = self.row(&event.node);
        if event.attempt > row.attempt {
            row.report.clear();
            row.feed.clear();
        }
        row.attempt = event.attempt;
        row.phase = neutral(&event.phase).into_owned();
        row.verdict.clone_from(&event.verdict);
    }

    fn row(&mut self, node: &str) -> &mut Row {
        let position = *self.positions.entry(node.to_owned()).or_insert_with(|| {
            self.nodes.push(Row {
                node: neutral(node).into_owned(),
                ..Row::default()
            });
            self.nodes.len() - 1
        });
        &mut self.nodes[position]
    }

    /// `digits: running, 3 of 4 nodes ready`
    pub(super) fn header(&self, palette: Palette) -> String {
        let job = palette.paint(Colour::Strong, &self.job);
        let mut parts = vec![if self.phase.is_empty() {
            "beginning".to_owned()
        } else {
            self.phase.clone()
        }];
        if !self.nodes.is_empty() {
            let ready = self.nodes.iter().filter(|row| row.phase == "ready").count();
            parts.push(format!("{ready} of {} nodes ready", self.nodes.len()));
        }
        parts.extend(
            self.dataflow
                .map(|phase| format!("dataflow {}", phase.as_str())),
        );
        parts.extend(Some(self.note.clone()).filter(|note| !note.is_empty()));
        format!("{job}: {}", parts.join(", "))
    }

    /// A line a node, then a line an operator, at most `lines_max`, the last of each for those that have no room. Where there is
    /// not room for all, each has at least half of it.
    pub(super) fn rows(&self, lines_max: usize, palette: Palette) -> Vec<String> {
        let half = lines_max.div_ceil(2);
        let for_operators = self.operators.len();
        let for_operators = for_operators.min(half.max(lines_max.saturating_sub(self.nodes.len())));
        let mut rows = self.node_rows(lines_max - for_operators, palette);
        rows.extend(self.operator_rows(for_operators));
        rows
    }

    fn operator_rows(&self, lines_max: usize) -> Vec<String> {
        let lines = operators::lines(&self.operators);
        let lines = lines.into_iter().map(|line| format!("  {line}"));
        shortened(lines.collect(), lines_max)
    }

    fn node_rows(&self, lines_max: usize, palette: Palette) -> Vec<String> {
        let width = self
            .nodes
            .iter()
            .map(|row| row.node.chars().count())
            .max()
            .unwrap_or(0);
        let lines = self.nodes.iter().map(|row| row.line(width, palette));
        shortened(lines.collect(), lines_max)
    }
}

fn shortened(mut lines: Vec<String>, lines_max: usize) -> Vec<String> {
    if lines.len() > lines_max {
        let shown = lines_max.saturating_sub(1);
        let more = format!("... and {} more", lines.len() - shown);
        lines.truncate(shown);
        lines.push(more);
    }
    lines
}

impl Row {
    fn line(&self, width: usize, palette: Palette) -> String {
        let phase = format!("{:<8}", self.phase);
        let phase = match (self.phase.as_str(), self.verdict.as_deref()) {
            ("exited", Some("finished" | "stopped")) => palette.paint(Colour::Faint, &phase),
            ("exited", _) => palette.paint(Colour::Bad, &phase),
            ("ready", _) => palette.paint(Colour::Good, &phase),
            _ => phase,
        };
        let attempt = if self.attempt > 1 {
            format!("  attempt {}", self.attempt)
        } else {
            String::new()
        };
        let more = ["", &self.report, &self.feed].into_iter().enumerate();
        let more = more.filter(|(position, words)| *position == 0 || !words.is_empty());
        let more: Vec<_> = more.map(|(_, words)| words).collect();
        format!(
            "  {:<width$}  {phase}{attempt}{}",
            self.node,
            more.join("  ")
        )
        .trim_end()
        .to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use forebay_cluster::events::{DataflowEvent, ProgressEvent};

    use super::*;
    use crate::view::{Received, Shown};

    /// A short run, told from its first line to its last.
    const STORY: &str = r#"{"sequence":1,"time_ms":1000,"kind":"job","job":"digits","run_dir":"/runs/digits-1","version":"0.1.0"}
{"sequence":2,"time_ms":2000,"kind":"am","term":1,"pid":11}
{"sequence":3,"time_ms":3000,"kind":"agent","agent":"mill","address":"127.0.0.1","pid":10,"phase":"joined"}
{"sequence":4,"time_ms":4000,"kind":"phase","phase":"placing","note":"1 node waits"}
{"sequence":5,"time_ms":5000,"kind":"node","node":"worker:0","attempt":0,"phase":"placed","agent":"mill"}
{"sequence":6,"time_ms":6000,"kind":"node","node":"worker:0","attempt":1,"phase":"starting","pid":12,"agent":"mill"}
{"sequence":7,"time_ms":7000,"kind":"node","node":"worker:0","attempt":1,"phase":"ready","pid":12,"agent":"mill"}
{"sequence":8,"time_ms":8000,"kind":"phase","phase":"running"}
{"time_ms":8500,"kind":"log","node":"worker:0","attempt":1,"line":"hello \u001b[31mred"}
{"sequence":9,"time_ms":9000,"kind":"report","node":"worker:0","attempt":1,"step":1,"values":{"loss":0.75}}
{"sequence":10,"time_ms":10000,"kind":"report","node":"worker:0","attempt":1,"step":2,"values":{"loss":0.5}}
{"sequence":11,"time_ms":11000,"kind":"warning","message":"the log of `worker:0` is full","hint":"raise `log_bytes`"}
{"sequence":12,"time_ms":12000,"kind":"node","node":"worker:0","attempt":1,"phase":"exited","agent":"mill","ending":"exit code 0","verdict":"finished"}
{"sequence":13,"time_ms":13000,"kind":"summary","outcome":"succeeded","reason":"all work is done","hint":null,"cause":null,"engine_failed":false,"duration_ms":12345,"run_dir":"/runs/digits-1","terms":[{"term":1,"pid":11}],"nodes":[{"node":"worker:0","attempts":[{"attempt":1,"pid":12,"ending":"exit code 0","verdict":"finished"}],"last_report":{"step":2,"loss":0.5}}]}"#;

    pub(in crate::view) fn story() -> Vec<Shown> {
        let event = |line: &str| Shown::Event(Box::new(Received::parse(line.to_owned()).unwrap()));
        let mut story: Vec<_> = STORY.lines().map(event).collect();
        story.insert(9, Shown::Remark("Ctrl-Z is refused".into()));
        story
    }

    fn board(nodes: usize) -> Board {
        let mut board = Board::default();
        for shown in story() {
            if let Shown::Event(event) = shown {
                board.apply(event.event());
            }
        }
        for index in 1..nodes {
            board.apply(&JobEvent::Node(NodeEvent {
                node: format!("worker:{index}"),
                attempt: 2,
                phase: "ready".into(),
                pid: Some(1),
                agent: None,
                ending: None,
                verdict: None,
                reason: None,
            }));
        }
        board
    }

    fn shown(board: &Board) -> String {
        let palette = Palette::default();
        [vec![board.header(palette)], board.rows(4, palette)]
            .concat()
            .join("\n")
    }

    #[test]
    fn a_line_a_node_says_phase_attempt_and_last_report() {
        insta::assert_snapshot!(shown(&board(2)), @r"
        digits: running, 1 of 2 nodes ready
          worker:0  exited    step 2, loss 0.5
          worker:1  ready     attempt 2
        ");
    }

    #[test]
    fn operators_stand_below_the_nodes_and_have_half_of_the_room() {
        let mut board = board(16);
        let operators = (0..9)
            .map(|number| operators::tests::operator(&format!("operator{number}"), 1_000 * number));
        board.apply(&JobEvent::Dataflow(DataflowEvent {
            attempt: 1,
            phase: DataflowPhase::Running,
            reason: None,
            hint: None,
            operator: None,
            running_ms: 0,
            operators: Vec::new(),
        }));
        board.apply(&JobEvent::Progress(ProgressEvent {
            attempt: 1,
            running_ms: 1_000,
            operators: operators.collect(),
            feeds: Vec::new(),
        }));
        insta::assert_snapshot!(shown(&board), @r"
        digits: running, 15 of 16 nodes ready, dataflow running
          worker:0   exited    step 2, loss 0.5
        ... and 15 more
          operator0      0 in      0 out  1,235/s    busy 25 %
        ... and 8 more
        ");
        let alone = Board {
            nodes: Vec::new(),
            ..board
        };
        insta::assert_snapshot!(shown(&alone), @r"
        digits: running, dataflow running
          operator0      0 in      0 out  1,235/s    busy 25 %
          operator1  1,000 in    500 out  1,235/s    busy 25 %
          operator2  2,000 in  1,000 out  1,235/s    busy 25 %
        ... and 6 more
        ");
    }

    #[test]
    fn more_nodes_than_lines_are_counted() {
        insta::assert_snapshot!(shown(&board(16)), @r"
        digits: running, 15 of 16 nodes ready
          worker:0   exited    step 2, loss 0.5
          worker:1   ready     attempt 2
          worker:2   ready     attempt 2
        ... and 13 more
        ");
    }
}
