//! What the host does with dataflow operators: those that behave, and those that do not.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something that it needs is not there"
)]

#[path = "../shared/component.rs"]
mod component;
mod features;
mod loading;
mod operator_faults;
mod round_trips;
mod state;
mod support;
