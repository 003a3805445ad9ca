//! What goes into the core and what comes out of it. The core does nothing else: it reads no clock, no file, no socket.

use super::mending::Mended;
use crate::events::{JobEvent, Outcome};
use crate::journal::Entry;
use crate::wire::cluster::Register;
use crate::wire::cluster::agent_message::Message as FromAgent;
use crate::wire::cluster::manager_message::Message as ToAgent;

/// One open stream of an agent. A reconnected agent has a new one.
pub(crate) type Link = u64;
/// Somebody who waits for an answer.
pub(crate) type Ticket = u64;

/// Everything that can happen to a job.
#[derive(Debug)]
pub(crate) enum Input {
    /// The job begins.
    Submitted,
    /// The job goes on under a new application manager.
    Recovered,
    /// An agent has opened a stream.
    Joined { link: Link, register: Register },
    /// An agent has said something.
    Agent { link: Link, message: FromAgent },
    /// The stream is closed.
    Gone { link: Link },
    /// So many bytes of an attempt's log are here.
    LogGrew {
        link: Link,
        node: String,
        attempt: u32,
        length: u64,
    },
    /// The whole log of an attempt is here.
    LogClosed {
        link: Link,
        node: String,
        attempt: u32,
    },
    /// A person wants the end of the job.
    Stop(StopCall),
    /// A person wants a quarantined job to go on.
    Resume(Box<ResumeCall>),
}

/// See [`Input::Resume`].
#[derive(Debug)]
pub(crate) struct ResumeCall {
    pub(crate) ticket: Ticket,
    /// The client's own id: the same one acts once.
    pub(crate) request: String,
    /// What goes on with the job.
    pub(crate) mended: Mended,
}

/// See [`Input::Stop`].
#[derive(Debug)]
pub(crate) struct StopCall {
    pub(crate) ticket: Ticket,
    /// The client's own id: the same one acts once.
    pub(crate) request: String,
    pub(crate) way: StopWay,
    pub(crate) reason: String,
}

/// How a job is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopWay {
    /// SIGKILL, without a question.
    Now,
    /// The state machine is asked; what still runs after so many milliseconds is killed. Default: as the job says.
    Orderly { deadline_ms: Option<u64> },
    /// The engine cannot go on: not a stop, a failure.
    Broken,
}

/// What the shell has to do, in this order.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful live at once, for a moment"
)]
pub(crate) enum Effect {
    /// Write the entry, to disk, before anything that follows.
    Journal(Box<Entry>),
    /// Tell an agent.
    Send { link: Link, message: ToAgent },
    /// Refuse or end an agent's stream.
    Close { link: Link, refusal: Refusal },
    /// Tell people.
    Emit(JobEvent),
    /// Tell those who watch now, and nobody later.
    Show(JobEvent),
    /// The request is journaled under this number.
    Answer { ticket: Ticket, event_number: u64 },
    /// The request is not taken, and why.
    Decline { ticket: Ticket, why: String },
    /// The job has ended; nothing follows.
    Ended(Outcome),
}

/// Why an agent may not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot, as it is.
    Unfit(String),
    /// Nothing was heard of it for too long.
    Silent,
    /// The job is over.
    Over,
    /// The agent has obeyed a newer term: this application manager is no longer in charge.
    Overtaken(u64),
    /// A newer stream of the same agent is there.
    Outdated,
}
