//! `forebay logs`

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use forebay_cluster::run_directory::RunDirectory;
use forebay_plugin::NodeId;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, FormatArgument, written};
use crate::runs::{self, State};
use crate::text::{Colour, Palette, neutral};

/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest piece of a log that is read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Shows what nodes wrote
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  forebay logs worker:0\n  forebay logs -f --run digits-20260101-120000\n\nThe log of the application manager is RUN/logs/am.1.log, the one of the engine RUN/logs/engine.log."
)]
pub(crate) struct Logs {
    /// `worker:0`, or `worker:0.2` for its second attempt [default: all nodes, the newest attempt of each]
    #[arg(value_name = "NODE[.ATTEMPT]")]
    node: Option<Wanted>,
    /// Folder or name of the run [default: the newest below `.forebay/runs`]
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    format: FormatArgument,
}

/// Which log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    node: NodeId,
    /// `None`: the newest.
    attempt: Option<u32>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, attempt) = match text.split_once('.') {
            Some((node, attempt)) => (node, Some(attempt)),
            None => (text, None),
        };
        let number = |text: &str| {
            text.parse()
                .map_err(|_| format!("`{text}` is no attempt: give a number, such as `worker:0.2`"))
        };
        let node = node
            .parse()
            .map_err(|error: forebay_plugin::NodeIdError| error.to_string())?;
        Ok(Self {
            node,
            attempt: attempt.map(number).transpose()?,
        })
    }
}

impl Logs {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let run = runs::find(self.run.as_deref())?;
        let style = match (self.format.format, &self.node) {
            (Format::Json, _) => Style::Json,
            (Format::Text, Some(_)) if !io::stdout().is_terminal() => Style::Raw,
            (Format::Text, Some(_)) => Style::Lines,
            (Format::Text, None) => Style::Named(Palette::of_stdout()),
        };
        let mut reading = Reading {
            run,
            wanted: self.node,
            style,
            places: BTreeMap::new(),
        };
        if !self.follow
            && reading
                .logs()
                .map_err(|error| reading.unreadable(&error))?
                .is_empty()
        {
            return Err(reading.nothing());
        }
        let result = if self.follow {
            reading.follow()
        } else {
            reading.look(Pass::Last)
        };
        written(result)
    }
}

/// How lines are shown.
#[derive(Clone, Copy)]
enum Style {
    /// Byte by byte as the node wrote it: not for terminals.
    Raw,
    /// Line by line, made harmless.
    Lines,
    /// The same, each with its node.
    Named(Palette),
    /// JSON objects.
    Json,
}

/// Whether more may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Unfinished lines wait for the rest.
    More,
    /// What is there is all.
    Last,
}

/// One log file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Log {
    node: NodeId,
    attempt: u32,
}

/// How far a log was read.
#[derive(Default)]
struct Place {
    offset: u64,
    unfinished: Vec<u8>,
}

struct Reading {
    run: RunDirectory,
    wanted: Option<Wanted>,
    style: Style,
    places: BTreeMap<Log, Place>,
}

/// A line as `--format json` shows it.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "log")]
struct LogLine<'a> {
    node: String,
    attempt: u32,
    line: &'a str,
}

impl Reading {
    fn follow(&mut self) -> io::Result<()> {
        loop {
            // First the state, then the logs: what was written before the end is not missed.
            let running = runs::state_of(&self.run).0 == State::Running;
            self.look(if running { Pass::More } else { Pass::Last })?;
            if !running {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Shows everything that is new.
    fn look(&mut self, pass: Pass) -> io::Result<()> {
        for log in self.logs()? {
            let path = self
                .run
                .node_log(&log.node.role, log.node.index, log.attempt);
            let mut place = self.places.remove(&log).unwrap_or_default();
            let shown = self.show_new(&log, &path, &mut place, pass);
            self.places.insert(log, place);
            shown?;
        }
        Ok(())
    }

    fn show_new(&self, log: &Log, path: &Path, place: &mut Place, pass: Pass) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut stdout = io::stdout().lock();
        loop {
            let read = (&mut file)
                .take(PIECE_BYTES)
                .read_to_end(&mut place.unfinished)?;
            place.offset += read as u64;
            let whole = match (
                self.style,
                pass,
                place.unfinished.iter().rposition(|byte| *byte == b'\n'),
            ) {
                (Style::Raw, ..) => place.unfinished.len(),
                (_, Pass::Last, _) if read == 0 => place.unfinished.len(),
                (_, _, Some(last)) => last + 1,
                (_, _, None) => 0,
            };
            let lines: Vec<u8> = place.unfinished.drain(..whole).collect();
            self.write(&mut stdout, log, &lines)?;
            if read == 0 {
                return stdout.flush();
            }
        }
    }

    fn write(&self, out: &mut impl Write, log: &Log, content: &[u8]) -> io::Result<()> {
        if let Style::Raw = self.style {
            return out.write_all(content);
        }
        String::from_utf8_lossy(content)
            .lines()
            .try_for_each(|line| self.write_line(out, log, line))
    }

    fn write_line(&self, out: &mut impl Write, log: &Log, line: &str) -> io::Result<()> {
        match self.style {
            Style::Raw | Style::Lines => writeln!(out, "{}", neutral(line)),
            Style::Named(palette) => {
                let name = palette.paint(Colour::Faint, &format!("{} |", log.node));
                writeln!(out, "{name} {}", neutral(line))
            }
            Style::Json => {
                let line = LogLine {
                    node: log.node.to_string(),
                    attempt: log.attempt,
                    line,
                };
                writeln!(out, "{}", serde_json::to_string(&line)?)
            }
        }
    }

    /// Logs that are there and wanted: of each node the newest attempt, or the one that was asked for, and those that
    /// were begun already.
    fn logs(&self) -> io::Result<Vec<Log>> {
        let mut newest: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut chosen: Vec<Log> = Vec::new();
        for log in all_logs(&self.run)?
            .into_iter()
            .filter(|log| self.wants(log))
        {
            if self
                .wanted
                .as_ref()
                .is_some_and(|wanted| wanted.attempt.is_some())
                || self.places.contains_key(&log)
            {
                chosen.push(log);
            } else {
                let attempt = newest.entry(log.node).or_default();
                *attempt = log.attempt.max(*attempt);
            }
        }
        chosen.extend(
            newest
                .into_iter()
                .map(|(node, attempt)| Log { node, attempt }),
        );
        chosen.sort();
        chosen.dedup();
        Ok(chosen)
    }

    fn wants(&self, log: &Log) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| {
            wanted.node == log.node && wanted.attempt.is_none_or(|attempt| attempt == log.attempt)
        })
    }

    fn nothing(&self) -> Failure {
        let found = all_logs(&self.run).unwrap_or_default();
        let names: Vec<_> = found
            .iter()
            .map(|log| format!("{}.{}", log.node, log.attempt))
            .collect();
        let what = self
            .wanted
            .as_ref()
            .map_or("any node".to_owned(), |wanted| format!("`{}`", wanted.node));
        let failure = Failure::input(format!(
            "the run `{}` has no log of {what}",
            self.run.name()
        ));
        if names.is_empty() {
            failure.with_hint("no node has written anything yet; `-f` waits for it")
        } else {
            failure.with_hint(format!("it has logs of {}", names.join(", ")))
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        runs::unreadable(&self.run.logs(), error)
    }
}

fn all_logs(run: &RunDirectory) -> io::Result<Vec<Log>> {
    let names =
        fs::read_dir(run.logs())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut logs: Vec<_> = names.filter_map(|name| log_of(&name)).collect();
    logs.sort();
    Ok(logs)
}

/// `worker-0.2.log`; roles may have dashes too.
fn log_of(name: &str) -> Option<Log> {
    let (node, attempt) = name.strip_suffix(".log")?.rsplit_once('.')?;
    let (role, index) = node.rsplit_once('-')?;
    Some(Log {
        node: NodeId::new(role, index.parse().ok()?),
        attempt: attempt.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(logs: &[(&str, &str)]) -> (tempfile::TempDir, RunDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        for (name, content) in logs {
            fs::write(run.logs().join(name), content).unwrap();
        }
        (folder, run)
    }

    fn reading(run: &RunDirectory, wanted: Option<&str>) -> Reading {
        let wanted = wanted.map(|wanted| wanted.parse().unwrap());
        Reading {
            run: run.clone(),
            wanted,
            style: Style::Json,
            places: BTreeMap::new(),
        }
    }

    fn names(reading: &Reading) -> Vec<String> {
        reading
            .logs()
            .unwrap()
            .iter()
            .map(|log| format!("{}.{}", log.node, log.attempt))
            .collect()
    }

    #[test]
    fn the_newest_attempt_is_shown_unless_another_is_wanted() {
        let logs = [
            ("a-b-0.1.log", ""),
            ("a-b-0.2.log", ""),
            ("a-b-1.1.log", ""),
            ("am.1.log", ""),
            ("engine.log", ""),
        ];
        let (_folder, run) = run(&logs);
        assert_eq!(names(&reading(&run, None)), ["a-b:0.2", "a-b:1.1"]);
        assert_eq!(names(&reading(&run, Some("a-b:0"))), ["a-b:0.2"]);
        assert_eq!(names(&reading(&run, Some("a-b:0.1"))), ["a-b:0.1"]);
        let none = reading(&run, Some("a-b:7"));
        let name = run.name();
        assert!(names(&none).is_empty());
        insta::assert_snapshot!(none.nothing().to_string().replace(&name, "RUN"), @r"
        error: the run `RUN` has no log of `a-b:7`
          hint: it has logs of a-b:0.1, a-b:0.2, a-b:1.1
        ");
    }

    #[test]
    fn what_is_no_node_is_refused() {
        insta::assert_snapshot!(Wanted::from_str("worker").unwrap_err(), @"`worker` is not a node: expected a role and an index, such as `worker:0`");
        insta::assert_snapshot!(Wanted::from_str("worker:0.x").unwrap_err(), @"`x` is no attempt: give a number, such as `worker:0.2`");
    }

    #[test]
    fn lines_are_shown_as_json_or_by_name() {
        let (_folder, run) = run(&[]);
        let mut reading = reading(&run, None);
        let log = Log {
            node: NodeId::new("a", 0),
            attempt: 1,
        };
        let mut out = Vec::new();
        reading
            .write(&mut out, &log, b"one\n\xfftwo\x1b[31m")
            .unwrap();
        reading.style = Style::Named(Palette::default());
        reading.write(&mut out, &log, b"three\x1b[31m\n").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"kind":"log","node":"a:0","attempt":1,"line":"one"}
        {"kind":"log","node":"a:0","attempt":1,"line":"�two\u001b[31m"}
        a:0 | three␛[31m
        "#);
    }
}
