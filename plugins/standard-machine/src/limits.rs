//! The times of the machine: properties of the job.

use forebay_plugin_sdk::{JobSpec, Problems, Properties, RoleSpec};

/// How long the machine waits for what, in milliseconds, and how often it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `place-within-ms`: for room and ports. Default 60 s.
    pub(crate) place_within_ms: u64,
    /// `settle-ms`: after a failure that may be the consequence of another one, for that other one. Default 1.5 s.
    pub(crate) settle_ms: u64,
    /// `service-exit-grace-ms`: after a service ended by itself with exit code 0, for the job to be done. Default 30 s:
    /// the others may still be saving their results.
    pub(crate) service_exit_grace_ms: u64,
    /// `restart-backoff-ms`: from the first failure to its restart. Default 1 s.
    pub(crate) restart_back_off_ms: u64,
    /// `restarts`: how many there may be in the whole life of the job. Default 0: a failure ends it.
    pub(crate) restarts: u64,
}

/// A year: the host refuses to wait much longer.
const LONGEST_MS: u64 = 365 * 24 * 3600 * 1000;
/// Of a role that says nothing else.
const STOP_GRACE_MS: u64 = 10_000;

/// `stop-grace-ms` of a role: what its nodes have between SIGTERM and SIGKILL. Default 10 s.
pub(crate) fn stop_grace_ms(role: &RoleSpec, problems: &mut Problems) -> u64 {
    limit_ms(
        Properties::of_role(role),
        "stop-grace-ms",
        STOP_GRACE_MS,
        problems,
    )
}

fn limit_ms(
    properties: Properties<'_>,
    name: &str,
    default_ms: u64,
    problems: &mut Problems,
) -> u64 {
    let value = properties.number(name, problems).unwrap_or(default_ms);
    if value > LONGEST_MS {
        problems.error(
            properties.key(name),
            format!("`{name}` is more than a year"),
        );
    }
    value.min(LONGEST_MS)
}

impl Limits {
    pub(crate) fn read(job: &JobSpec, problems: &mut Problems) -> Self {
        let properties = Properties::of_job(job);
        for role in &job.roles {
            stop_grace_ms(role, problems);
        }
        let mut read = |name: &str, default_ms| limit_ms(properties, name, default_ms, problems);
        Self {
            place_within_ms: read("place-within-ms", 60_000),
            settle_ms: read("settle-ms", 1_500),
            service_exit_grace_ms: read("service-exit-grace-ms", 30_000),
            restart_back_off_ms: read("restart-backoff-ms", 1_000),
            restarts: properties.number("restarts", problems).unwrap_or_default(),
        }
    }
}
