//! What is known of an attempt and what follows from it: inputs come in, effects go out. No I/O and no clock here.

mod said;
mod standing_still;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use forebay_protocol::PROTOCOL_VERSION;

use self::standing_still::Watchfulness;
use super::timers::{Timer, Timers};
use super::{Asker, Order, Publication, Run};
use crate::agent::control::{Frame, frame};
use crate::agent::dataflow::FeedState;
use crate::clock::milliseconds;
use crate::exec::{self, Ending, Status};
use crate::submission::HOST_VERSION;
use crate::wire::cluster::outbox_entry::Event;
use crate::wire::cluster::readiness::Kind as Readiness;
use crate::wire::cluster::{
    AttemptEnded, AttemptReady, AttemptStalled, AttemptStarted, KnownCause, NodeLimits, StallKind,
    Start, attempt_ended,
};
use crate::wire::node::{Cluster, NodeId, Report, ScriptError, StopNotice, Up, Welcome, down};

/// From SIGTERM to SIGKILL when the agent itself ends an attempt.
const OWN_GRACE: Duration = Duration::from_secs(5);
/// `node-exec` ends killed processes in moments; after this it is killed itself.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// Something that has happened.
#[derive(Debug)]
pub(super) enum Input {
    Status(Status),
    Up(Up),
    Order(Order),
    /// The port of the readiness has a listener.
    Listening,
    /// The process that has said hello is not there any more; the node may be.
    SpeakerGone,
    /// How far it is with its input.
    Feed(FeedState),
    Due(Timer),
}

/// Something to be done.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful live at once, for a moment"
)]
pub(super) enum Effect {
    Tell(Event),
    /// To be told with its stacks.
    Stalled(AttemptStalled),
    Report(Report),
    Send(Frame),
    Press(exec::Order),
    /// The node broke the protocol.
    HangUp(&'static str),
    /// `node-exec` does not react.
    KillParent,
}

/// How far the conversation with the node's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    BeforeHello,
    Open,
    Refused,
}

/// A process that the agent would not talk to.
#[derive(Debug)]
pub(super) struct Refused {
    /// For people.
    pub(super) why: String,
    /// What it called its interpreter.
    pub(super) interpreter: String,
}

/// One attempt, from its start to its end.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each of which the AM is told"
)]
pub(super) struct Life {
    node: Option<NodeId>,
    attempt: u32,
    readiness: Readiness,
    limits: NodeLimits,
    welcome: Welcome,
    /// The dataflow gives it its input.
    is_fed: bool,
    pub(super) timers: Timers,
    talk: Talk,
    /// The process that has said hello, as it says.
    pub(super) speaker: Option<u32>,
    watch: Watchfulness,
    pub(super) refused: Option<Refused>,
    pub(super) pid: Option<u32>,
    ready: bool,
    done: bool,
    stop_asked: bool,
    /// Why the agent wants its end; empty: it does not.
    agent_stopped: String,
    killed_by_agent: bool,
    cause: KnownCause,
    error: Option<ScriptError>,
    ended: Option<(Ending, u64)>,
    not_started: Option<i32>,
}

impl Life {
    pub(super) fn new(start: &Start, run: &Run, output: &str, cluster: Cluster) -> Self {
        let node = start.node.clone();
        let named = node.clone().unwrap_or_default();
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            host_version: HOST_VERSION.to_owned(),
            job: run.job.clone(),
            run: run.name.clone(),
            role: named.role,
            index: named.index,
            attempt: start.attempt,
            parameters: start.parameters.clone().into_iter().collect(),
            output: output.to_owned(),
            cluster: Some(cluster),
            restore_checkpoint: start.restore_checkpoint,
            refusal: String::new(),
        };
        let readiness = start
            .readiness
            .as_ref()
            .and_then(|readiness| readiness.kind.clone());
        Self {
            node,
            attempt: start.attempt,
            readiness: readiness.unwrap_or(Readiness::Started(crate::wire::cluster::Started {})),
            limits: start.limits.unwrap_or_default(),
            welcome,
            is_fed: start.fed_by.is_some(),
            timers: Timers::default(),
            talk: Talk::BeforeHello,
            speaker: None,
            watch: Watchfulness::default(),
            refused: None,
            pid: None,
            ready: false,
            done: false,
            stop_asked: false,
            agent_stopped: String::new(),
            killed_by_agent: false,
            cause: KnownCause::None,
            error: None,
            ended: None,
            not_started: None,
        }
    }

    /// Name of the port whose listener is waited for.
    pub(super) fn awaited_port(&self) -> Option<&str> {
        match &self.readiness {
            Readiness::Listening(port)
                if !self.ready && self.pid.is_some() && self.ended.is_none() =>
            {
                Some(port)
            }
            _ => None,
        }
    }

    pub(super) fn take(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        match input {
            Input::Status(status) => self.status(status, now),
            Input::Up(up) => self.up(up, now),
            Input::Order(order) => self.order(order, now),
            Input::Listening => self.become_ready(),
            Input::SpeakerGone => {
                self.hung_up();
                Vec::new()
            }
            Input::Feed(state) => self.feed(state, now),
            Input::Due(timer) => self.due(timer, now),
        }
    }

    fn status(&mut self, status: Status, now: Instant) -> Vec<Effect> {
        match status {
            Status::Started { pid } => self.started(pid, now),
            Status::NotStarted { errno } => {
                self.not_started = Some(errno);
                Vec::new()
            }
            Status::Ended { ending, ran_ms } => {
                self.ended = Some((ending, ran_ms));
                self.timers = Timers::default();
                self.timers.start(Timer::GiveUp, now, GIVE_UP_AFTER);
                Vec::new()
            }
        }
    }

    fn started(&mut self, pid: u32, now: Instant) -> Vec<Effect> {
        self.pid = Some(pid);
        self.timers
            .start_unless_zero(Timer::NotReady, now, self.limits.start_within_ms);
        self.timers
            .start_unless_zero(Timer::NotAttached, now, self.limits.attach_within_ms);
        let started = AttemptStarted {
            node: self.node.clone(),
            attempt: self.attempt,
            pid,
        };
        let mut effects = vec![Effect::Tell(Event::AttemptStarted(started))];
        if matches!(self.readiness, Readiness::Started(_)) {
            effects.extend(self.become_ready());
        }
        effects
    }

    fn become_ready(&mut self) -> Vec<Effect> {
        if std::mem::replace(&mut self.ready, true) {
            return Vec::new();
        }
        self.timers.clear(Timer::NotReady);
        self.timers.clear(Timer::KillNotReady);
        vec![Effect::Tell(Event::AttemptReady(AttemptReady {
            node: self.node.clone(),
            attempt: self.attempt,
        }))]
    }

    fn due(&mut self, timer: Timer, now: Instant) -> Vec<Effect> {
        match timer {
            Timer::NotReady => self.is_not_ready(self.limits.start_within_ms, now),
            Timer::NotAttached => self.is_not_ready(self.limits.attach_within_ms, now),
            Timer::KillNotReady => {
                self.cause = KnownCause::StartTimeout;
                self.end("it did not become ready", OWN_GRACE, now)
            }
            Timer::Lingering => self.lingers(now),
            Timer::Raised => self.end("an exception has left its script", OWN_GRACE, now),
            Timer::Ping | Timer::NoPong | Timer::NoProgress | Timer::KillStalled => {
                self.standing_still(timer, now)
            }
            Timer::Kill => self.kill(now),
            Timer::GiveUp => vec![Effect::KillParent],
        }
    }

    fn is_not_ready(&mut self, for_ms: u64, now: Instant) -> Vec<Effect> {
        self.timers
            .start_unless_zero(Timer::KillNotReady, now, self.limits.stall_kill_ms);
        vec![self.stalled(StallKind::NotReady, for_ms)]
    }

    /// Nobody asks any more when it begins.
    fn may_begin_late(&mut self) {
        for timer in [Timer::NotReady, Timer::NotAttached, Timer::KillNotReady] {
            self.timers.clear(timer);
        }
    }

    fn stalled(&self, kind: StallKind, for_ms: u64) -> Effect {
        Effect::Stalled(AttemptStalled {
            node: self.node.clone(),
            attempt: self.attempt,
            kind: kind.into(),
            for_ms,
            stacks: String::new(),
        })
    }

    fn order(&mut self, order: Order, now: Instant) -> Vec<Effect> {
        match order {
            Order::Stop { by, grace, reason } => {
                self.watch_nobody();
                self.may_begin_late();
                match by {
                    Asker::Manager => self.stop_asked = true,
                    Asker::Agent => self.agent_stopped.clone_from(&reason),
                }
                self.end(&reason, grace, now)
            }
            Order::Publish(publication) => self.publish(&publication),
            Order::Save(save) => self.send(down::Message::Save(save)),
            Order::RollBack(roll_back) => self.send(down::Message::RollBack(roll_back)),
        }
    }

    fn end(&mut self, reason: &str, grace: Duration, now: Instant) -> Vec<Effect> {
        if grace.is_zero() {
            return self.kill(now);
        }
        self.timers.start_earlier(Timer::Kill, now, grace);
        let grace_ms = milliseconds(grace);
        let mut effects = self.send(down::Message::StopNotice(StopNotice {
            grace_ms,
            reason: reason.to_owned(),
        }));
        effects.push(Effect::Press(exec::Order::Terminate));
        effects
    }

    fn kill(&mut self, now: Instant) -> Vec<Effect> {
        self.killed_by_agent = true;
        self.timers.start(Timer::GiveUp, now, GIVE_UP_AFTER);
        vec![Effect::Press(exec::Order::Kill)]
    }

    fn publish(&mut self, publication: &Publication) -> Vec<Effect> {
        let known = self.welcome.cluster.as_ref().map(order_of);
        if known >= Some(order_of(&publication.cluster)) {
            return Vec::new();
        }
        self.welcome.cluster = Some(publication.cluster.clone());
        if self.talk == Talk::Open {
            vec![Effect::Send(publication.frame.clone())]
        } else {
            Vec::new()
        }
    }

    fn send(&self, message: down::Message) -> Vec<Effect> {
        if self.talk == Talk::Open {
            vec![Effect::Send(frame(message))]
        } else {
            Vec::new()
        }
    }

    /// The program could not be run, with the system's number.
    pub(super) fn not_started(&self) -> Option<i32> {
        self.not_started
    }

    /// A SIGKILL that did not come from here.
    pub(super) fn was_killed_by_others(&self) -> bool {
        matches!(self.ended, Some((Ending::Signal(9), _))) && !self.killed_by_agent
    }

    /// What the AM is told at the end, without what the capture knows. `None` as ending: `node-exec` was killed, and
    /// with it the node.
    pub(super) fn finish(self, out_of_memory: bool) -> AttemptEnded {
        let (ending, ran_ms) = self.ended.unwrap_or((Ending::Signal(9), 0));
        let cause = if out_of_memory {
            KnownCause::OutOfMemory
        } else {
            self.cause
        };
        AttemptEnded {
            node: self.node,
            attempt: self.attempt,
            ending: Some(match ending {
                Ending::Code(code) => attempt_ended::Ending::Code(code),
                Ending::Signal(signal) => attempt_ended::Ending::Signal(signal),
            }),
            cause: cause.into(),
            error: self.error,
            was_ready: self.ready,
            ran_ms,
            stop_was_asked: self.stop_asked,
            agent_stopped: self.agent_stopped,
            was_done: self.done,
            refusal: self.refused.map_or_else(String::new, |refused| refused.why),
            ..AttemptEnded::default()
        }
    }
}

/// Newer publications are greater.
fn order_of(cluster: &Cluster) -> (u64, u64) {
    (cluster.generation, cluster.revision)
}
