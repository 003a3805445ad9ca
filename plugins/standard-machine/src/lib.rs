//! The standard state machine, for any framework, and the node runner `command`, for any program: one plugin like any
//! other, which the host carries.
//!
//! The machine knows no framework; it is driven by the role policies that node runners answer.
//!
//! Start from [`Standard`]; `machine` has the order of its questions, `situation` what it reads from the view, `failing` what
//! a failure means, `restarting` what is done about one that may pass.

mod command;
mod failing;
mod limits;
mod machine;
mod restarting;
mod situation;
mod starting;
mod state;
mod stopping;
#[cfg(test)]
mod tests;

use forebay_plugin_sdk::{Plugin, export};

/// The plugin: a state machine and a node runner.
#[derive(Debug)]
pub struct Standard;

impl Plugin for Standard {
    const ID: &'static str = "standard-machine";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_FORMAT: &'static str = state::FORMAT;
}

export!(Standard: state_machine, node_runner);
