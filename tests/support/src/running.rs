//! A program that runs, seen from a test.

use std::cell::Cell;
use std::fmt;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use crate::events;
use crate::output::Output;
use crate::terminal::Terminal;

/// How long the streams of an ended program may stay open: whoever holds them longer was left behind.
const STREAMS_CLOSE: Duration = Duration::from_secs(10);

/// A program that runs. Dropped before its end, it is killed.
///
/// Its watchdog counts from the start: every wait fails, with all that was written, when it has run out.
pub struct Running {
    title: String,
    child: Child,
    process: OwnedFd,
    streams: Arc<Streams>,
    deadline: Instant,
    /// What it wrote is a part of the failure already.
    shown: Cell<bool>,
}

#[derive(Default)]
struct Streams {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    open: u32,
}

/// Which stream a reader fills.
type Target = fn(&mut Written) -> &mut Vec<u8>;

impl Running {
    /// Starts a command as it is, in the sandbox of the caller if that one is in any. No shell, no wrapper is between the
    /// two, so what is measured is the command's own.
    #[track_caller]
    pub fn directly(mut command: Command, watchdog: Duration) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let title = format!("{command:?}");
        let child = command.spawn();
        Self::piped(title, child.expect("the program is there"), watchdog)
    }

    pub(crate) fn piped(title: String, mut child: Child, watchdog: Duration) -> Self {
        let streams = Arc::new(Streams::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        read(&streams, stdout.expect("it is piped"), |written| {
            &mut written.stdout
        });
        read(&streams, stderr.expect("it is piped"), |written| {
            &mut written.stderr
        });
        Self::new(title, child, streams, watchdog)
    }

    pub(crate) fn in_terminal(
        title: String,
        child: Child,
        terminal: &mut Terminal,
        watchdog: Duration,
    ) -> Self {
        let streams = Arc::new(Streams::default());
        read(&streams, terminal.screen(), |written| &mut written.stdout);
        Self::new(title, child, streams, watchdog)
    }

    fn new(title: String, child: Child, streams: Arc<Streams>, watchdog: Duration) -> Self {
        let pid = Pid::from_child(&child);
        let process =
            pidfd_open(pid, PidfdFlags::empty()).expect("a child is there until it is waited for");
        Self {
            title,
            child,
            process,
            streams,
            deadline: Instant::now() + watchdog,
            shown: Cell::new(false),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it alone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal)
            .unwrap_or_else(|error| self.fail(&format!("no signal: {error}")));
    }

    /// Waits for an event on its standard output, from the first one on; `what` names it in the failure.
    #[track_caller]
    pub fn wait_event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_written(what, |written| {
            let text = String::from_utf8_lossy(&written.stdout);
            text.lines().filter_map(events::parse).find(&wanted)
        })
    }

    /// The events that it has written by now.
    pub fn events_so_far(&self) -> Vec<Value> {
        self.streams
            .texts()
            .0
            .lines()
            .filter_map(events::parse)
            .collect()
    }

    /// Waits until its standard output contains `text`.
    #[track_caller]
    pub fn wait_stdout(&self, text: &str) {
        self.wait_written(&format!("`{text}` on stdout"), |written| {
            contains(&written.stdout, text).then_some(())
        });
    }

    /// Waits until its standard error contains `text`.
    #[track_caller]
    pub fn wait_stderr(&self, text: &str) {
        self.wait_written(&format!("`{text}` on stderr"), |written| {
            contains(&written.stderr, text).then_some(())
        });
    }

    #[track_caller]
    fn wait_written<T>(&self, what: &str, mut found: impl FnMut(&Written) -> Option<T>) -> T {
        let mut written = self.streams.lock();
        loop {
            if let Some(found) = found(&written) {
                return found;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.open == 0 {
                drop(written);
                self.fail(&format!("never came: {what}"));
            }
            let waited = self.streams.changed.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What it has written by now to standard output and standard error.
    pub fn written(&self) -> (String, String) {
        self.streams.texts()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        if !ends_before(&self.process, self.deadline) {
            self.fail("still runs");
        }
        let status = self.child.wait().expect("a child is waited for once");
        assert!(
            self.streams.close_soon(),
            "`{}` has ended, but somebody holds its output open",
            self.title
        );
        let (stdout, stderr) = self.streams.texts();
        Output::new(status, stdout, stderr)
    }

    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        self.shown.set(true);
        panic!("`{}`: {why}\n{}", self.title, self.streams);
    }
}

impl Drop for Running {
    /// In a test that has failed it shows what the program wrote: it may have been the reason.
    #[expect(
        clippy::print_stderr,
        reason = "for the person who wants to know why the test has failed"
    )]
    fn drop(&mut self) {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() && !self.shown.get() {
            let state = if ended { "has ended" } else { "still ran" };
            eprintln!("`{}` {state}\n{}", self.title, self.streams);
        }
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stdout, stderr) = self.texts();
        write!(
            formatter,
            "----- stdout -----\n{stdout}\n----- stderr -----\n{stderr}"
        )
    }
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_soon(&self) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), STREAMS_CLOSE, |written| written.open > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn texts(&self) -> (String, String) {
        let written = self.lock();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&written.stdout), text(&written.stderr))
    }
}

fn read(streams: &Arc<Streams>, mut source: impl Read + Send + 'static, target: Target) {
    streams.lock().open += 1;
    let streams = Arc::clone(streams);
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            target(&mut streams.lock()).extend_from_slice(&buffer[..count]);
            streams.changed.notify_all();
        }
        drop(source);
        streams.lock().open -= 1;
        streams.changed.notify_all();
    });
}

fn ends_before(process: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).expect("a watchdog is a matter of minutes");
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ends, Some(&left)).is_ok_and(|ready| ready > 0)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(text)
}
