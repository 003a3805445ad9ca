//! What a simulated process does, drawn when its attempt begins.

use std::collections::VecDeque;

use fastrand::Rng;
use forebay_plugin::NodeId;
use forebay_protocol::PROTOCOL_VERSION;

use crate::exec::Ending;
use crate::submission::HOST_VERSION;
use crate::wire::node::{Attached, Done, FinishJob, Hello, Report, ScriptError, Signal, up};

/// Kind of an exception after which a node may be started again; the simulated node runner knows it.
pub(crate) const LOST_PEER: &str = "ConnectionError";
/// From its start to the first thing that a process does, in milliseconds.
const FIRST_WORD_MS: u64 = 40;

/// What a role's processes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They end by themselves.
    Worker,
    /// They stay until they are told to go.
    Service,
}

/// How processes behave, in percent.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// End in another way than with exit code 0.
    pub(crate) fails: u8,
    /// Of those failures, the ones after which a restart may help.
    pub(crate) passes: u8,
    pub(crate) does_not_start: u8,
    /// Places that an agent refuses though it has room.
    pub(crate) has_no_port: u8,
    pub(crate) says_done: u8,
    pub(crate) finishes_job: u8,
    pub(crate) signals: u8,
    /// Does not heed SIGTERM.
    pub(crate) is_stubborn: u8,
    /// Longest life of a worker, and of a dataflow that ends, in milliseconds.
    pub(crate) lives_ms: u64,
    /// The dataflow does not end by itself.
    pub(crate) endless_dataflow: bool,
    /// Nodes that the dataflow feeds.
    pub(crate) fed: Vec<NodeId>,
}

/// Why an attempt gets no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFault {
    None,
    Spawn,
    PortTaken,
}

/// One thing that a process does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(up::Message),
    End(Ending),
}

/// What SIGTERM does to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnTerminate {
    Ignore,
    End { after_ms: u64, ending: Ending },
}

/// The whole life of a process as it would be if nobody interfered.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) prepares_ms: u64,
    pub(crate) start: StartFault,
    /// With the time since the start, in order.
    pub(crate) acts: VecDeque<(u64, Act)>,
    pub(crate) on_terminate: OnTerminate,
    /// From the end of the process to that of everything it left behind.
    pub(crate) reaped_after_ms: u64,
}

pub(crate) fn percent(rng: &mut Rng, chance: u8) -> bool {
    rng.u8(0..100) < chance
}

/// Short ones are likelier, so that much happens at once.
pub(crate) fn short(rng: &mut Rng, longest_ms: u64) -> u64 {
    let longest_ms = longest_ms.max(1);
    rng.u64(0..longest_ms) >> rng.u32(0..8)
}

impl Script {
    pub(crate) fn draw(rng: &mut Rng, habits: &Habits, kind: Kind) -> Self {
        let start = match (percent(rng, habits.does_not_start), rng.bool()) {
            (false, _) => StartFault::None,
            (true, false) => StartFault::Spawn,
            (true, true) => StartFault::PortTaken,
        };
        Self {
            prepares_ms: short(rng, 400),
            start,
            acts: acts(rng, habits, kind),
            on_terminate: on_terminate(rng, habits),
            reaped_after_ms: short(rng, 200),
        }
    }
}

fn acts(rng: &mut Rng, habits: &Habits, kind: Kind) -> VecDeque<(u64, Act)> {
    let end_ms = FIRST_WORD_MS + short(rng, habits.lives_ms);
    let mut acts = vec![
        (rng.u64(0..FIRST_WORD_MS / 2), say(hello())),
        (
            rng.u64(FIRST_WORD_MS / 2..FIRST_WORD_MS),
            say(up::Message::Attached(Attached {})),
        ),
    ];
    let mut some_time = |rng: &mut Rng, message| {
        acts.push((rng.u64(FIRST_WORD_MS..=end_ms), say(message)));
    };
    for _ in 0..rng.u8(0..3) {
        let step = Some(rng.u64(1..100));
        let report = Report {
            step,
            ..Report::default()
        };
        some_time(rng, up::Message::Report(report));
    }
    if percent(rng, habits.signals) {
        let signal = Signal {
            name: "epoch".into(),
            // So that it can be told from any other.
            payload: rng.u64(..).to_string(),
        };
        some_time(rng, up::Message::Signal(signal));
    }
    if percent(rng, habits.finishes_job) {
        let reason = "enough".into();
        some_time(rng, up::Message::FinishJob(FinishJob { reason }));
    }
    if kind == Kind::Worker && percent(rng, habits.says_done) {
        some_time(rng, up::Message::Done(Done {}));
    }
    // Things of one moment stay in the order in which they were drawn.
    acts.sort_by_key(|(at, _)| *at);
    if kind == Kind::Worker || percent(rng, habits.fails) {
        acts.extend(end(rng, habits).into_iter().map(|act| (end_ms, act)));
    }
    acts.into()
}

fn say(message: up::Message) -> Act {
    Act::Say(message)
}

fn hello() -> up::Message {
    up::Message::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        package_version: HOST_VERSION.to_owned(),
        ..Hello::default()
    })
}

fn end(rng: &mut Rng, habits: &Habits) -> Vec<Act> {
    if !percent(rng, habits.fails) {
        return vec![Act::End(Ending::Code(0))];
    }
    let error = |kind: &str| {
        say(up::Message::Exception(ScriptError {
            kind: kind.into(),
            ..ScriptError::default()
        }))
    };
    match (percent(rng, habits.passes), rng.u8(0..3)) {
        (true, 0) => vec![Act::End(Ending::Signal(11))],
        (true, 1) => vec![Act::End(Ending::Code(3))],
        (true, _) if rng.bool() => vec![error(LOST_PEER)],
        (true, _) => vec![error(LOST_PEER), Act::End(Ending::Code(1))],
        (false, 0) => vec![error("ValueError")],
        (false, _) => vec![error("ValueError"), Act::End(Ending::Code(1))],
    }
}

fn on_terminate(rng: &mut Rng, habits: &Habits) -> OnTerminate {
    if percent(rng, habits.is_stubborn) {
        return OnTerminate::Ignore;
    }
    let ending = match rng.u8(0..4) {
        0 => Ending::Code(0),
        1 => Ending::Code(1),
        _ => Ending::Signal(15),
    };
    OnTerminate::End {
        after_ms: short(rng, 3_000),
        ending,
    }
}
