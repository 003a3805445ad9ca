//! Loads engine plugins and dataflow operators (WebAssembly components), calls them under limits and checks every answer
//! as a whole.
//!
//! It is the only crate that knows wasmtime, and it knows no other crate of Forebay: no job file, no cluster, no
//! framework. It carries nothing out; what a plugin wants done is data that the application manager acts on.
//!
//! Start from [`StateMachine`] and [`NodeRunner`] (what a plugin can do; WebAssembly and native ones alike),
//! [`CheckedMachine`] and [`CheckedRunner`] (the same with every answer validated), and [`PluginHost`] (where they come
//! from). For operators start from [`OperatorHost`] (where they come from) and [`BatchOperator`] (one at work in a task).

mod capabilities;
mod check;
mod columns;
mod error;
mod grants;
mod host;
mod limits;
mod manifest;
mod operator;
mod pattern;
mod traits;
pub mod types;

pub use capabilities::{Unsupported, unsupported};
pub use check::{CheckedMachine, CheckedRunner, Valid, ValidDecision};
pub use error::{Call, CallError, Denied, Fault, InvalidAnswer};
pub use grants::Grants;
pub use host::{
    BatchOperator, HostError, LoadError, Loaded, OperatorComponent, OperatorHost, PluginHost,
};
pub use limits::{LimitExceeded, LimitKind, Limits};
pub use manifest::{Manifest, ManifestError, PluginId, Requests};
pub use operator::{
    ChangedSchema, InputFault, OperatorCall, OperatorError, OperatorFault, Refused,
};
pub use pattern::Pattern;
pub use traits::{NodeRunner, StateMachine};
pub use types::*;
