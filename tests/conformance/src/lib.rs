//! What every engine plugin has to pass, native or WebAssembly, bundled or foreign.
//!
//! It is *not* about any framework, and it starts no process: a [`World`] plays host and nodes in memory.
//!
//! Start from [`Subject`] and [`failures`].

mod machine;
mod runner;
mod world;

use forebay_plugin::{JobSpec, Manifest, NodeRunner, RolePolicy, StateMachine};

pub use world::World;

/// A guest of `tests/guests`, built as a component.
#[derive(Clone, Copy)]
pub struct Guest {
    /// The component.
    pub component: &'static [u8],
    /// The text of its `plugin.toml`.
    pub manifest: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// A plugin, and a job that it accepts.
pub struct Subject<'a> {
    /// What it says it is, and what its answers may ask for.
    pub manifest: Manifest,
    /// Gives its state machine, again and again the same.
    pub machine: &'a dyn Fn() -> Option<Box<dyn StateMachine>>,
    /// Gives its node runner.
    pub runner: &'a dyn Fn() -> Option<Box<dyn NodeRunner>>,
    /// A job whose roles all are of this plugin, without policies.
    pub job: JobSpec,
}

/// Everything that the plugin does not do as the interface says, a sentence each.
pub fn failures(subject: &Subject<'_>) -> Vec<String> {
    let mut failures = Failures::default();
    let policies = runner::check(subject, &mut failures);
    machine::check(subject, &policies, &mut failures);
    failures.0
}

/// Collects what went wrong.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn expect(&mut self, right: bool, what: impl Into<String>) {
        if !right {
            self.0.push(what.into());
        }
    }

    /// Notes the error under the name of what was tried.
    fn value<T, E: std::error::Error>(&mut self, what: &str, answer: Result<T, E>) -> Option<T> {
        answer
            .map_err(|error| self.0.push(format!("{what}: {}", chain(&error))))
            .ok()
    }
}

/// The error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The job as state machines see it: implied roles are among the others, each has its policy.
fn with_policies(job: &JobSpec, policies: &[RolePolicy]) -> JobSpec {
    let mut job = job.clone();
    for role in &mut job.roles {
        role.policy = policies
            .iter()
            .find(|policy| policy.role == role.name)
            .cloned();
    }
    job
}
