//! One operator at work in a task.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use wasmtime::Store;

use super::v0_1_0::{self, Guest, OwnAnswer};
use super::{OperatorComponent, OperatorHost};
use crate::columns::{Batch, Field, InputColumns, OutputColumns};
use crate::host::chain;
use crate::host::store::{self, Answer, CallState, Speaker, Stop};
use crate::limits::{LimitKind, Limits};
use crate::operator::{OperatorCall, OperatorError, OperatorFault, Refused};

/// Longest code of a refusal, and longest name of a column in it, in bytes.
const WORD_BYTES_MAX: usize = 1 << 10;

/// An operator of one task, with the state that it has gathered.
///
/// It belongs to its task alone, which may move from thread to thread. Each call blocks its thread until the answer is
/// there, at most for the wall-clock deadline of [`Limits`]. After a call that did not come back (a trap, a limit) there is
/// no instance any more: every other call fails with [`OperatorFault::Dead`].
pub struct BatchOperator {
    task: Task,
    input: InputColumns,
    output: OutputColumns,
    was_given_rows: bool,
}

impl fmt::Debug for BatchOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchOperator")
            .field("name", &self.task.name)
            .finish_non_exhaustive()
    }
}

impl BatchOperator {
    pub(super) fn open(
        component: &OperatorComponent,
        name: &str,
        config: &str,
        input: &SchemaRef,
    ) -> Result<Self, OperatorError> {
        let failed = |fault: OperatorFault| OperatorError::new(name, OperatorCall::Open, fault);
        let input = InputColumns::new(Arc::clone(input)).map_err(|fault| failed(fault.into()))?;
        let (task, fields) =
            Task::start(component, name, config, &input.fields()).map_err(failed)?;
        let output = OutputColumns::new(&fields, input.schema())
            .map_err(|invalid| failed(invalid.into()))?;
        Ok(Self {
            task,
            input,
            output,
            was_given_rows: false,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// The columns that it is given.
    pub const fn input_schema(&self) -> &SchemaRef {
        self.input.schema()
    }

    /// The columns that it has announced; every batch of it has this very schema.
    pub const fn output_schema(&self) -> &SchemaRef {
        self.output.schema()
    }

    /// Rows have come. Empty batches of its answer are left out.
    pub fn process(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, OperatorError> {
        let call = OperatorCall::Process;
        let columns = self.input.columns(batch);
        let columns = columns.map_err(|fault| self.task.error(call, fault))?;
        self.was_given_rows = true;
        let answer = self
            .task
            .call(call, |guest, store| v0_1_0::process(guest, store, &columns))?;
        self.rows(call, answer)
    }

    /// Event time, in microseconds, has passed this.
    pub fn watermark(&mut self, event_time: i64) -> Result<Vec<RecordBatch>, OperatorError> {
        let call = OperatorCall::Watermark;
        self.was_given_rows = true;
        let answer = self.task.call(call, |guest, store| {
            v0_1_0::watermark(guest, store, event_time)
        })?;
        self.rows(call, answer)
    }

    /// The input has ended.
    pub fn end(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        let call = OperatorCall::End;
        self.was_given_rows = true;
        let answer = self.task.call(call, v0_1_0::end)?;
        self.rows(call, answer)
    }

    /// All that it has to know to go on from here.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, OperatorError> {
        self.task.call(OperatorCall::Snapshot, v0_1_0::snapshot)
    }

    /// Before all rows and watermarks: goes on where another one stood, which had the same component, config and input.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), OperatorError> {
        let call = OperatorCall::Restore;
        if self.was_given_rows {
            return Err(self.task.error(call, OperatorFault::Late));
        }
        self.task
            .call(call, |guest, store| v0_1_0::restore(guest, store, state))
    }

    fn rows(
        &self,
        call: OperatorCall,
        answer: Vec<Batch>,
    ) -> Result<Vec<RecordBatch>, OperatorError> {
        let batches = answer.into_iter().enumerate();
        let batches = batches.map(|(position, batch)| self.output.batch(position, batch));
        let batches: Result<Vec<_>, _> = batches
            .filter(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0))
            .collect();
        batches.map_err(|fault| self.task.error(call, fault))
    }
}

/// The instance, and what each of its calls needs.
struct Task {
    name: Arc<str>,
    host: OperatorHost,
    life: Life,
}

enum Life {
    Running {
        store: Store<CallState>,
        guest: Guest,
    },
    /// It did not come back from this call, and what it had is gone.
    Dead(OperatorCall),
}

impl Task {
    /// Makes an instance and opens it, in one call: what an instance costs counts.
    fn start(
        component: &OperatorComponent,
        name: &str,
        config: &str,
        input: &[Field],
    ) -> Result<(Self, Vec<Field>), OperatorFault> {
        let name: Arc<str> = name.into();
        let host = component.host.clone();
        let speaker = Speaker::Operator(Arc::clone(&name));
        let mut store = store::empty_store(&host.engine, &host.limits, speaker);
        let (guest, fields) = call(&host, &mut store, OperatorCall::Open, |store| {
            let guest = component.bound.instantiate(store)?;
            let answer = v0_1_0::open(&guest, store, config, input)?;
            Ok(answer.map(|fields| (guest, fields)))
        })?;
        let life = Life::Running { store, guest };
        Ok((Self { name, host, life }, fields))
    }

    fn error(&self, call: OperatorCall, fault: impl Into<OperatorFault>) -> OperatorError {
        OperatorError::new(&*self.name, call, fault)
    }

    fn call<T>(
        &mut self,
        what: OperatorCall,
        work: impl FnOnce(&Guest, &mut Store<CallState>) -> OwnAnswer<T>,
    ) -> Result<T, OperatorError> {
        let answer = match &mut self.life {
            Life::Running { store, guest } => {
                call(&self.host, store, what, |store| work(guest, store))
            }
            Life::Dead(died_in) => Err(OperatorFault::Dead(*died_in)),
        };
        answer.map_err(|fault| {
            if is_end(&fault) {
                self.life = Life::Dead(what);
            }
            self.error(what, fault)
        })
    }
}

/// WebAssembly was left in the middle: the instance cannot be entered again.
const fn is_end(fault: &OperatorFault) -> bool {
    matches!(
        fault,
        OperatorFault::Trap { .. } | OperatorFault::Limit(_) | OperatorFault::Host(_)
    )
}

/// One call under limits.
fn call<T>(
    host: &OperatorHost,
    store: &mut Store<CallState>,
    what: OperatorCall,
    work: impl FnOnce(&mut Store<CallState>) -> OwnAnswer<T>,
) -> Result<T, OperatorFault> {
    store::begin_call(store, what.as_str(), answer(what, &host.limits))
        .map_err(|error| OperatorFault::Host(chain(&error)))?;
    let answer = host.on_enough_stack(|| work(store));
    store.data().log.close();
    match answer {
        Ok(answer) => Ok(answer.map_err(|refused| bounded(refused, host.limits.text_bytes))?),
        Err(error) => Err(store::stop(&error, store.data()).into()),
    }
}

/// How much may come back.
fn answer(call: OperatorCall, limits: &Limits) -> Answer {
    let (limit, bytes) = match call {
        OperatorCall::Open | OperatorCall::Restore => (LimitKind::AnswerBytes, limits.answer_bytes),
        OperatorCall::Process | OperatorCall::Watermark | OperatorCall::End => {
            (LimitKind::OutputBytes, limits.output_bytes)
        }
        OperatorCall::Snapshot => (LimitKind::OperatorStateBytes, limits.operator_state_bytes),
    };
    Answer { limit, bytes }
}

impl From<Stop> for OperatorFault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Limit(exceeded) => Self::Limit(exceeded),
            Stop::Trap { cause, log } => Self::Trap { cause, log },
        }
    }
}

/// Texts of an operator are for people, and short.
fn bounded(refused: Refused, text_bytes: usize) -> Refused {
    Refused {
        code: store::printable(&refused.code, WORD_BYTES_MAX),
        message: store::printable(&refused.message, text_bytes),
        column: refused
            .column
            .map(|column| store::printable(&column, WORD_BYTES_MAX)),
        row: refused.row,
    }
}
