//! From the traits to the exports of a component.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::info::exports::forebay::plugin::plugin_info as info;
use crate::bindings::machine::exports::forebay::plugin::state_machine as machine;
use crate::bindings::operator::exports::forebay::operator::operator;
use crate::bindings::runner::exports::forebay::plugin::node_runner as runner;
use crate::operator::{Batch, BatchOperator, Field, Fields, OperatorError, Rows};
use crate::{
    ClusterSpec, Decision, Description, Event, ExitReport, JobSpec, JobView, LaunchPlan,
    LaunchRequest, Moment, NodeRunner, Plugin, PluginError, Preparation, StateMachine, Verdict,
    log,
};

/// Exports a plugin or an operator from the crate: once, in a crate of type `cdylib`.
///
/// ```text
/// forebay_plugin_sdk::export!(MyRunner: node_runner);
/// forebay_plugin_sdk::export!(MyMachine: state_machine);
/// forebay_plugin_sdk::export!(Both: state_machine, node_runner);
/// forebay_plugin_sdk::export!(MyOperator: batch_operator);
/// ```
///
/// Nothing is exported where the crate is compiled for the host (unit tests), but the traits are checked there too.
#[macro_export]
macro_rules! export {
    ($operator:ty: batch_operator) => {
        #[cfg(target_arch = "wasm32")]
        #[expect(unsafe_code, reason = "the exports of a component are unsafe functions, made by wit-bindgen")]
        const _: () = {
            type Component = $crate::Part<$operator>;
            $crate::bindings::operator::export_operator!(Component with_types_in $crate::bindings::operator);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn operator<T: $crate::operator::BatchOperator>() {}
            operator::<$operator>()
        };
    };
    ($plugin:ty: $($part:ident),+) => {
        #[cfg(target_arch = "wasm32")]
        #[expect(unsafe_code, reason = "the exports of a component are unsafe functions, made by wit-bindgen")]
        const _: () = {
            type Component = $crate::Part<$plugin>;
            $crate::bindings::info::export_info!(Component with_types_in $crate::bindings::info);
            $($crate::__export_part!(Component: $part);)+
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            $($crate::__check_part!($plugin: $part);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_part {
    ($component:ident: node_runner) => {
        $crate::bindings::runner::export_runner!($component with_types_in $crate::bindings::runner);
    };
    ($component:ident: state_machine) => {
        $crate::bindings::machine::export_machine!($component with_types_in $crate::bindings::machine);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_part {
    ($plugin:ty: node_runner) => {
        const _: fn(&$crate::JobSpec) -> $crate::Preparation =
            <$plugin as $crate::NodeRunner>::prepare;
    };
    ($plugin:ty: state_machine) => {
        const _: fn() -> $crate::Description = {
            const fn machine<T: $crate::StateMachine>() -> fn() -> $crate::Description {
                <T as $crate::Plugin>::describe
            }
            machine::<$plugin>()
        };
    };
}

/// Turns a plugin into what the component exports; used by [`export!`](crate::export!) alone.
#[derive(Debug)]
pub struct Part<T>(PhantomData<T>);

impl<T: Plugin> info::Guest for Part<T> {
    fn describe() -> Description {
        log::begin(log::to_plugin_host);
        T::describe()
    }
}

impl<T: NodeRunner> runner::Guest for Part<T> {
    fn prepare(job: JobSpec) -> Preparation {
        log::begin(log::to_plugin_host);
        T::prepare(&job)
    }

    fn plan(
        job: JobSpec,
        cluster: ClusterSpec,
        requests: Vec<LaunchRequest>,
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        log::begin(log::to_plugin_host);
        T::plan(&job, &cluster, &requests)
    }

    fn interpret_exit(job: JobSpec, report: ExitReport) -> Verdict {
        log::begin(log::to_plugin_host);
        T::interpret_exit(&job, &report)
    }
}

impl<T: StateMachine> machine::Guest for Part<T> {
    fn decide(
        job: JobSpec,
        now: Moment,
        view: JobView,
        state: Vec<u8>,
        events: Vec<Event>,
    ) -> Result<Decision, PluginError> {
        log::begin(log::to_plugin_host);
        T::decide(&job, &now, &view, &state, &events)
    }

    fn migrate(from_format: String, state: Vec<u8>) -> Result<Vec<u8>, PluginError> {
        log::begin(log::to_plugin_host);
        T::migrate(&from_format, &state)
    }
}

/// The operator of this instance, and the columns that it gets.
struct Task {
    operator: Box<dyn BatchOperator>,
    input: Fields,
}

thread_local! {
    static TASK: RefCell<Option<Task>> = const { RefCell::new(None) };
}

/// A call of the operator that was opened.
fn with_task<T>(
    call: impl FnOnce(&mut Task) -> Result<T, OperatorError>,
) -> Result<T, OperatorError> {
    log::begin(log::to_operator_host);
    TASK.with_borrow_mut(|task| match task {
        Some(task) => call(task),
        None => Err(OperatorError::new("not-open", "it was never opened")),
    })
}

impl<T: BatchOperator> operator::Guest for Part<T> {
    fn open(config: String, input: Vec<Field>) -> Result<Vec<Field>, OperatorError> {
        log::begin(log::to_operator_host);
        let input = Fields::new(input);
        let (operator, output) = T::open(&config, &input)?;
        let operator = Box::new(operator);
        TASK.set(Some(Task { operator, input }));
        Ok(output)
    }

    fn process(input: Batch) -> Result<Vec<Batch>, OperatorError> {
        with_task(|task| task.operator.process(&Rows::new(&task.input, input)))
    }

    fn watermark(event_time: i64) -> Result<Vec<Batch>, OperatorError> {
        with_task(|task| task.operator.watermark(event_time))
    }

    fn end() -> Result<Vec<Batch>, OperatorError> {
        with_task(|task| task.operator.end())
    }

    fn snapshot() -> Result<Vec<u8>, OperatorError> {
        with_task(|task| task.operator.snapshot())
    }

    fn restore(state: Vec<u8>) -> Result<(), OperatorError> {
        with_task(|task| task.operator.restore(&state))
    }
}
