//! What the machine has to remember between calls, because the view does not show it.

use forebay_plugin_sdk::{NodeId, PluginError};
use serde::{Deserialize, Serialize};

use crate::restarting::Restarts;

/// Name of the layout of the bytes.
pub(crate) const FORMAT: &str = "standard-2";

/// As bytes: postcard, whose code is small. The default is the state of a job that has just been submitted.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Observers have been asked for; that is done once, whatever becomes of it.
    pub(crate) observers_asked: bool,
    /// How the job is being brought to its end.
    pub(crate) stop: Option<Stop>,
    /// A script asked for the end of the job.
    pub(crate) finish_asked: bool,
    /// The failure that the job will end with, or that nodes will be restarted for.
    pub(crate) cause: Option<Cause>,
    /// Restarts so far.
    pub(crate) restarts: Restarts,
}

/// An orderly end before the job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stop {
    /// Wanted; nothing has been done yet.
    Asked { deadline_ms: u64 },
    /// The input has been closed; nodes read what is on its way.
    Draining,
    /// Nodes have been told to stop.
    Stopping,
}

/// A failure, kept while it is not certain that it is the first cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    pub(crate) rank: Rank,
    pub(crate) role: String,
    pub(crate) index: u32,
    pub(crate) reason: String,
    /// The job ends at this time; milliseconds since 1970.
    pub(crate) end_at_ms: u64,
}

/// What kind of failure it is; the later ones are more certainly a first cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Rank {
    /// A service ended with exit code 0: perhaps because the job is as good as done.
    ServiceEnded,
    /// It might succeed when started again: perhaps it only lost a peer.
    Transient,
    /// Its machine is gone: no other failure is behind that.
    Lost,
    /// It failed for reasons of its own, and would again.
    Certain,
}

impl Cause {
    pub(crate) fn node(&self) -> NodeId {
        NodeId::new(&self.role, self.index)
    }
}

impl State {
    /// Empty bytes: just submitted.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, PluginError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match postcard::take_from_bytes(bytes) {
            Ok((state, [])) => Ok(state),
            _ => Err(PluginError::new(
                "bad-state",
                format!("the state is not of format `{FORMAT}`"),
            )),
        }
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>, PluginError> {
        postcard::to_allocvec(self).map_err(|error| {
            PluginError::new("bad-state", format!("the state cannot be written: {error}"))
        })
    }
}
