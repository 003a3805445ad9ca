//! The thread that owns the control socket: it sends what waits, takes what comes, and acts when the agent is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_protocol::Decoder;
use forebay_protocol::node::v1::{
    ClusterChange, Down, Pong, RollBack, RolledBack, Save, Saved, StopNotice, Welcome, down, up,
};
use pyo3::Python;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Signal, getpid, kill_process};

use crate::shared::{Shared, State};

/// What a process gets to end by itself after its agent is gone.
const HANG_UP_GRACE: Duration = Duration::from_secs(30);
const RECEIVE_BYTES: usize = 16 * 1024;

/// Why the conversation cannot go on.
struct Lost(String);

enum Next {
    Wait {
        events: PollFlags,
        limit: Option<Duration>,
    },
    HangUp,
}

pub(crate) struct Speaker {
    socket: OwnedFd,
    shared: Arc<Shared>,
    decoder: Decoder,
}

impl Speaker {
    pub(crate) fn new(socket: OwnedFd, shared: Arc<Shared>) -> Self {
        Self {
            socket,
            shared,
            decoder: Decoder::default(),
        }
    }

    /// Speaks until this process closes the conversation or the agent is gone.
    pub(crate) fn run(mut self) {
        let lost = self.converse().err();
        let orphaned = self.shared.update(|state| {
            let orphaned = lost.is_some() && state.runs_script();
            state.over = Some(lost.map_or_else(|| "the node has ended".to_owned(), |lost| lost.0));
            orphaned
        });
        if orphaned {
            self.end_process();
        }
    }

    fn converse(&mut self) -> Result<(), Lost> {
        loop {
            self.shared.silence_bell();
            match self.shared.update(|state| advance(state, &self.socket))? {
                Next::HangUp => return Ok(()),
                Next::Wait { events, limit } => self.wait(events, limit),
            }
            self.receive()?;
        }
    }

    fn wait(&self, events: PollFlags, limit: Option<Duration>) {
        let bell = self.shared.bell();
        let mut watched = [
            PollFd::new(&self.socket, events),
            PollFd::from_borrowed_fd(bell, PollFlags::IN),
        ];
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, limit.as_ref());
    }

    fn receive(&mut self) -> Result<(), Lost> {
        let mut buffer = [0; RECEIVE_BYTES];
        match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {
                return Err(Lost("the agent has hung up".to_owned()));
            }
            Ok((length, _)) => self.decoder.push(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(Lost(format!("the control socket cannot be read: {error}"))),
        }
        while let Some(message) = self.next_message()? {
            self.take(message);
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Down>, Lost> {
        self.decoder.pull().map_err(|error| {
            let source = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Lost(format!(
                "the agent cannot be understood: {error}{}",
                source.unwrap_or_default()
            ))
        })
    }

    fn take(&self, message: Down) {
        match message.message {
            Some(down::Message::Welcome(welcome)) => {
                self.update(|state| take_welcome(state, welcome));
            }
            Some(down::Message::ClusterChange(change)) => {
                self.update(|state| take_cluster(state, change));
            }
            Some(down::Message::StopNotice(notice)) => {
                self.update(|state| state.request_stop(text_of(notice)));
            }
            Some(down::Message::Ping(ping)) => self.answer_ping(ping.number),
            Some(down::Message::Save(save)) => self.answer(refuse_save(&save)),
            Some(down::Message::RollBack(back)) => self.answer(refuse_roll_back(&back)),
            // Said by a later version of the host.
            None => {}
        }
    }

    /// Proof that the interpreter still runs byte code: nothing is said before it lets this thread in.
    fn answer_ping(&self, number: u64) {
        // Without an interpreter to ask there is nothing to prove.
        let _ = Python::try_attach(|_python| self.answer(up::Message::Pong(Pong { number })));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        self.shared.update(change);
    }

    fn answer(&self, message: up::Message) {
        // An agent that does not read does not miss an answer.
        let _ = self.shared.update(|state| state.outbox.push(message));
    }

    /// Does to this process what the agent would have done: asks it to stop, and ends it after the grace.
    fn end_process(&self) {
        self.shared.update(|state| {
            let reason = state.over.clone().unwrap_or_default();
            warn(&format!("{reason}; this node stops"));
            state.request_stop(reason);
        });
        let _ = kill_process(getpid(), Signal::TERM);
        if !self
            .shared
            .wait_at_most(HANG_UP_GRACE, |state| state.closing.is_some())
        {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// Sends what can be sent and says what to wait for.
fn advance(state: &mut State, socket: &OwnedFd) -> Result<Next, Lost> {
    if state.closing.is_some() {
        state.outbox.flush_report();
    }
    // What waits goes first: a report is only released when nothing does, and nobody would wake us for it later.
    transmit(state, socket)?;
    let mut limit = state.outbox.release_report();
    transmit(state, socket)?;
    if let Some(deadline) = state.closing {
        let left = deadline.saturating_duration_since(Instant::now());
        if state.outbox.is_empty() || left.is_zero() {
            return Ok(Next::HangUp);
        }
        limit = Some(left);
    }
    let events = if state.outbox.is_empty() {
        PollFlags::IN
    } else {
        PollFlags::IN | PollFlags::OUT
    };
    Ok(Next::Wait { events, limit })
}

fn transmit(state: &mut State, socket: &OwnedFd) -> Result<(), Lost> {
    while !state.outbox.is_empty() {
        match send(
            socket,
            state.outbox.unsent(),
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ) {
            Ok(length) => state.outbox.sent(length),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => {
                return Err(Lost("the agent has hung up".to_owned()));
            }
            Err(error) => {
                return Err(Lost(format!(
                    "the control socket cannot be written: {error}"
                )));
            }
        }
    }
    Ok(())
}

fn take_welcome(state: &mut State, mut welcome: Welcome) {
    if state.welcome.is_none() {
        state.cluster = welcome.cluster.take().unwrap_or_default();
        state.welcome = Some(welcome);
    }
}

fn take_cluster(state: &mut State, change: ClusterChange) {
    let Some(cluster) = change.cluster else {
        return;
    };
    if (cluster.generation, cluster.revision) > (state.cluster.generation, state.cluster.revision) {
        state.cluster = cluster;
    }
}

fn refuse_save(save: &Save) -> up::Message {
    up::Message::Saved(Saved {
        checkpoint: save.checkpoint,
        files: Vec::new(),
        error: "the script has no save hook".to_owned(),
    })
}

fn refuse_roll_back(roll_back: &RollBack) -> up::Message {
    up::Message::RolledBack(RolledBack {
        checkpoint: roll_back.checkpoint,
        error: "the script has no restore hook".to_owned(),
    })
}

fn text_of(notice: StopNotice) -> String {
    if notice.reason.is_empty() {
        "the agent asks the node to stop".to_owned()
    } else {
        notice.reason
    }
}

fn warn(text: &str) {
    use std::io::Write;
    // Nobody is left to be told of a closed stderr.
    let _ = writeln!(std::io::stderr(), "forebay: {text}");
}
