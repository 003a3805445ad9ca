//! Whole runs of Forebay, one module for each thing that a user counts on.
//!
//! Each test runs in a sandbox, which wants nothing left when the test is over.

mod bad_endings;
mod command_line;
mod continuing;
mod dataflow_checks;
mod dataflow_mishaps;
mod dataflow_plans;
mod dataflow_runs;
mod dataflow_stops;
mod dataflows;
mod day_one;
mod diagnostics;
mod failover;
mod fault_points;
mod fed_failures;
mod fed_limits;
mod fed_roles;
mod finishing;
mod flights;
mod flights_schedules;
mod flights_training;
mod framework_restarts;
mod frameworks;
mod history;
mod jobs;
mod machine_mishaps;
mod mishaps;
mod nothing_left;
mod plugins;
mod processes;
mod quarantine;
mod remote_agents;
mod restarts;
mod roles_abc;
mod sql;
mod standing_still;
mod stopping;
