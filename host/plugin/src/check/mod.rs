//! Every answer of a plugin is checked as a whole before anything of it is used: WebAssembly and native ones alike.

mod decision;
mod plan;
mod preparation;
mod text;

use std::ops::Deref;

use crate::error::{Call, CallError, Fault, InvalidAnswer};
use crate::grants::{Grants, Locks};
use crate::limits::{LimitExceeded, LimitKind, Limits};
use crate::manifest::Manifest;
use crate::traits::{NodeRunner, StateMachine};
use crate::types::{
    ClusterSpec, Decision, Description, Event, ExitReport, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Moment, Preparation, Verdict, VerdictKind,
};

/// Most bytes of what a plugin says in an error.
const QUOTED_BYTES_MAX: usize = 4 << 10;

/// An answer that has passed all checks; nothing outside this module can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid<T>(T);

/// A decision whose actions may all be carried out.
pub type ValidDecision = Valid<Decision>;

impl<T> Valid<T> {
    /// The answer itself, no longer marked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A state machine whose every answer is checked.
pub struct CheckedMachine {
    machine: Box<dyn StateMachine>,
    limits: Limits,
}

impl CheckedMachine {
    /// Checks what `machine` answers against `limits`.
    pub fn new(machine: Box<dyn StateMachine>, limits: Limits) -> Self {
        Self { machine, limits }
    }

    /// What the plugin is.
    pub fn describe(&self) -> &Description {
        self.machine.describe()
    }

    /// The next decision, valid as a whole against `job`, `view` and `events`. What is valid may still be more than this
    /// host can do: see [`unsupported`](crate::unsupported).
    pub fn decide(
        &self,
        job: &JobSpec,
        now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<ValidDecision, CallError> {
        let decision = self
            .machine
            .decide(job, now, view, state, events)
            .map_err(quotable)?;
        let checked = decision::check(&decision, job, view, events, &self.limits);
        self.finish(Call::Decide, checked)?;
        Ok(Valid(decision))
    }

    /// State of an older format, made current.
    pub fn migrate(&self, from_format: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        let state = self.machine.migrate(from_format, state).map_err(quotable)?;
        let checked =
            LimitExceeded::check(LimitKind::StateBytes, self.limits.state_bytes, state.len());
        self.finish(Call::Migrate, checked.map_err(Fault::from))?;
        Ok(state)
    }

    fn finish(&self, call: Call, checked: Result<(), Fault>) -> Result<(), CallError> {
        checked.map_err(|fault| CallError::new(&self.machine.describe().id, call, fault))
    }
}

/// A node runner whose every answer is checked.
pub struct CheckedRunner {
    runner: Box<dyn NodeRunner>,
    locks: Locks,
    limits: Limits,
}

impl CheckedRunner {
    /// Checks what `runner` answers against `limits`, what its `manifest` lists and what the operator `grants`.
    pub fn new(
        runner: Box<dyn NodeRunner>,
        manifest: Manifest,
        grants: Grants,
        limits: Limits,
    ) -> Self {
        Self {
            runner,
            locks: Locks { manifest, grants },
            limits,
        }
    }

    /// What the plugin is.
    pub fn describe(&self) -> &Description {
        self.runner.describe()
    }

    /// Policies, implied roles and problems. Policies may be missing only where a problem is an error.
    pub fn prepare(&self, job: &JobSpec) -> Result<Valid<Preparation>, CallError> {
        let preparation = self.runner.prepare(job).map_err(quotable)?;
        self.finish(
            Call::Prepare,
            preparation::check(&preparation, job, &self.locks, &self.limits),
        )?;
        Ok(Valid(preparation))
    }

    /// One plan for each request, in order.
    pub fn plan(
        &self,
        job: &JobSpec,
        cluster: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<Valid<LaunchPlan>>, CallError> {
        let plans = self.runner.plan(job, cluster, requests).map_err(quotable)?;
        self.finish(
            Call::Plan,
            plan::check(&plans, job, requests, &self.locks, &self.limits),
        )?;
        Ok(plans.into_iter().map(Valid).collect())
    }

    /// What the exit means. The plugin sees texts of the report without control characters and cut to a quarter of
    /// `text-bytes`, so that it may quote them.
    pub fn interpret_exit(
        &self,
        job: &JobSpec,
        report: &ExitReport,
    ) -> Result<Valid<Verdict>, CallError> {
        let report = text::quotable(report, self.limits.text_bytes / 4);
        let verdict = self.runner.interpret_exit(job, &report).map_err(quotable)?;
        self.finish(
            Call::InterpretExit,
            check_verdict(&verdict, self.limits.text_bytes / 2),
        )?;
        Ok(Valid(verdict))
    }

    fn finish(&self, call: Call, checked: Result<(), Fault>) -> Result<(), CallError> {
        checked.map_err(|fault| CallError::new(&self.runner.describe().id, call, fault))
    }
}

fn check_verdict(verdict: &Verdict, bytes_max: usize) -> Result<(), Fault> {
    let check = || {
        if verdict.kind == VerdictKind::Stopped {
            return Err("only the host may say `stopped`".to_owned());
        }
        text::required("reason", &verdict.reason, bytes_max)?;
        text::optional("hint", verdict.hint.as_deref(), bytes_max)
    };
    check().map_err(|why| invalid("the verdict", why))
}

/// The fault of an answer of which `place` is not valid.
/// What a plugin says of its own failure is bounded like everything else that it says for people.
fn quotable(mut error: CallError) -> CallError {
    let quote = |text: &mut String| *text = text::quotable_text(text, QUOTED_BYTES_MAX);
    match &mut error.fault {
        Fault::Plugin(own) => {
            quote(&mut own.code);
            quote(&mut own.message);
            own.hint.iter_mut().for_each(quote);
        }
        Fault::Trap { cause, log } => {
            quote(cause);
            log.iter_mut().for_each(quote);
        }
        Fault::Limit(_) | Fault::Invalid(_) | Fault::Denied(_) | Fault::Host(_) => {}
    }
    error
}

fn invalid(place: impl Into<String>, why: impl Into<String>) -> Fault {
    // Both may quote the plugin.
    Fault::Invalid(InvalidAnswer {
        place: text::quotable_text(&place.into(), QUOTED_BYTES_MAX),
        why: text::quotable_text(&why.into(), QUOTED_BYTES_MAX),
    })
}

/// The first thing that comes twice.
fn first_double<T: PartialEq + Ord>(things: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = std::collections::BTreeSet::new();
    things.into_iter().find_map(|thing| seen.replace(thing))
}

#[cfg(test)]
mod tests;
