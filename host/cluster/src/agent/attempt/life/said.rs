//! What a node says, and what follows from it.

use std::time::Instant;

use forebay_protocol::{PROTOCOL_VERSION, SIGNAL_NAME_BYTES_MAX, SIGNAL_PAYLOAD_BYTES_MAX};

use super::{Effect, Life, Readiness, Refused, Talk, Timer};
use crate::agent::control::frame;
use crate::submission::HOST_VERSION;
use crate::wire::cluster::outbox_entry::Event;
use crate::wire::cluster::{
    NodeDone, NodeException, NodeFinishJob, NodeGenerationTaken, NodeHello, NodeRolledBack,
    NodeSaved, NodeSignal,
};
use crate::wire::node::{Hello, Report, ScriptError, Signal, Up, Welcome, down, up, value};

/// Longest text of a report's value, of an exception's kind and message, of a reason, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Longest text of a hello, in bytes; longer ones are cut.
const HELLO_TEXT_BYTES_MAX: usize = 4096;
/// Longest traceback, in bytes.
const TRACEBACK_BYTES_MAX: usize = 256 << 10;

impl Life {
    pub(super) fn up(&mut self, up: Up, now: Instant) -> Vec<Effect> {
        match (up.message, self.talk) {
            // One interpreter of the node after the other may speak, and each begins with hello.
            (Some(up::Message::Hello(hello)), _) => self.hello(hello, now),
            (None, _) | (_, Talk::Refused) => Vec::new(),
            (Some(_), Talk::BeforeHello) => vec![Effect::HangUp("it does not begin with hello")],
            (Some(message), Talk::Open) => self.message(message, now),
        }
    }

    fn hello(&mut self, hello: Hello, now: Instant) -> Vec<Effect> {
        let hello = clipped(hello);
        self.speaker = Some(hello.pid);
        // Whoever started this interpreter has passed over how the one before ended.
        self.error = None;
        self.timers.clear(Timer::Raised);
        let welcome = if let Some(refusal) = refusal(&hello) {
            self.talk = Talk::Refused;
            self.refused = Some(Refused {
                why: refusal.clone(),
                interpreter: hello.executable.clone(),
            });
            Welcome {
                protocol: PROTOCOL_VERSION,
                host_version: HOST_VERSION.to_owned(),
                refusal,
                ..Welcome::default()
            }
        } else {
            self.talk = Talk::Open;
            self.refused = None;
            self.watch_interpreter(now);
            self.welcome.clone()
        };
        let told = NodeHello {
            node: self.node.clone(),
            attempt: self.attempt,
            hello: Some(hello),
        };
        vec![
            Effect::Tell(Event::Hello(told)),
            Effect::Send(frame(down::Message::Welcome(welcome))),
        ]
    }

    fn message(&mut self, message: up::Message, now: Instant) -> Vec<Effect> {
        let (node, attempt) = (self.node.clone(), self.attempt);
        let event = match message {
            up::Message::Attached(_) => return self.attached(),
            up::Message::Report(report) => {
                self.has_reported(now);
                return vec![Effect::Report(bounded(report))];
            }
            up::Message::Signal(signal) if is_too_long(&signal) => {
                return vec![Effect::HangUp("a signal is longer than the package allows")];
            }
            up::Message::Signal(signal) => Event::Signal(NodeSignal {
                node,
                attempt,
                name: signal.name,
                payload: signal.payload,
            }),
            up::Message::Done(_) => return self.become_done(now),
            up::Message::FinishJob(finish) => Event::FinishJob(NodeFinishJob {
                node,
                attempt,
                reason: head(finish.reason, TEXT_BYTES_MAX),
            }),
            up::Message::Exception(error) => self.raised(bounded_error(error), now),
            up::Message::GenerationTaken(taken) => Event::GenerationTaken(NodeGenerationTaken {
                node,
                attempt,
                generation: taken.generation,
            }),
            up::Message::Saved(saved) => Event::Saved(NodeSaved {
                node,
                attempt,
                saved: Some(saved),
            }),
            up::Message::RolledBack(rolled_back) => Event::RolledBack(NodeRolledBack {
                node,
                attempt,
                rolled_back: Some(rolled_back),
            }),
            up::Message::Pong(_) => {
                self.has_answered(now);
                return Vec::new();
            }
            // Taken before.
            up::Message::Hello(_) => return Vec::new(),
        };
        vec![Effect::Tell(event)]
    }

    fn attached(&mut self) -> Vec<Effect> {
        self.timers.clear(Timer::NotAttached);
        if self.ready {
            self.timers.clear(Timer::KillNotReady);
        }
        if matches!(self.readiness, Readiness::Attached(_)) {
            self.become_ready()
        } else {
            Vec::new()
        }
    }

    /// The script is over. Some frameworks keep its process for ever.
    fn raised(&mut self, error: ScriptError, now: Instant) -> Event {
        if self.ended.is_none() && !self.done {
            self.watch_nobody();
            self.may_begin_late();
            self.timers
                .start_unless_zero(Timer::Raised, now, self.limits.linger_grace_ms);
        }
        self.error.get_or_insert_with(|| error.clone());
        Event::Exception(NodeException {
            node: self.node.clone(),
            attempt: self.attempt,
            error: Some(error),
        })
    }

    fn become_done(&mut self, now: Instant) -> Vec<Effect> {
        if std::mem::replace(&mut self.done, true) {
            return Vec::new();
        }
        if self.ended.is_none() {
            self.watch_nobody();
            self.timers
                .start_unless_zero(Timer::Lingering, now, self.limits.linger_grace_ms);
        }
        vec![Effect::Tell(Event::Done(NodeDone {
            node: self.node.clone(),
            attempt: self.attempt,
        }))]
    }
}

/// What a process says of itself is quoted to people.
fn clipped(mut hello: Hello) -> Hello {
    hello.python_version = head(hello.python_version, HELLO_TEXT_BYTES_MAX);
    hello.package_version = head(hello.package_version, HELLO_TEXT_BYTES_MAX);
    hello.executable = head(hello.executable, HELLO_TEXT_BYTES_MAX);
    hello
}

fn refusal(hello: &Hello) -> Option<String> {
    if hello.protocol != PROTOCOL_VERSION {
        Some(format!(
            "the package `forebay` speaks node control {}, this host speaks {PROTOCOL_VERSION}",
            hello.protocol
        ))
    } else if hello.package_version != HOST_VERSION {
        Some(format!(
            "the package `forebay` is of version {}, this host of {HOST_VERSION}",
            hello.package_version
        ))
    } else {
        None
    }
}

fn is_too_long(signal: &Signal) -> bool {
    signal.name.len() > SIGNAL_NAME_BYTES_MAX || signal.payload.len() > SIGNAL_PAYLOAD_BYTES_MAX
}

fn head(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// Of a traceback the end is kept, where the cause is.
fn bounded_error(error: ScriptError) -> ScriptError {
    let begin = error.traceback.len().saturating_sub(TRACEBACK_BYTES_MAX);
    let begin = error.traceback.ceil_char_boundary(begin);
    ScriptError {
        kind: head(error.kind, TEXT_BYTES_MAX),
        message: head(error.message, TEXT_BYTES_MAX),
        traceback: error.traceback[begin..].to_owned(),
    }
}

fn bounded(mut report: Report) -> Report {
    report.values.retain(|key, value| {
        let text = match &value.kind {
            Some(value::Kind::Text(text)) => text.len(),
            _ => 0,
        };
        key.len() + text <= TEXT_BYTES_MAX
    });
    report
}
