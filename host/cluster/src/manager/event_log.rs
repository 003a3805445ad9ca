//! Events for people and programs: to `events.jsonl`, and to everybody who watches. Lines of nodes' logs go to watchers
//! alone: they have files of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use tonic::Status;

use crate::clock;
use crate::events::{JobEvent, Line};
use crate::run_directory::RunDirectory;
use crate::wire::job::Event;

/// Events that a slow watcher may be behind; what it misses, it reads from the file. What has no number is not told again.
const LIVE_EVENTS: usize = 16_384;
/// Messages on their way to one watcher.
const WATCHER_EVENTS: usize = 256;
/// Bytes of the file that are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// One event as watchers get it.
#[derive(Clone, Debug)]
struct Told {
    /// 0: it has no number, and is not in the file.
    sequence: u64,
    json: Arc<str>,
    is_last: bool,
}

impl Told {
    fn parse(json: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(json).ok()?;
        Some(Self {
            sequence: line.sequence?,
            json: json.into(),
            is_last: matches!(line.event, JobEvent::Summary(_)),
        })
    }
}

/// Writer of the run's events. Cheap to clone the reading side of: see [`EventLog::watcher`].
pub(crate) struct EventLog {
    run: RunDirectory,
    file: File,
    sequence: u64,
    live: broadcast::Sender<Told>,
}

impl EventLog {
    /// Goes on behind the last whole line.
    pub(crate) fn open(run: &RunDirectory) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(run.events_file())?;
        cut_torn_line(run, &file)?;
        Ok(Self {
            run: run.clone(),
            file,
            sequence: last_sequence(run)?,
            live: broadcast::channel(LIVE_EVENTS).0,
        })
    }

    /// Gives the event its number and time, writes it, and tells everybody.
    pub(crate) fn emit(&mut self, event: JobEvent) -> io::Result<()> {
        self.sequence += 1;
        let is_last = matches!(event, JobEvent::Summary(_));
        let line = Line {
            sequence: Some(self.sequence),
            time_ms: clock::now_ms(),
            event,
        };
        let json = serde_json::to_string(&line)?;
        self.file.write_all(format!("{json}\n").as_bytes())?;
        self.write_beside(&line, &json)?;
        self.tell(Told {
            sequence: self.sequence,
            json: json.into(),
            is_last,
        });
        Ok(())
    }

    /// Reports have a file for each node, the summary one of its own.
    fn write_beside(&self, line: &Line, json: &str) -> io::Result<()> {
        match &line.event {
            JobEvent::Report { node, .. } => {
                let path = self
                    .run
                    .reports()
                    .join(format!("{}.jsonl", node.replace(':', "-")));
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)?
                    .write_all(format!("{json}\n").as_bytes())
            }
            JobEvent::Summary(summary) => {
                let text = serde_json::to_vec_pretty(summary)?;
                crate::submission::write(&self.run.summary_file(), &text).map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }

    /// For those who watch now: a line of a node, how far the dataflow is.
    pub(crate) fn show(&self, event: JobEvent) {
        let line = Line {
            sequence: None,
            time_ms: clock::now_ms(),
            event,
        };
        if let Ok(json) = serde_json::to_string(&line) {
            self.tell(Told {
                sequence: 0,
                json: json.into(),
                is_last: false,
            });
        }
    }

    fn tell(&self, told: Told) {
        // Nobody may be watching.
        let _ = self.live.send(told);
    }

    pub(crate) fn watcher(&self) -> Watcher {
        Watcher {
            run: self.run.clone(),
            live: self.live.clone(),
        }
    }
}

/// Makes streams of events, history first.
#[derive(Clone)]
pub(crate) struct Watcher {
    run: RunDirectory,
    live: broadcast::Sender<Told>,
}

impl Watcher {
    /// Everything after the event of this number, until the summary.
    pub(crate) fn watch(&self, after: u64) -> mpsc::Receiver<Result<Event, Status>> {
        let (sender, receiver) = mpsc::channel(WATCHER_EVENTS);
        let watch = Watch {
            run: self.run.clone(),
            live: self.live.subscribe(),
            sender,
            seen: after,
            position: 0,
        };
        tokio::spawn(watch.run());
        receiver
    }
}

struct Watch {
    run: RunDirectory,
    live: broadcast::Receiver<Told>,
    sender: mpsc::Sender<Result<Event, Status>>,
    seen: u64,
    /// How far the file was read, in bytes.
    position: u64,
}

/// Nothing more is to be sent: the summary is out, or the watcher has gone.
struct Over;

impl Watch {
    async fn run(mut self) {
        let _ = self.tell_all().await;
    }

    async fn tell_all(&mut self) -> Result<(), Over> {
        self.catch_up().await?;
        loop {
            match self.live.recv().await {
                Ok(told) => self.pass_on(told).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                Err(broadcast::error::RecvError::Closed) => return self.catch_up().await,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Over> {
        loop {
            let (run, position) = (self.run.clone(), self.position);
            // The file may be long, and the disk slow.
            let read = tokio::task::spawn_blocking(move || piece(&run, position)).await;
            let (told, next) = read.map_err(|_| Over)?.map_err(|_| Over)?;
            if next == self.position {
                return Ok(());
            }
            self.position = next;
            for told in told {
                self.pass_on(told).await?;
            }
        }
    }

    async fn pass_on(&mut self, told: Told) -> Result<(), Over> {
        if told.sequence != 0 && told.sequence <= self.seen {
            return Ok(());
        }
        self.seen = self.seen.max(told.sequence);
        let event = Event {
            sequence: told.sequence,
            json: told.json.to_string(),
        };
        self.sender.send(Ok(event)).await.map_err(|_| Over)?;
        if told.is_last { Err(Over) } else { Ok(()) }
    }
}

/// A machine that crashed, or a full disk, may have left half a line.
fn cut_torn_line(run: &RunDirectory, file: &File) -> io::Result<()> {
    let content = fs::read(run.events_file())?;
    let whole = content.iter().rposition(|byte| *byte == b'\n');
    let length = whole.map_or(0, |end| end + 1);
    if length < content.len() {
        file.set_len(length as u64)?;
    }
    Ok(())
}

fn last_sequence(run: &RunDirectory) -> io::Result<u64> {
    let (mut last, mut position) = (0, 0);
    loop {
        let (told, next) = piece(run, position)?;
        if next == position {
            return Ok(last);
        }
        last = told.last().map_or(last, |told| told.sequence);
        position = next;
    }
}

/// Whole lines of the file from this byte on, at most a piece of them, and where the next piece begins.
fn piece(run: &RunDirectory, position: u64) -> io::Result<(Vec<Told>, u64)> {
    let mut file = match File::open(run.events_file()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), position)),
        file => file?,
    };
    file.seek(SeekFrom::Start(position))?;
    let (mut lines, mut position) = (BufReader::new(file), position);
    let end = position + PIECE_BYTES;
    let (mut told, mut json) = (Vec::new(), String::new());
    while position < end && lines.read_line(&mut json)? > 0 && json.ends_with('\n') {
        position += json.len() as u64;
        told.extend(Told::parse(json.trim_end()));
        json.clear();
    }
    Ok((told, position))
}

/// The summary of a run that has ended.
pub fn read_summary(run: &RunDirectory) -> io::Result<crate::events::Summary> {
    Ok(serde_json::from_slice(&fs::read(run.summary_file())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WATCHDOG: Duration = Duration::from_secs(20);

    fn phase(phase: &str) -> JobEvent {
        JobEvent::Phase {
            phase: phase.into(),
            note: None,
        }
    }

    async fn next(watch: &mut mpsc::Receiver<Result<Event, Status>>) -> Option<u64> {
        let event = tokio::time::timeout(WATCHDOG, watch.recv())
            .await
            .expect("no event came");
        event.map(|event| event.unwrap().sequence)
    }

    #[tokio::test]
    async fn history_comes_first_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        let mut log = EventLog::open(&run).unwrap();
        log.emit(phase("placing")).unwrap();
        log.emit(phase("starting")).unwrap();
        let mut all = log.watcher().watch(0);
        let mut late = log.watcher().watch(1);
        log.emit(phase("running")).unwrap();
        for expected in 1..=3 {
            assert_eq!(next(&mut all).await, Some(expected));
        }
        for expected in 2..=3 {
            assert_eq!(next(&mut late).await, Some(expected));
        }
        drop(log);
        assert_eq!(next(&mut all).await, None);
    }

    #[tokio::test]
    async fn a_history_of_many_pieces_is_told_whole() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        let mut events = EventLog::open(&run).unwrap();
        let text = "x".repeat(100_000);
        for _ in 0..40 {
            events.emit(phase(&text)).unwrap();
        }
        let mut late = events.watcher().watch(3);
        for expected in 4..=40 {
            assert_eq!(next(&mut late).await, Some(expected));
        }
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        let mut log = EventLog::open(&run).unwrap();
        log.emit(phase("placing")).unwrap();
        log.emit(phase("st\u{e4}rting")).unwrap();
        let path = run.events_file();
        let content = fs::read(&path).unwrap();
        let torn = content.iter().position(|byte| *byte == 0xc3).unwrap();
        fs::write(&path, &content[..=torn]).unwrap();
        let mut again = EventLog::open(&run).unwrap();
        again.emit(phase("running")).unwrap();
        let (told, _) = piece(&run, 0).unwrap();
        let numbers: Vec<u64> = told.iter().map(|told| told.sequence).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn a_reopened_log_goes_on_counting() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        EventLog::open(&run)
            .unwrap()
            .emit(phase("placing"))
            .unwrap();
        let mut again = EventLog::open(&run).unwrap();
        again.emit(phase("starting")).unwrap();
        assert_eq!(last_sequence(&run).unwrap(), 2);
    }
}
