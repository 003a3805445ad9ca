//! Lines that stand at the foot of a terminal, and lines that go by above them.

use std::io;
use std::time::Duration;

use forebay_cluster::events::JobEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::board::Board;
use super::{NodeLines, Shown, View, ending, words};
use crate::output::tell;
use crate::text::{Palette, neutral};

/// Most lines that stand, the header apart.
const LINES_MAX: usize = 12;
/// Lines of a terminal that are left to what goes by.
const LINES_LEFT: usize = 6;
/// How often the clock of the header moves.
const TICK: Duration = Duration::from_millis(200);

/// The board, drawn by indicatif.
pub(super) struct LiveView {
    palette: Palette,
    node_lines: NodeLines,
    board: Board,
    bars: MultiProgress,
    header: ProgressBar,
    rows: Vec<ProgressBar>,
}

impl LiveView {
    pub(super) fn new(palette: Palette, node_lines: NodeLines) -> Self {
        let bars = MultiProgress::new();
        let header = bars.add(bar("{spinner} {msg} ({elapsed})"));
        header.enable_steady_tick(TICK);
        Self {
            palette,
            node_lines,
            board: Board::default(),
            bars,
            header,
            rows: Vec::new(),
        }
    }

    /// The line that goes by for `shown`, if there is one.
    fn passing(&self, shown: &Shown) -> Option<String> {
        match shown {
            Shown::Remark(text) => Some(neutral(text).into_owned()),
            Shown::Event(event) => match event.event() {
                JobEvent::Log { .. } if self.node_lines == NodeLines::Hidden => None,
                event if words::goes_by(event) => words::of(event, self.palette),
                _ => None,
            },
        }
    }

    fn draw(&mut self) {
        self.header.set_message(self.board.header(self.palette));
        let rows = self.board.rows(lines_max(), self.palette);
        while self.rows.len() < rows.len() {
            self.rows.push(self.bars.add(bar("{wide_msg}")));
        }
        for (bar, row) in self.rows.iter().zip(rows) {
            bar.set_message(row);
        }
    }

    fn clear(&mut self) -> io::Result<()> {
        self.rows
            .iter()
            .chain([&self.header])
            .for_each(ProgressBar::finish_and_clear);
        self.bars.clear()
    }
}

fn bar(template: &str) -> ProgressBar {
    // The templates are our own; were one wrong, indicatif's default would stand in.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

fn lines_max() -> usize {
    let height =
        rustix::termios::tcgetwinsize(io::stderr()).map_or(24, |size| usize::from(size.ws_row));
    height.saturating_sub(LINES_LEFT).clamp(1, LINES_MAX)
}

impl View for LiveView {
    fn show(&mut self, batch: &[Shown]) -> io::Result<()> {
        let passing: Vec<_> = batch
            .iter()
            .filter_map(|shown| self.passing(shown))
            .collect();
        if !passing.is_empty() {
            // Not `suspend`, which panics where the terminal is gone.
            self.bars.println(passing.join("\n"))?;
        }
        for shown in batch {
            let Shown::Event(event) = shown else { continue };
            if let JobEvent::Summary(summary) = event.event() {
                self.clear()?;
                return tell(&ending::screen(summary, self.palette));
            }
            self.board.apply(event.event());
        }
        self.draw();
        Ok(())
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        // A terminal that is gone cannot be cleared either.
        let _ = self.clear();
    }
}
