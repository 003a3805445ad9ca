use crate::error::CallError;
use crate::types::{
    ClusterSpec, Decision, Description, Event, ExitReport, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Moment, Preparation, Verdict,
};

/// Decides what happens to a job: events in, actions out.
///
/// A pure function: no clock, randomness, files, network or memory between calls. Callers hold one through
/// [`CheckedMachine`](crate::CheckedMachine), which validates what it answers. A call blocks its thread until the answer
/// is there, at most for the wall-clock deadline of [`Limits`](crate::Limits).
pub trait StateMachine: Send {
    /// What the plugin is; the same for every call.
    fn describe(&self) -> &Description;

    /// The next decision of `job`. An empty `state` means that the job has just been submitted.
    fn decide(
        &self,
        job: &JobSpec,
        now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, CallError>;

    /// State of an older format of the same plugin, made current.
    fn migrate(&self, from_format: &str, state: &[u8]) -> Result<Vec<u8>, CallError>;
}

/// Knows one framework: what its nodes need, how each is started, what its exit means.
///
/// As pure as a [`StateMachine`], and held through [`CheckedRunner`](crate::CheckedRunner).
pub trait NodeRunner: Send {
    /// What the plugin is; the same for every call.
    fn describe(&self) -> &Description;

    /// Policies of the roles, implied roles, and all problems of the job at once.
    fn prepare(&self, job: &JobSpec) -> Result<Preparation, CallError>;

    /// One plan for each request, in order.
    fn plan(
        &self,
        job: &JobSpec,
        cluster: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, CallError>;

    /// What the exit means. Not called for an exit that the host asked for.
    fn interpret_exit(&self, job: &JobSpec, report: &ExitReport) -> Result<Verdict, CallError>;
}
