//! Loads engine plugins (WebAssembly components), calls them under limits and checks every answer as a whole.
//!
//! It is the only crate that knows wasmtime, and it knows no other crate of Forebay: no job file, no cluster, no
//! framework. It carries nothing out; what a plugin wants done is data that the application manager acts on.
//!
//! Start from [`StateMachine`] and [`NodeRunner`] (what a plugin can do; WebAssembly and native ones alike),
//! [`CheckedMachine`] and [`CheckedRunner`] (the same with every answer validated), and [`PluginHost`] (where they come
//! from).

mod capabilities;
mod check;
mod error;
mod grants;
mod host;
mod limits;
mod manifest;
mod pattern;
mod traits;
pub mod types;

pub use capabilities::{Unsupported, unsupported};
pub use check::{CheckedMachine, CheckedRunner, Valid, ValidDecision};
pub use error::{Call, CallError, Denied, Fault, InvalidAnswer};
pub use grants::Grants;
pub use host::{HostError, LoadError, Loaded, PluginHost};
pub use limits::{LimitExceeded, LimitKind, Limits};
pub use manifest::{Manifest, ManifestError, PluginId, Requests};
pub use pattern::Pattern;
pub use traits::{NodeRunner, StateMachine};
pub use types::*;
