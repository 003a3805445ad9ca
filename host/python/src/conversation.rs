//! What the Python half calls. No method waits for the agent, except where it says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay_protocol::node::v1::{
    Attached, Done, FinishJob, GenerationTaken, Hello, Member, ScriptError, Signal, Welcome, up,
};
use forebay_protocol::{PROTOCOL_VERSION, SIGNAL_NAME_BYTES_MAX, SIGNAL_PAYLOAD_BYTES_MAX};
use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use rustix::fd::RawFd;

use crate::outbox::{Outbox, OutboxFull};
use crate::shared::{Shared, State};
use crate::speaker::Speaker;
use crate::values::values_of;

/// How long start-up waits for the agent's welcome.
const WELCOME_DEADLINE: Duration = Duration::from_secs(30);
/// How long the last words of a process may take to leave it, when the agent does not read.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(2);
/// Longest name of an exception, longest reason or message, and longest traceback, in bytes.
const KIND_BYTES_MAX: usize = 256;
const REASON_BYTES_MAX: usize = 64 << 10;
const TRACEBACK_BYTES_MAX: usize = 256 << 10;

type MemberTuple = (String, u32, String, String, Vec<(String, u32)>, bool);

/// Who this node is: the agent's welcome.
#[pyclass(frozen, get_all)]
pub(crate) struct Identity {
    job: String,
    run: String,
    role: String,
    index: u32,
    attempt: u32,
    parameters: BTreeMap<String, String>,
    output: String,
}

/// The conversation of this process with its agent.
#[pyclass(frozen)]
pub(crate) struct Conversation {
    shared: Arc<Shared>,
    speaker: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl Conversation {
    /// Says hello over the inherited descriptor, which it takes over, and waits for the welcome.
    #[new]
    fn new(
        py: Python<'_>,
        descriptor: RawFd,
        python_version: String,
        executable: String,
    ) -> PyResult<Self> {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            pid: std::process::id(),
            python_version,
            package_version: env!("CARGO_PKG_VERSION").to_owned(),
            executable,
        };
        let shared = Arc::new(Shared::new()?);
        shared.update(|state| send(state, Outbox::push, up::Message::Hello(hello)))?;
        let speaker = Speaker::new(crate::adopt(descriptor), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("forebay".to_owned())
            .spawn(|| speaker.run())?;
        let conversation = Self {
            shared,
            speaker: Mutex::new(Some(thread)),
        };
        py.detach(|| conversation.wait_for_welcome())
            .map_err(PyConnectionError::new_err)?;
        Ok(conversation)
    }

    fn identity(&self) -> Identity {
        self.shared
            .read(|state| Identity::from(state.welcome.clone().unwrap_or_default()))
    }

    /// Generation, revision, and for each member role, index, machine, address, named ports, whether it has finished.
    fn cluster(&self) -> (u64, u64, Vec<MemberTuple>) {
        let cluster = self.shared.read(|state| state.cluster.clone());
        (
            cluster.generation,
            cluster.revision,
            cluster.members.into_iter().map(member_tuple).collect(),
        )
    }

    fn attached(&self) -> PyResult<()> {
        self.say(up::Message::Attached(Attached {}))
    }

    fn generation_taken(&self, generation: u64) -> PyResult<()> {
        self.say(up::Message::GenerationTaken(GenerationTaken { generation }))
    }

    #[pyo3(signature = (step, values))]
    fn report(
        &self,
        step: Option<u64>,
        values: BTreeMap<String, Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let values = values_of(values)?;
        self.shared.tell(|state| state.outbox.report(step, values));
        Ok(())
    }

    fn signal(&self, name: String, payload: String) -> PyResult<()> {
        check_length("the name of a signal", &name, SIGNAL_NAME_BYTES_MAX)?;
        check_length(
            "the payload of a signal",
            &payload,
            SIGNAL_PAYLOAD_BYTES_MAX,
        )?;
        self.say(up::Message::Signal(Signal { name, payload }))
    }

    /// Waits until it is handed to the kernel.
    fn done(&self, py: Python<'_>) -> PyResult<()> {
        self.say_at_last(py, up::Message::Done(Done {}))
    }

    /// Waits until it is handed to the kernel.
    fn finish_job(&self, py: Python<'_>, reason: String) -> PyResult<()> {
        check_length("the reason", &reason, REASON_BYTES_MAX)?;
        self.say_at_last(py, up::Message::FinishJob(FinishJob { reason }))
    }

    /// Waits until it is handed to the kernel. Of a long traceback the end is kept, where the cause is.
    fn exception(
        &self,
        py: Python<'_>,
        kind: &str,
        message: &str,
        traceback: &str,
    ) -> PyResult<()> {
        let error = ScriptError {
            kind: beginning(kind, KIND_BYTES_MAX),
            message: beginning(message, REASON_BYTES_MAX),
            traceback: end(traceback, TRACEBACK_BYTES_MAX),
        };
        self.say_at_last(py, up::Message::Exception(error))
    }

    /// Asks this process to stop, as a notice of the agent would.
    fn request_stop(&self, reason: String) {
        self.shared.update(|state| state.request_stop(reason));
    }

    fn stop_requested(&self) -> bool {
        self.shared.read(|state| state.stop.is_some())
    }

    /// Waits for the reason to stop; `None` when this process has hung up before there was one.
    fn wait_for_stop(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| {
            self.shared
                .wait_until(|state| state.stop.is_some() || state.closing.is_some());
        });
        self.shared.read(|state| state.stop.clone())
    }

    /// Sends what waits, hangs up and ends the thread. Nothing enters the interpreter afterwards.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.hang_up());
    }
}

impl Conversation {
    fn wait_for_welcome(&self) -> Result<(), String> {
        self.shared.wait_at_most(WELCOME_DEADLINE, |state| {
            state.welcome.is_some() || state.over.is_some()
        });
        let answer = self
            .shared
            .read(|state| match (&state.welcome, &state.over) {
                (Some(welcome), _) if welcome.refusal.is_empty() => Ok(()),
                (Some(welcome), _) => Err(welcome.refusal.clone()),
                (None, Some(reason)) => Err(reason.clone()),
                (None, None) => Err(format!(
                    "the agent did not answer within {} s",
                    WELCOME_DEADLINE.as_secs()
                )),
            });
        if answer.is_err() {
            self.hang_up();
        }
        answer
    }

    fn hang_up(&self) {
        self.shared
            .tell(|state| state.closing = Some(Instant::now() + LAST_WORDS_DEADLINE));
        let thread = self
            .speaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A panic of the thread has been printed; there is nothing to add.
        let _ = thread.map(JoinHandle::join);
    }

    fn say(&self, message: up::Message) -> PyResult<()> {
        self.shared.tell(|state| send(state, Outbox::push, message))
    }

    fn say_at_last(&self, py: Python<'_>, message: up::Message) -> PyResult<()> {
        self.shared
            .tell(|state| send(state, Outbox::push_after_report, message))?;
        let sent = |state: &State| state.outbox.is_empty() || state.over.is_some();
        py.detach(|| self.shared.wait_at_most(LAST_WORDS_DEADLINE, sent));
        Ok(())
    }
}

type Push = fn(&mut Outbox, up::Message) -> Result<(), OutboxFull>;

fn send(state: &mut State, push: Push, message: up::Message) -> PyResult<()> {
    if let Some(reason) = &state.over {
        return Err(PyConnectionError::new_err(reason.clone()));
    }
    push(&mut state.outbox, message).map_err(|OutboxFull| {
        PyConnectionError::new_err("the agent does not read what this node says")
    })
}

impl From<Welcome> for Identity {
    fn from(welcome: Welcome) -> Self {
        Self {
            job: welcome.job,
            run: welcome.run,
            role: welcome.role,
            index: welcome.index,
            attempt: welcome.attempt,
            parameters: welcome.parameters,
            output: welcome.output,
        }
    }
}

fn member_tuple(member: Member) -> MemberTuple {
    let node = member.node.unwrap_or_default();
    let ports = member
        .ports
        .into_iter()
        .map(|port| (port.name, port.number))
        .collect();
    (
        node.role,
        node.index,
        member.machine,
        member.address,
        ports,
        member.finished,
    )
}

fn check_length(what: &str, text: &str, limit: usize) -> PyResult<()> {
    if text.len() > limit {
        return Err(PyValueError::new_err(format!(
            "{what} has {} bytes; at most {limit} are taken",
            text.len()
        )));
    }
    Ok(())
}

fn beginning(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

fn end(text: &str, limit: usize) -> String {
    text[text.ceil_char_boundary(text.len().saturating_sub(limit))..].to_owned()
}
