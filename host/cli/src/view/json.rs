//! `--format json`: every event as it came, on standard output.

use std::io;

use forebay_cluster::events::{JobEvent, Outcome};

use super::ending::headline;
use super::{Shown, View};
use crate::output::{print, tell};
use crate::text::{Palette, neutral};

/// Events on standard output; on standard error the engine's remarks, and one line where the job failed.
pub(super) struct JsonView;

impl View for JsonView {
    fn show(&mut self, batch: &[Shown]) -> io::Result<()> {
        let mut lines = String::new();
        let mut failed = None;
        for shown in batch {
            match shown {
                Shown::Event(event) => {
                    lines.push_str(&event.json);
                    lines.push('\n');
                    if let JobEvent::Summary(summary) = event.event() {
                        failed = (summary.outcome == Outcome::Failed)
                            .then(|| headline(summary, Palette::default()));
                    }
                }
                Shown::Remark(text) => tell(&neutral(text))?,
            }
        }
        print(&lines)?;
        failed.map_or(Ok(()), |headline| tell(&headline))
    }
}
