//! Version 0.1.0 of the interface: what `bindgen!` makes of it, joined to the host's own traits and types.

use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::convert::{Lift, Lower};
use super::load::{Parts, Plugin};
use super::store::{CallState, Level};
use crate::error::{Call, CallError, Fault};
use crate::traits::{NodeRunner, StateMachine};
use crate::types as own;

pub(super) mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/plugin",
        world: "engine-plugin",
    });
}

use wit::exports::forebay::plugin::{node_runner, plugin_info, state_machine};
use wit::forebay::plugin::{log, types};

pub(super) const VERSION: &str = "0.1.0";
pub(super) const PLUGIN_INFO: &str = "forebay:plugin/plugin-info@0.1.0";
pub(super) const STATE_MACHINE: &str = "forebay:plugin/state-machine@0.1.0";
pub(super) const NODE_RUNNER: &str = "forebay:plugin/node-runner@0.1.0";
pub(super) const IMPORTS: [&str; 2] = ["forebay:plugin/types@0.1.0", "forebay:plugin/log@0.1.0"];

impl log::Host for CallState {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.line(level, &message);
    }
}

impl types::Host for CallState {}

/// A component with its imports and exports found; instances are made of it.
pub(super) struct Bound {
    pre: InstancePre<CallState>,
    info: plugin_info::GuestIndices,
    machine: Option<state_machine::GuestIndices>,
    runner: Option<node_runner::GuestIndices>,
}

impl Bound {
    pub(super) fn new(
        engine: &Engine,
        component: &Component,
        parts: Parts,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
        let pre = linker.instantiate_pre(component)?;
        Ok(Self {
            info: plugin_info::GuestIndices::new(&pre)?,
            machine: parts
                .machine
                .then(|| state_machine::GuestIndices::new(&pre))
                .transpose()?,
            runner: parts
                .runner
                .then(|| node_runner::GuestIndices::new(&pre))
                .transpose()?,
            pre,
        })
    }

    pub(super) const fn parts(&self) -> Parts {
        Parts {
            machine: self.machine.is_some(),
            runner: self.runner.is_some(),
        }
    }

    /// Makes an instance and looks up all functions of all parts.
    pub(super) fn try_out(&self, store: &mut Store<CallState>) -> wasmtime::Result<()> {
        let instance = self.pre.instantiate(&mut *store)?;
        self.info.load(&mut *store, &instance)?;
        if let Some(machine) = &self.machine {
            machine.load(&mut *store, &instance)?;
        }
        if let Some(runner) = &self.runner {
            runner.load(&mut *store, &instance)?;
        }
        Ok(())
    }

    pub(super) fn describe(
        &self,
        store: &mut Store<CallState>,
    ) -> wasmtime::Result<own::Description> {
        let instance = self.pre.instantiate(&mut *store)?;
        let info = self.info.load(&mut *store, &instance)?;
        Ok(info.call_describe(store)?.lift())
    }

    fn machine(&self, store: &mut Store<CallState>) -> wasmtime::Result<state_machine::Guest> {
        let indices = self
            .machine
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg("no state machine"))?;
        let instance = self.pre.instantiate(&mut *store)?;
        indices.load(store, &instance)
    }

    fn runner(&self, store: &mut Store<CallState>) -> wasmtime::Result<node_runner::Guest> {
        let indices = self
            .runner
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg("no node runner"))?;
        let instance = self.pre.instantiate(&mut *store)?;
        indices.load(store, &instance)
    }
}

/// What a plugin answers where it may say "I cannot do this".
type Answer<T> = Result<T, types::PluginError>;

fn lift_answer<T: Lift>(
    plugin: &Plugin,
    call: Call,
    answer: Answer<T>,
) -> Result<T::Own, CallError> {
    match answer {
        Ok(answer) => Ok(answer.lift()),
        Err(error) => Err(CallError::new(
            &plugin.description.id,
            call,
            Fault::Plugin(error.lift()),
        )),
    }
}

/// The state machine of a plugin.
pub(super) struct Machine(Arc<Plugin>);

impl Machine {
    pub(super) fn of(plugin: &Arc<Plugin>) -> Option<Self> {
        plugin
            .bound
            .parts()
            .machine
            .then(|| Self(Arc::clone(plugin)))
    }
}

impl StateMachine for Machine {
    fn describe(&self) -> &own::Description {
        &self.0.description
    }

    fn decide(
        &self,
        job: &own::JobSpec,
        now: &own::Moment,
        view: &own::JobView,
        state: &[u8],
        events: &[own::Event],
    ) -> Result<own::Decision, CallError> {
        let (job, now, view, state, events) = (
            job.lower(),
            now.lower(),
            view.lower(),
            state.to_vec(),
            events.lower(),
        );
        let answer = self.0.call(Call::Decide, move |store, bound| {
            bound
                .machine(store)?
                .call_decide(store, &job, now, &view, &state, &events)
        })?;
        lift_answer(&self.0, Call::Decide, answer)
    }

    fn migrate(&self, from_format: &str, state: &[u8]) -> Result<Vec<u8>, CallError> {
        let (from_format, state) = (from_format.to_owned(), state.to_vec());
        let answer = self.0.call(Call::Migrate, move |store, bound| {
            bound
                .machine(store)?
                .call_migrate(store, &from_format, &state)
        })?;
        lift_answer(&self.0, Call::Migrate, answer)
    }
}

/// The node runner of a plugin.
pub(super) struct Runner(Arc<Plugin>);

impl Runner {
    pub(super) fn of(plugin: &Arc<Plugin>) -> Option<Self> {
        plugin
            .bound
            .parts()
            .runner
            .then(|| Self(Arc::clone(plugin)))
    }
}

impl NodeRunner for Runner {
    fn describe(&self) -> &own::Description {
        &self.0.description
    }

    fn prepare(&self, job: &own::JobSpec) -> Result<own::Preparation, CallError> {
        let job = job.lower();
        let answer = self.0.call(Call::Prepare, move |store, bound| {
            bound.runner(store)?.call_prepare(store, &job)
        })?;
        Ok(answer.lift())
    }

    fn plan(
        &self,
        job: &own::JobSpec,
        cluster: &own::ClusterSpec,
        requests: &[own::LaunchRequest],
    ) -> Result<Vec<own::LaunchPlan>, CallError> {
        let (job, cluster, requests) = (job.lower(), cluster.lower(), requests.lower());
        let answer = self.0.call(Call::Plan, move |store, bound| {
            bound
                .runner(store)?
                .call_plan(store, &job, &cluster, &requests)
        })?;
        lift_answer(&self.0, Call::Plan, answer)
    }

    fn interpret_exit(
        &self,
        job: &own::JobSpec,
        report: &own::ExitReport,
    ) -> Result<own::Verdict, CallError> {
        let (job, report) = (job.lower(), report.lower());
        let answer = self.0.call(Call::InterpretExit, move |store, bound| {
            bound
                .runner(store)?
                .call_interpret_exit(store, &job, &report)
        })?;
        Ok(answer.lift())
    }
}
