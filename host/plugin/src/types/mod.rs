//! The host's own form of the records in `wit/plugin`, the same for every version of the interface.
//!
//! Names are those of the WIT: structs in `snake_case` fields, enums and variants in `kebab-case` when they are
//! serialised. Times and durations are milliseconds, as in the WIT. What a field means is said there once; here stands
//! only what is particular to the host.

mod decision;
mod event;
mod exit;
mod job;
mod launch;
mod view;

pub use decision::{
    Action, CustomAction, Decision, JobEnd, JobFailure, PlaceRequest, Refusal, ResizeOrder,
    StopOrder, TimerOrder,
};
pub use event::{
    CustomEvent, Event, FinishRequest, Moment, NodeExit, NodeStall, RestartRequest, ScaleRequest,
    StallKind, StopRequest,
};
pub use exit::{Ending, ExitReport, KnownCause, ScriptError, StartFailure, Verdict, VerdictKind};
pub use job::{
    Attributes, CheckpointDuty, Description, FinishRule, Guarantee, JobSpec, NodeId, NodeIdError,
    PluginError, PortNeed, Readiness, RecoveryScope, RolePolicy, RoleSpec,
};
pub use launch::{
    ClusterSpec, LaunchFile, LaunchPlan, LaunchRequest, Machine, Member, Preparation, Problem,
    Program, RoleMembers, Severity,
};
pub use view::{DataflowPhase, JobView, NodePhase, NodeView, RoleView};

/// A closed set of words: an enum without fields that is shown and serialised as the WIT spells it.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$case_meta:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$case_meta])* #[serde(rename = $word)] $case,)+
        }

        impl $name {
            /// The word of the WIT.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;
