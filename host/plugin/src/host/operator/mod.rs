//! Operators: where they come from, and one at work.
//!
//! Three types: [`OperatorHost`] compiles, [`OperatorComponent`] is a component that was tried once, [`BatchOperator`] is an
//! instance of it with its state.
//!
//! A call runs on the thread that makes it: a batch would cross to another thread and back, and the caller would have
//! nothing to do meanwhile. WebAssembly needs a known stack, so where the caller's has too little left, the call gets one of
//! its own. A worker thread is taken for the length of a call, as by any operator, and at most until its deadline.

mod task;
mod v0_1_0;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use wasmtime::{Engine, OptLevel};

use super::clock::Clock;
use super::load::{self, LoadError};
use super::names::Names;
use super::store::{self, Answer, Speaker};
use super::{HostError, engine};
use crate::limits::{LimitKind, Limits};
use crate::operator::OperatorError;
pub use task::BatchOperator;
use v0_1_0::OPERATORS;

/// Where operators come from: one compiler, which optimises, for their code sees every row.
///
/// Cheap to clone. Everything loaded by it keeps it alive.
#[derive(Clone)]
pub struct OperatorHost {
    engine: Engine,
    clock: Arc<Clock>,
    limits: Arc<Limits>,
}

impl OperatorHost {
    /// A host with the default [`Limits`]. With a `cache`, an absolute path, compiled operators are kept there and taken
    /// from there unchecked: it has to be a folder that only the user can write.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, HostError> {
        Self::with_limits(cache, Limits::default())
    }

    /// A host whose operators are called under these limits.
    pub fn with_limits(cache: Option<PathBuf>, limits: Limits) -> Result<Self, HostError> {
        let engine = engine(cache, &limits, OptLevel::Speed)?;
        let clock = Clock::start(engine.clone()).map_err(HostError::Thread)?;
        Ok(Self {
            engine,
            clock: Arc::new(clock),
            limits: Arc::new(limits),
        })
    }

    /// Compiles a component, and tries whether an instance of it can be made.
    ///
    /// Costs some tens of milliseconds for a small operator that is not in the cache.
    pub fn load(&self, component: &[u8]) -> Result<OperatorComponent, LoadError> {
        let compiled = load::compile(&self.engine, component)?;
        Names::of(&self.engine, &compiled).check_operator()?;
        let bound = v0_1_0::Bound::new(&self.engine, &compiled)
            .map_err(|error| OPERATORS.is_other(&error))?;
        self.try_out(&bound)?;
        Ok(OperatorComponent {
            host: self.clone(),
            bound: Arc::new(bound),
            digest: load::digest(component),
        })
    }

    /// Types are only checked when functions of an instance are looked up.
    fn try_out(&self, bound: &v0_1_0::Bound) -> Result<(), LoadError> {
        let nobody = Speaker::Operator("".into());
        let mut store = store::empty_store(&self.engine, &self.limits, nobody);
        let answer = Answer {
            limit: LimitKind::AnswerBytes,
            bytes: self.limits.answer_bytes,
        };
        let tried = store::begin_call(&mut store, "load", answer).and_then(|()| {
            self.on_enough_stack(|| bound.instantiate(&mut store))
                .map(drop)
        });
        tried.map_err(|error| load::trial_error(&OPERATORS, &error, store.data()))
    }

    /// Runs WebAssembly where its stack is known, with the clock on.
    fn on_enough_stack<T>(&self, work: impl FnOnce() -> T) -> T {
        let _running = self.clock.run();
        let guest = self.limits.stack_bytes;
        stacker::maybe_grow(guest + HOST_STACK_BYTES_MIN, guest + HOST_STACK_BYTES, work)
    }
}

/// What the host's own functions may need beside the guest's stack; threads of 2 MiB have that, at their beginning.
const HOST_STACK_BYTES_MIN: usize = 1 << 20;
/// What they get where a stack has to be made.
const HOST_STACK_BYTES: usize = 2 << 20;

impl Names {
    fn check_operator(&self) -> Result<(), LoadError> {
        self.check(&OPERATORS)?;
        if self.exports(v0_1_0::OPERATOR) {
            Ok(())
        } else {
            Err(LoadError::MissingPart(v0_1_0::OPERATOR))
        }
    }
}

/// A component of which an instance can be made for each task.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct OperatorComponent {
    host: OperatorHost,
    bound: Arc<v0_1_0::Bound>,
    digest: String,
}

impl OperatorComponent {
    /// SHA-256 of the component, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Version of the operator interface that it speaks.
    pub const fn interface_version(&self) -> &'static str {
        OPERATORS.version
    }

    /// Makes an instance and opens it: with its name for messages, its `config` as text (JSON by custom) and the columns
    /// that it will be given. What it announces is [`BatchOperator::output_schema`].
    ///
    /// | Arrow, towards the operator | kind | Arrow, from the operator |
    /// | --- | --- | --- |
    /// | `Boolean` | `boolean` | `Boolean` |
    /// | `Int8`, `Int16`, `Int32`, `UInt8`, `UInt16` | `int32` | `Int32` |
    /// | `UInt32`, `Int64` | `int64` | `Int64` |
    /// | `Float16`, `Float32` | `float32` | `Float32` |
    /// | `Float64` | `float64` | `Float64` |
    /// | `Utf8`, `LargeUtf8`, `Utf8View` | `text` | `Utf8` |
    /// | `Binary`, `LargeBinary`, `BinaryView`, `FixedSizeBinary` | `bytes` | `Binary` |
    /// | `Timestamp` of any unit and zone | `timestamp-micros` | `Timestamp` in microseconds, with the zone of the input's column of its name |
    /// | `FixedSizeList` of `Float32` | `float32-vector` | `FixedSizeList` of `Float32` |
    ///
    /// A dictionary is what its values are. Any other type is an [`InputFault::Type`](crate::InputFault::Type).
    pub fn open(
        &self,
        name: &str,
        config: &str,
        input: &SchemaRef,
    ) -> Result<BatchOperator, OperatorError> {
        BatchOperator::open(self, name, config, input)
    }
}
