//! A state machine with other rules than the standard one: the nodes of a job run one after the other, in the order of
//! the job file, each when the one before it has finished.
//!
//! It knows no framework, and it neither restarts nor scales anything. Start from [`InTurn`].

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
        _job: &JobSpec,
        _now: &Moment,
        view: &JobView,
        _state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        let (phase, actions) = turns::step(view, events);
        Ok(Decision {
            state: b"begun".to_vec(),
            phase: phase.to_owned(),
            note: None,
            actions,
        })
    }
}

forebay_plugin_sdk::export!(InTurn: state_machine);
