//! Between the host's own types and those of version 0.1.0 of the interface.
//!
//! The two are the same field by field; the macros below say so once for each, and the compiler notices a difference.

use super::v0_1_0::wit::exports::forebay::plugin::{
    node_runner as runner, state_machine as machine,
};
use super::v0_1_0::wit::forebay::plugin::types;
use crate::types as own;

/// From the host to the guest.
pub(super) trait Lower {
    type Wit;
    fn lower(&self) -> Self::Wit;
}

/// From the guest to the host.
pub(super) trait Lift {
    type Own;
    fn lift(self) -> Self::Own;
}

macro_rules! same {
    ($($plain:ty),+) => { $(
        impl Lower for $plain {
            type Wit = Self;
            fn lower(&self) -> Self { self.clone() }
        }
        impl Lift for $plain {
            type Own = Self;
            fn lift(self) -> Self { self }
        }
    )+ };
}

same!(bool, u8, u16, u32, i32, u64, String);

impl<T: Lower> Lower for [T] {
    type Wit = Vec<T::Wit>;
    fn lower(&self) -> Self::Wit {
        self.iter().map(Lower::lower).collect()
    }
}

impl<T: Lower> Lower for Vec<T> {
    type Wit = Vec<T::Wit>;
    fn lower(&self) -> Self::Wit {
        self.as_slice().lower()
    }
}

impl<T: Lift> Lift for Vec<T> {
    type Own = Vec<T::Own>;
    fn lift(self) -> Self::Own {
        self.into_iter().map(Lift::lift).collect()
    }
}

impl<T: Lower> Lower for Option<T> {
    type Wit = Option<T::Wit>;
    fn lower(&self) -> Self::Wit {
        self.as_ref().map(Lower::lower)
    }
}

impl<T: Lift> Lift for Option<T> {
    type Own = Option<T::Own>;
    fn lift(self) -> Self::Own {
        self.map(Lift::lift)
    }
}

impl<A: Lower, B: Lower> Lower for (A, B) {
    type Wit = (A::Wit, B::Wit);
    fn lower(&self) -> Self::Wit {
        (self.0.lower(), self.1.lower())
    }
}

impl<A: Lift, B: Lift> Lift for (A, B) {
    type Own = (A::Own, B::Own);
    fn lift(self) -> Self::Own {
        (self.0.lift(), self.1.lift())
    }
}

macro_rules! lower_record {
    ($from:ident { $($field:ident),+ } => $module:ident) => {
        impl Lower for own::$from {
            type Wit = $module::$from;
            fn lower(&self) -> Self::Wit {
                $module::$from { $($field: self.$field.lower()),+ }
            }
        }
    };
}

macro_rules! lift_record {
    ($module:ident => $to:ident { $($field:ident),+ }) => {
        impl Lift for $module::$to {
            type Own = own::$to;
            fn lift(self) -> Self::Own {
                own::$to { $($field: self.$field.lift()),+ }
            }
        }
    };
}

macro_rules! lower_words {
    ($from:ident { $($word:ident),+ } => $module:ident) => {
        impl Lower for own::$from {
            type Wit = $module::$from;
            fn lower(&self) -> Self::Wit {
                match self { $(Self::$word => $module::$from::$word),+ }
            }
        }
    };
}

macro_rules! lift_words {
    ($module:ident => $to:ident { $($word:ident),+ }) => {
        impl Lift for $module::$to {
            type Own = own::$to;
            fn lift(self) -> Self::Own {
                match self { $(Self::$word => own::$to::$word),+ }
            }
        }
    };
}

// Both ways: what is in a job's roles, which a preparation gives back.
lower_record!(NodeId { role, index } => types);
lift_record!(types => NodeId { role, index });
lower_words!(FinishRule { All, First, Service, Observer } => types);
lift_words!(types => FinishRule { All, First, Service, Observer });
lower_words!(RecoveryScope { Node, Role, Cluster } => types);
lift_words!(types => RecoveryScope { Node, Role, Cluster });
lower_words!(CheckpointDuty { None, Acknowledge, FirstSaves, EachSaves } => types);
lift_words!(types => CheckpointDuty { None, Acknowledge, FirstSaves, EachSaves });
lower_record!(PortNeed { name, first_only } => types);
lift_record!(types => PortNeed { name, first_only });
lower_record!(RolePolicy { role, finish, recovery, adapts, ready_when, checkpoint, ports } => types);
lift_record!(types => RolePolicy { role, finish, recovery, adapts, ready_when, checkpoint, ports });
lower_record!(RoleSpec { name, nodes, nodes_min, nodes_max, has_program, has_input, has_output, gpus_per_node, policy, properties } => types);
lift_record!(types => RoleSpec { name, nodes, nodes_min, nodes_max, has_program, has_input, has_output, gpus_per_node, policy, properties });
lower_words!(VerdictKind { Finished, Stopped, Retry, RetryElsewhere, Fatal } => types);
lift_words!(types => VerdictKind { Finished, Stopped, Retry, RetryElsewhere, Fatal });
lower_record!(Verdict { kind, reason, hint } => types);
lift_record!(types => Verdict { kind, reason, hint });

impl Lower for own::Readiness {
    type Wit = types::Readiness;
    fn lower(&self) -> Self::Wit {
        match self {
            Self::Started => types::Readiness::Started,
            Self::Attached => types::Readiness::Attached,
            Self::Listening(port) => types::Readiness::Listening(port.clone()),
        }
    }
}

impl Lift for types::Readiness {
    type Own = own::Readiness;
    fn lift(self) -> Self::Own {
        match self {
            Self::Started => own::Readiness::Started,
            Self::Attached => own::Readiness::Attached,
            Self::Listening(port) => own::Readiness::Listening(port),
        }
    }
}

// To the guest: jobs, views, events, clusters, exits.
lower_words!(Guarantee { None, AtLeastOnce, ExactlyOnce } => types);
lower_record!(JobSpec { name, guarantee, roles, properties } => types);
lower_record!(ScriptError { kind, message, traceback } => types);
lower_record!(StartFailure { code, message } => types);
lower_record!(ExitReport { node, attempt, ending, cause, error, hint, last_lines, was_ready, input_left, ran_ms } => types);
lower_words!(NodePhase { Absent, Waiting, Placed, Starting, Ready, Stopping, Exited } => machine);
lower_record!(NodeView { phase, attempt, generation, machine, last, done, progress, ran_ms } => machine);
lower_record!(RoleView { role, nodes, input_ended } => machine);
lower_words!(DataflowPhase { None, Running, Ended, Failed } => machine);
lower_record!(JobView { dataflow, generation, last_checkpoint, roles, machines } => machine);
lower_record!(Moment { now_ms, event_number, seed } => machine);
lower_record!(NodeExit { node, attempt, verdict } => machine);
lower_words!(StallKind { NotReady, NoProgress, Unresponsive, Lingering } => machine);
lower_record!(NodeStall { node, attempt, kind, for_ms } => machine);
lower_record!(StopRequest { request, deadline_ms } => machine);
lower_record!(ScaleRequest { request, role, nodes } => machine);
lower_record!(RestartRequest { request, nodes } => machine);
lower_record!(FinishRequest { node, reason } => machine);
lower_record!(CustomEvent { name, node, payload } => machine);
lower_record!(Machine { name, address, device } => runner);
lower_record!(Member { index, machine, local_index, ports } => runner);
lower_record!(RoleMembers { role, members } => runner);
lower_record!(ClusterSpec { generation, machines, roles } => runner);
lower_record!(LaunchRequest { node, attempt, place } => runner);

impl Lower for own::Ending {
    type Wit = types::Ending;
    fn lower(&self) -> Self::Wit {
        match self {
            Self::Code(code) => types::Ending::Code(*code),
            Self::Signal(signal) => types::Ending::Signal(*signal),
            Self::NotStarted(why) => types::Ending::NotStarted(why.lower()),
        }
    }
}

impl Lower for own::KnownCause {
    type Wit = types::KnownCause;
    fn lower(&self) -> Self::Wit {
        match self {
            Self::None => types::KnownCause::None,
            Self::OutOfMemory => types::KnownCause::OutOfMemory,
            Self::Stalled => types::KnownCause::Stalled,
            Self::StartTimeout => types::KnownCause::StartTimeout,
            Self::Refused(why) => types::KnownCause::Refused(why.clone()),
        }
    }
}

impl Lower for own::Event {
    type Wit = machine::Event;
    fn lower(&self) -> Self::Wit {
        use machine::Event as Wit;
        match self {
            Self::Submitted => Wit::Submitted,
            Self::NodesPlaced(nodes) => Wit::NodesPlaced(nodes.lower()),
            Self::PlaceFailed(nodes, missing) => Wit::PlaceFailed((nodes.lower(), missing.clone())),
            Self::NodesReady(nodes) => Wit::NodesReady(nodes.lower()),
            Self::NodeExited(exit) => Wit::NodeExited(exit.lower()),
            Self::NodesLost(nodes) => Wit::NodesLost(nodes.lower()),
            Self::NodeStalled(stall) => Wit::NodeStalled(stall.lower()),
            Self::DataflowEnded => Wit::DataflowEnded,
            Self::DataflowFailed(why) => Wit::DataflowFailed(why.clone()),
            Self::CheckpointCommitted(number) => Wit::CheckpointCommitted(*number),
            Self::MachinesJoined(names) => Wit::MachinesJoined(names.clone()),
            Self::Timer(id) => Wit::Timer(id.clone()),
            Self::StopRequested(request) => Wit::StopRequested(request.lower()),
            Self::ScaleRequested(request) => Wit::ScaleRequested(request.lower()),
            Self::RestartRequested(request) => Wit::RestartRequested(request.lower()),
            Self::Recovered(after_ms) => Wit::Recovered(*after_ms),
            Self::Resumed => Wit::Resumed,
            Self::FinishRequested(request) => Wit::FinishRequested(request.lower()),
            Self::Custom(custom) => Wit::Custom(custom.lower()),
        }
    }
}

// To the host: descriptions, errors, decisions, preparations, plans.
lift_record!(types => Description { id, version, state_format });
lift_record!(types => PluginError { code, message, hint });
lift_record!(machine => PlaceRequest { nodes, avoid, deadline_ms });
lift_record!(machine => StopOrder { nodes, grace_ms });
lift_record!(machine => ResizeOrder { role, nodes });
lift_record!(machine => TimerOrder { id, after_ms });
lift_record!(machine => Refusal { request, reason });
lift_record!(machine => JobFailure { reason, node });
lift_record!(machine => CustomAction { name, payload });
lift_record!(machine => Decision { state, phase, note, actions });
lift_words!(runner => Severity { Warning, Error });
lift_record!(runner => Problem { severity, key, message, hint });
lift_record!(runner => Preparation { policies, implied, hold_at_barrier, problems });
lift_record!(runner => LaunchFile { path, content });
lift_record!(runner => LaunchPlan { node, program, arguments, environment, unset, files });

impl Lift for machine::JobEnd {
    type Own = own::JobEnd;
    fn lift(self) -> Self::Own {
        match self {
            Self::Succeeded => own::JobEnd::Succeeded,
            Self::Stopped => own::JobEnd::Stopped,
            Self::Failed(failure) => own::JobEnd::Failed(failure.lift()),
        }
    }
}

impl Lift for machine::Action {
    type Own = own::Action;
    fn lift(self) -> Self::Own {
        match self {
            Self::Place(request) => own::Action::Place(request.lift()),
            Self::Release(nodes) => own::Action::Release(nodes.lift()),
            Self::Publish(nodes) => own::Action::Publish(nodes.lift()),
            Self::Start(nodes) => own::Action::Start(nodes.lift()),
            Self::Stop(order) => own::Action::Stop(order.lift()),
            Self::Rewind(nodes) => own::Action::Rewind(nodes.lift()),
            Self::EndInput(roles) => own::Action::EndInput(roles),
            Self::Resize(order) => own::Action::Resize(order.lift()),
            Self::SetTimer(order) => own::Action::SetTimer(order.lift()),
            Self::CancelTimer(id) => own::Action::CancelTimer(id),
            Self::Refuse(refusal) => own::Action::Refuse(refusal.lift()),
            Self::Finish(end) => own::Action::Finish(end.lift()),
            Self::Custom(custom) => own::Action::Custom(custom.lift()),
        }
    }
}

impl Lift for runner::Program {
    type Own = own::Program;
    fn lift(self) -> Self::Own {
        match self {
            Self::RoleCommand => own::Program::RoleCommand,
            Self::Interpreter => own::Program::Interpreter,
            Self::Executable(program) => own::Program::Executable(program),
        }
    }
}
