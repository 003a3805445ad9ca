//! The job file and its builder: text in, a validated [`Job`] out.
//!
//! This crate is *not* the place where a framework's needs are checked (node runners do that in `prepare`), and it
//! starts, places and copies nothing: the only I/O is reading the job file that it is given and looking at the
//! scripts and files that a role names, in functions of their own.
//!
//! Start from [`Job`], the validated result that the application manager and the agents work from.

mod model;

pub use model::{
    Guarantee, Job, JobLimits, Manager, Program, Resources, Role, RoleLimits, STANDARD_RUNNER,
};
