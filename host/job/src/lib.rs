//! The job file and its builder: text in, a validated [`Job`] out.
//!
//! This crate is *not* the place where a framework's needs are checked (node runners do that in `prepare`), nor where SQL, columns
//! and their types are (whoever plans the dataflow does), and it starts, places and copies nothing. Its only I/O is reading the job file that it is given ([`Document::read`]) and,
//! in functions of their own, looking at the scripts and files that a role names ([`Job::check_files`],
//! [`Role::staged_files`]).
//!
//! Start from [`Document`], which turns text into a job or *all* its [`Diagnostic`]s, and [`JobBuilder`], which does
//! the same for a program; both give a [`Job`], which the application manager and the agents work from.

mod builder;
mod check;
mod diagnostic;
mod document;
mod files;
mod model;
mod read;
mod schema;
mod strings;
mod values;

pub use builder::{
    AmBuilder, JobBuilder, RoleBuilder, SinkBuilder, SourceBuilder, TransformBuilder,
};
pub use check::role::NODES_MAX;
pub use check::{BATCH_ROWS_MAX, PARALLELISM_MAX, RELATIONS_MAX, ROLES_MAX};
pub use diagnostic::{Diagnostic, Location, Severity, code};
pub use document::{Checked, Document, Mistaken, ReadError, TEXT_BYTES_MAX, has_error};
pub use files::{FilesError, STAGED_BYTES_MAX, STAGED_FILES_MAX, StagedFile};
pub use model::{
    Compression, Dataflow, DataflowSettings, Dealing, Feeding, FileFormat, FormatKind, Generate,
    Guarantee, Job, JobLimits, Manager, OperatorUse, Origin, Program, Quote, Replay, Resources,
    Role, RoleLimits, STANDARD_RUNNER, Sink, SinkFiles, Source, SourceFiles, SourceTime, SqlText,
    Target, Tensor, Transform, TransformKind, Values,
};
pub use read::VALUE_BYTES_MAX;
pub use schema::{keys, nearest};
pub use values::{DURATION_MAX, NAME_LENGTH_MAX};
