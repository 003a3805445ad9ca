use crate::{
    ClusterSpec, Decision, Description, Event, ExitReport, Framework, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Moment, PluginError, Preparation, Verdict, verdict_of_exit,
};

/// What a plugin is. MUST be equal to its `plugin.toml`.
pub trait Plugin {
    /// Lower-case letters, digits and dashes.
    const ID: &'static str;
    /// Semantic version of the plugin itself; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// Name of the layout of the state bytes. Empty without a state machine.
    const STATE_FORMAT: &'static str = "";

    /// The three constants as a record.
    fn describe() -> Description {
        Description {
            id: Self::ID.to_owned(),
            version: Self::VERSION.to_owned(),
            state_format: Self::STATE_FORMAT.to_owned(),
        }
    }
}

/// Knows one framework: what its nodes need, how each is started, what its exit means.
///
/// The job that it gets holds the roles that it runs and no others.
pub trait NodeRunner: Plugin {
    /// Policies of all roles, implied roles, and *all* problems of the job at once. `role.policy` is absent here.
    fn prepare(job: &JobSpec) -> Preparation;

    /// One launch plan for each request, in order. An error refuses all of them.
    fn plan(
        job: &JobSpec,
        cluster: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError>;

    /// What an exit that the host did not ask for means. Default: [`verdict_of_exit`] without a framework.
    fn interpret_exit(job: &JobSpec, report: &ExitReport) -> Verdict {
        verdict_of_exit(job, report, &Framework::default())
    }
}

/// Decides what happens to a job: events in, actions out.
pub trait StateMachine: Plugin {
    /// The next decision. The view is the truth, events only say why the call is made. An empty `state` means that the job
    /// has just been submitted; bytes that cannot be read MUST give an error.
    fn decide(
        job: &JobSpec,
        now: &Moment,
        view: &JobView,
        state: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError>;

    /// State of an older format, made current. Default: refuses, which keeps the old version of the plugin in charge.
    fn migrate(from_format: &str, _state: &[u8]) -> Result<Vec<u8>, PluginError> {
        let message = format!(
            "`{}` {} cannot read state of format `{from_format}`",
            Self::ID,
            Self::VERSION
        );
        Err(PluginError::new("unknown-state-format", message)
            .hint("end the job with the version of the plugin that began it"))
    }
}
