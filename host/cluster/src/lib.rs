//! The application manager (AM) of a job, its agents, and discovery between them.
//!
//! [`manager::run`] is an AM: one loop that takes events, asks the state machine, journals, acts. [`agent::run`] is the
//! host's part on a machine: it leases ports, starts, watches and ends node processes. [`exec::run`] is the small parent
//! that each node process has. [`run_directory::RunDirectory`] is where a run leaves everything.
//!
//! Not here: the command line, reading of job files, WebAssembly, dataflow. Only this crate starts node processes, and
//! only [`agent`] does.

pub mod agent;
pub mod causes;
pub mod clock;
pub mod connect;
pub mod events;
pub mod exec;
pub mod farewell;
pub mod journal;
pub mod manager;
pub mod preparation;
pub mod replay;
pub mod run_directory;
pub mod submission;
pub mod token;
pub mod wire;
