//! A state machine with other rules than the standard one: the nodes of a job run one after the other, in the order of
//! the job file, each when the one before it has finished.
//!
//! It knows no framework, and it neither restarts nor scales anything. Properties of the job: `turn-within-ms`, the longest
//! turn that it allows (no limit), and `refuse-stop`, with which nobody stops the row. Start from [`InTurn`].

mod turns;

use forebay_plugin_sdk::{
    Decision, Event, JobSpec, JobView, Moment, Plugin, PluginError, StateMachine,
};

/// The plugin.
#[derive(Debug)]
pub struct InTurn;

impl Plugin for InTurn {
    const ID: &'static str = "in-turn";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_FORMAT: &'static str = "in-turn-1";
}

impl StateMachine for InTurn {
    fn decide(
        job: &JobSpec,
        _now: &Moment,
        view: &JobView,
        _state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        let (phase, actions) = turns::decide(job, view, events);
        Ok(Decision {
            state: b"begun".to_vec(),
            phase: phase.to_owned(),
            note: None,
            actions,
        })
    }
}

forebay_plugin_sdk::export!(InTurn: state_machine);
