use crate::limits::LimitExceeded;
use crate::types::{PluginError, words};

words! {
    /// A function of the plugin interface.
    Call {
        /// `plugin-info.describe`
        Describe = "describe",
        /// `state-machine.decide`
        Decide = "decide",
        /// `state-machine.migrate`
        Migrate = "migrate",
        /// `node-runner.prepare`
        Prepare = "prepare",
        /// `node-runner.plan`
        Plan = "plan",
        /// `node-runner.interpret-exit`
        InterpretExit = "interpret-exit",
    }
}

/// A call of a plugin gave no valid answer. Nothing of it took effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{call}` of plugin `{plugin}` failed")]
pub struct CallError {
    /// Id of the plugin.
    pub plugin: String,
    /// What was called.
    pub call: Call,
    /// Why it failed.
    #[source]
    pub fault: Fault,
}

impl CallError {
    /// The error of `call` of the plugin with this id.
    pub fn new(plugin: impl Into<String>, call: Call, fault: impl Into<Fault>) -> Self {
        Self {
            plugin: plugin.into(),
            call,
            fault: fault.into(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match &self.fault {
            Fault::Plugin(error) => error.hint.as_deref(),
            Fault::Denied(denied) => Some(denied.hint()),
            Fault::Trap { .. } | Fault::Limit(_) | Fault::Invalid(_) => {
                Some("this is a mistake of the plugin: report it to its author")
            }
            Fault::Host(_) => None,
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin's own, deliberate answer.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// It trapped or panicked.
    #[error("{}", trap_text(cause, log))]
    Trap {
        /// What WebAssembly says.
        cause: String,
        /// Its last log lines; a panic's message is the last one.
        log: Vec<String>,
    },
    /// It went beyond a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// Its answer is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidAnswer),
    /// It asks for something that it is not allowed to ask for.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The host itself could not make the call.
    #[error("the host could not call it: {0}")]
    Host(String),
}

/// The SDK's panic hook logs before the trap, which by itself says nothing.
pub(crate) fn trap_text(cause: &str, log: &[String]) -> String {
    match log.last() {
        Some(line) if line.starts_with("panicked at") => format!("it {line}"),
        Some(line) => format!("it stopped in the middle: {cause}; its last log line: {line}"),
        None => format!("it stopped in the middle: {cause}"),
    }
}

/// A part of an answer that is not valid; the whole answer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} is not valid: {why}")]
pub struct InvalidAnswer {
    /// Which part, such as ``action 2 (`start`)``.
    pub place: String,
    /// What is wrong, on which thing.
    pub why: String,
}

/// The two locks on what a plugin's output may ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The plugin's own manifest does not list it.
    #[error("the plugin asks for {0}, which its `plugin.toml` does not list")]
    NotListed(String),
    /// The manifest lists it, the operator does not grant it.
    #[error("the plugin asks for {0}; its `plugin.toml` lists it, but this host does not grant it")]
    NotGranted(String),
}

impl Denied {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotListed(_) => "this is a mistake of the plugin: report it to its author",
            Self::NotGranted(_) => {
                "the operator of this machine can grant it in `grants.toml`, or with `--grants FILE`"
            }
        }
    }
}
