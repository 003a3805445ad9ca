//! The guest `faults` as its author has mended it: it has no fault any more, and keeps its state in another format.

#[path = "../../in-turn/src/turns.rs"]
mod turns;

use forebay_plugin_sdk::{
    Decision, Event, JobSpec, JobView, Moment, Plugin, PluginError, StateMachine,
};

struct Mended;

impl Plugin for Mended {
    const ID: &'static str = "faults";
    const VERSION: &'static str = "0.2.0";
    const STATE_FORMAT: &'static str = "faults-2";
}

impl StateMachine for Mended {
    fn decide(
        job: &JobSpec,
        _now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        if !matches!(state, b"" | b"mended") {
            return Err(PluginError::new(
                "state",
                "the state is not of format faults-2",
            ));
        }
        let (phase, actions) = turns::decide(job, view, events);
        Ok(Decision {
            state: b"mended".to_vec(),
            phase: phase.to_owned(),
            note: None,
            actions,
        })
    }

    fn migrate(from_format: &str, state: &[u8]) -> Result<Vec<u8>, PluginError> {
        match (from_format, state) {
            ("faults-1", b"turning") => Ok(b"mended".to_vec()),
            _ => Err(PluginError::new(
                "state",
                "only the state `turning` of format faults-1 is known",
            )),
        }
    }
}

forebay_plugin_sdk::export!(Mended: state_machine);
