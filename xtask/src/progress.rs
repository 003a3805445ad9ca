//! What the person who waits sees: numbered steps, the time that each took, a sign of life, and the log's end on failure.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

use crate::workspace::shown;

/// Between two signs of life: on a terminal, where one line is written over; elsewhere, where each is a line more.
const HEARTBEAT_TERMINAL: Duration = Duration::from_secs(1);
const HEARTBEAT_PLAIN: Duration = Duration::from_secs(10);
/// Lines of a log that are shown when its step failed.
const TAIL_LINES: usize = 30;
/// Columns of the line that is written over.
const COLUMNS: usize = 78;

/// The steps of one verb, counted.
pub(crate) struct Progress {
    total: usize,
    begun: usize,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, begun: 0 }
    }

    /// Runs the next step. A step that says nothing was up to date.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&Step) -> Result<T>,
    ) -> Result<T> {
        self.begun += 1;
        let step = Step {
            label: format!("[{}/{}] {name}", self.begun, self.total),
            started: Instant::now(),
            silent: Cell::new(true),
        };
        let outcome = work(&step);
        match &outcome {
            Ok(_) if step.silent.get() => println!("{}: up to date", step.label),
            Ok(_) => println!(
                "{}: done in {}",
                step.label,
                seconds(step.started.elapsed())
            ),
            Err(_) => println!(
                "{}: failed after {}",
                step.label,
                seconds(step.started.elapsed())
            ),
        }
        outcome
    }
}

/// One step while it runs.
pub(crate) struct Step {
    label: String,
    started: Instant,
    silent: Cell<bool>,
}

impl Step {
    /// Tells what the step does from here on.
    pub(crate) fn says(&self, what: &str) {
        self.silent.set(false);
        println!("{}: {what}", self.label);
    }

    /// Runs a command whose output goes to a log file, with signs of life; `what` says what it does.
    ///
    /// # Errors
    /// Where the command cannot be started or fails: then with the end of the log.
    pub(crate) fn run(&self, what: &str, command: &mut Command, log: &Path) -> Result<()> {
        self.says(what);
        let file = create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let status = self.wait(command, log)?;
        if !status.success() {
            let (shown, log_end) = (shown(command), tail(log));
            bail!(
                "`{shown}` failed ({status})\nend of `{}`:\n{log_end}",
                log.display()
            );
        }
        Ok(())
    }

    fn wait(&self, command: &mut Command, log: &Path) -> Result<ExitStatus> {
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(command)))?;
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(child.wait()));
        let heartbeat = if stdout().is_terminal() {
            HEARTBEAT_TERMINAL
        } else {
            HEARTBEAT_PLAIN
        };
        loop {
            match receiver.recv_timeout(heartbeat) {
                Err(RecvTimeoutError::Timeout) => self.sign_of_life(log),
                Err(RecvTimeoutError::Disconnected) => bail!("lost sight of `{}`", shown(command)),
                Ok(status) => {
                    clear_line();
                    return Ok(status?);
                }
            }
        }
    }

    fn sign_of_life(&self, log: &Path) {
        let content = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let last = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let line: String = format!("      {}, {}", seconds(self.started.elapsed()), last.trim())
            .chars()
            .take(COLUMNS)
            .collect();
        if stdout().is_terminal() {
            print!("\r\x1b[K{line}");
            // A lost sign of life is no reason to stop.
            let _ = stdout().flush();
        } else {
            println!("{line}");
        }
    }
}

fn clear_line() {
    if stdout().is_terminal() {
        print!("\r\x1b[K");
    }
}

fn create(log: &Path) -> Result<File> {
    let folder = log.parent().unwrap_or(log);
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    File::create(log).with_context(|| format!("cannot write `{}`", log.display()))
}

fn tail(log: &Path) -> String {
    let content = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// An error with its causes, each on a line of its own.
pub(crate) fn explained(error: &Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    texts.join("\n  because: ")
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let log = std::env::temp_dir().join(format!("xtask-progress-{}.log", std::process::id()));
        let outcome = Progress::new(1).step("a step", |step| {
            step.run(
                "failing",
                Command::new("sh").args(["-c", "seq 1 100; exit 3"]),
                &log,
            )
        });
        let text = format!("{:#}", outcome.expect_err("exit 3 is a failure"));
        assert!(
            text.contains("exit status: 3") && text.ends_with("\n99\n100"),
            "{text}"
        );
        assert!(!text.contains("\n70\n"), "only the end: {text}");
        std::fs::remove_file(log).expect("the log was written");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
