//! Lines on standard error, where there is no terminal.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use forebay_cluster::events::JobEvent;

use super::{NodeLines, Shown, View, ending, words};
use crate::output::tell;
use crate::text::{Palette, neutral};

/// A node's reports are shown no more often than this; the last one is in the summary.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How far the dataflow is, no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// In the place of a node's name, which always has a colon.
const DATAFLOW: &str = "dataflow";

/// One line for each phase of a node and of the dataflow, reports and progress now and then.
pub(super) struct PlainView {
    palette: Palette,
    node_lines: NodeLines,
    /// When each node's last report was shown, and how far the dataflow is, milliseconds by the clock of the events.
    reported: HashMap<String, u64>,
}

impl PlainView {
    pub(super) fn new(palette: Palette, node_lines: NodeLines) -> Self {
        Self {
            palette,
            node_lines,
            reported: HashMap::new(),
        }
    }

    fn text(&mut self, shown: &Shown) -> Option<String> {
        let event = match shown {
            Shown::Remark(text) => return Some(neutral(text).into_owned()),
            Shown::Event(event) => event,
        };
        match event.event() {
            JobEvent::Log { .. } if self.node_lines == NodeLines::Hidden => None,
            JobEvent::Report {
                node, step, values, ..
            } => {
                let is_due = self.is_due(node, REPORT_EVERY, event.line.time_ms);
                is_due.then(|| format!("{} {}", neutral(node), words::report(*step, values)))
            }
            JobEvent::Progress(_) if !self.is_due(DATAFLOW, PROGRESS_EVERY, event.line.time_ms) => {
                None
            }
            JobEvent::Summary(summary) => Some(ending::screen(summary, self.palette)),
            other => words::of(other, self.palette),
        }
    }

    fn is_due(&mut self, whose: &str, every: Duration, time_ms: u64) -> bool {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let is_due = self
            .reported
            .get(whose)
            .is_none_or(|last| time_ms.saturating_sub(*last) >= every);
        if is_due {
            self.reported.insert(whose.to_owned(), time_ms);
        }
        is_due
    }
}

impl View for PlainView {
    fn show(&mut self, batch: &[Shown]) -> io::Result<()> {
        let lines: Vec<_> = batch.iter().filter_map(|shown| self.text(shown)).collect();
        if lines.is_empty() {
            Ok(())
        } else {
            tell(&lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::board::tests::story;

    #[test]
    fn a_run_reads_as_a_list_of_what_happened() {
        let mut view = PlainView::new(Palette::default(), NodeLines::Shown);
        let lines: Vec<_> = story()
            .iter()
            .filter_map(|shown| view.text(shown))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        job `digits`, run /runs/digits-1
        application manager: term 1, pid 11
        agent mill (127.0.0.1) joined
        job: placing: 1 node waits
        worker:0 placed (on mill)
        worker:0 starting (attempt 1, pid 12, on mill)
        worker:0 ready (attempt 1, pid 12, on mill)
        job: running
        worker:0 | hello ␛[31mred
        Ctrl-Z is refused
        worker:0 step 1, loss 0.75
        warning: the log of `worker:0` is full
          hint: raise `log_bytes`
        worker:0 exited (attempt 1, on mill, exit code 0, finished)
        job succeeded in 12.3 s: all work is done
          worker:0  step 2, loss 0.5
          run: /runs/digits-1
          output: /runs/digits-1/output
        ");
    }

    #[test]
    fn quiet_hides_what_nodes_write_and_nothing_else() {
        let (mut loud, mut quiet) = (
            PlainView::new(Palette::default(), NodeLines::Shown),
            PlainView::new(Palette::default(), NodeLines::Hidden),
        );
        let lines = |view: &mut PlainView| {
            story()
                .iter()
                .filter_map(|shown| view.text(shown))
                .collect::<Vec<_>>()
        };
        let (loud, quiet) = (lines(&mut loud), lines(&mut quiet));
        let hidden: Vec<_> = loud.iter().filter(|line| !quiet.contains(line)).collect();
        assert!(
            hidden.iter().all(|line| line.contains(" | ")) && !hidden.is_empty(),
            "{hidden:?}"
        );
    }
}
