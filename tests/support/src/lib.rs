//! Helpers of the tests: a sandbox for each test, programs that run inside it, and a guard that wants nothing left.
//!
//! Not here: any test of Forebay itself, and any word on what a run should do. The helpers know the `forebay` binary
//! from outside alone; they link none of the host's crates.
//!
//! Start from [`Sandbox`] (one for each test; it checks what is left when it is dropped), [`Invocation`] (a program in
//! it, run to its end or started and watched as [`Running`]) and [`Output`] (what it left, events and summary
//! included). Helpers panic where they cannot go on, at the line of the test that called them.
#![expect(
    clippy::missing_panics_doc,
    reason = "every helper of a test panics where the test has failed"
)]

mod events;
mod filters;
mod invocation;
mod leftovers;
mod locate;
mod machine;
mod memory;
mod output;
mod running;
mod sandbox;
mod terminal;
mod wait;

pub use events::{Summary, log_line, node_in_phase, of_kind, reported_step};
pub use invocation::Invocation;
pub use locate::{built, environment, environments, forebay_binary, repository};
pub use machine::Machine;
pub use memory::private_bytes;
pub use output::Output;
pub use running::Running;
pub use rustix::process::Signal;
pub use sandbox::Sandbox;
pub use terminal::Terminal;
pub use wait::{WATCHDOG, wait_until};
