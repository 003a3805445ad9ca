//! What every plugin has to pass, and what the host does with plugins that fail.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something that it needs is not there"
)]

mod bundled;
#[path = "../shared/component.rs"]
mod component;
mod components;
mod guests {
    mod faults;
    mod in_turn;
    mod mended;
    mod ring;
}
mod native;
mod support;
