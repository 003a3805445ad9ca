//! Version 0.1.0 of the operator interface: what `bindgen!` makes of it, joined to the host's own columns.

use arrow_buffer::{Buffer, ScalarBuffer};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::columns::{Batch, Column, Field, Kind, Spans, Values};
use crate::host::names::Interface;
use crate::host::store::{CallState, Level};
use crate::operator::Refused;

pub(super) mod wit {
    // Borrowed parameters: an input goes from Arrow's buffers into the guest's memory in one copy.
    wasmtime::component::bindgen!({
        path: "../../wit/operator",
        world: "batch-operator",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use wit::exports::forebay::operator::operator;
pub(super) use wit::exports::forebay::operator::operator::Guest;
use wit::forebay::operator::{log, types};

/// The interface of operators.
pub(super) const OPERATORS: Interface = Interface {
    of: "operator",
    word: "operator",
    package: "forebay:operator/",
    version: "0.1.0",
    imports: &["forebay:operator/types@0.1.0", "forebay:operator/log@0.1.0"],
};
/// The one part that an operator exports.
pub(super) const OPERATOR: &str = "forebay:operator/operator@0.1.0";

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
    operator: operator::GuestIndices,
}

impl Bound {
    pub(super) fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
        let pre = linker.instantiate_pre(component)?;
        Ok(Self {
            operator: operator::GuestIndices::new(&pre)?,
            pre,
        })
    }

    /// Makes an instance and looks up its functions.
    pub(super) fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Guest> {
        let instance = self.pre.instantiate(&mut *store)?;
        self.operator.load(store, &instance)
    }
}

/// What an operator answers where it may say no.
type Answer<T> = wasmtime::Result<Result<T, types::OperatorError>>;
/// The same, in the host's own types.
pub(super) type OwnAnswer<T> = wasmtime::Result<Result<T, Refused>>;

pub(super) fn open(
    guest: &Guest,
    store: &mut Store<CallState>,
    config: &str,
    input: &[Field],
) -> OwnAnswer<Vec<Field>> {
    let fields: Vec<_> = input.iter().map(lower_field).collect();
    let answer = guest.call_open(store, config, &fields);
    lift(answer, |fields| {
        fields.into_iter().map(lift_field).collect()
    })
}

pub(super) fn process(
    guest: &Guest,
    store: &mut Store<CallState>,
    input: &Batch,
) -> OwnAnswer<Vec<Batch>> {
    let columns: Vec<_> = input.columns.iter().map(lower_column).collect();
    let batch = types::BatchParam {
        rows: input.rows,
        columns: &columns,
    };
    lift(guest.call_process(store, batch), lift_batches)
}

pub(super) fn watermark(
    guest: &Guest,
    store: &mut Store<CallState>,
    event_time: i64,
) -> OwnAnswer<Vec<Batch>> {
    lift(guest.call_watermark(store, event_time), lift_batches)
}

pub(super) fn end(guest: &Guest, store: &mut Store<CallState>) -> OwnAnswer<Vec<Batch>> {
    lift(guest.call_end(store), lift_batches)
}

pub(super) fn snapshot(guest: &Guest, store: &mut Store<CallState>) -> OwnAnswer<Vec<u8>> {
    lift(guest.call_snapshot(store), |state| state)
}

pub(super) fn restore(guest: &Guest, store: &mut Store<CallState>, state: &[u8]) -> OwnAnswer<()> {
    lift(guest.call_restore(store, state), |()| ())
}

fn lift<T, U>(answer: Answer<T>, own: impl FnOnce(T) -> U) -> OwnAnswer<U> {
    let answer = answer?;
    Ok(answer.map(own).map_err(|error| Refused {
        code: error.code,
        message: error.message,
        column: error.column,
        row: error.row,
    }))
}

fn lower_field(field: &Field) -> types::FieldParam<'_> {
    types::FieldParam {
        name: &field.name,
        kind: match field.kind {
            Kind::Boolean => types::Kind::Boolean,
            Kind::Int32 => types::Kind::Int32,
            Kind::Int64 => types::Kind::Int64,
            Kind::Float32 => types::Kind::Float32,
            Kind::Float64 => types::Kind::Float64,
            Kind::Text => types::Kind::Text,
            Kind::Bytes => types::Kind::Bytes,
            Kind::TimestampMicros => types::Kind::TimestampMicros,
            Kind::Float32Vector(size) => types::Kind::Float32Vector(size),
        },
        nullable: field.nullable,
    }
}

fn lift_field(field: types::FieldResult) -> Field {
    Field {
        name: field.name,
        kind: match field.kind {
            types::Kind::Boolean => Kind::Boolean,
            types::Kind::Int32 => Kind::Int32,
            types::Kind::Int64 => Kind::Int64,
            types::Kind::Float32 => Kind::Float32,
            types::Kind::Float64 => Kind::Float64,
            types::Kind::Text => Kind::Text,
            types::Kind::Bytes => Kind::Bytes,
            types::Kind::TimestampMicros => Kind::TimestampMicros,
            types::Kind::Float32Vector(size) => Kind::Float32Vector(size),
        },
        nullable: field.nullable,
    }
}

fn lower_column(column: &Column) -> types::ColumnParam<'_> {
    types::ColumnParam {
        values: match &column.values {
            Values::Booleans(bits) => types::ValuesParam::Booleans(bits.as_slice()),
            Values::Int32s(values) => types::ValuesParam::Int32s(values),
            Values::Int64s(values) => types::ValuesParam::Int64s(values),
            Values::Float32s(values) => types::ValuesParam::Float32s(values),
            Values::Float64s(values) => types::ValuesParam::Float64s(values),
            Values::Text(text) => types::ValuesParam::Text(lower_spans(text)),
            Values::Bytes(bytes) => types::ValuesParam::Bytes(lower_spans(bytes)),
            Values::Timestamps(values) => types::ValuesParam::Timestamps(values),
        },
        validity: column.validity.as_slice(),
    }
}

fn lower_spans(spans: &Spans) -> types::SpansParam<'_> {
    types::SpansParam {
        offsets: &spans.offsets,
        data: spans.data.as_slice(),
    }
}

fn lift_batches(batches: Vec<types::BatchResult>) -> Vec<Batch> {
    let batch = |batch: types::BatchResult| Batch {
        rows: batch.rows,
        columns: batch.columns.into_iter().map(lift_column).collect(),
    };
    batches.into_iter().map(batch).collect()
}

/// The lists become Arrow's buffers as they are.
fn lift_column(column: types::ColumnResult) -> Column {
    Column {
        values: match column.values {
            types::ValuesResult::Booleans(bits) => Values::Booleans(Buffer::from_vec(bits)),
            types::ValuesResult::Int32s(values) => Values::Int32s(ScalarBuffer::from(values)),
            types::ValuesResult::Int64s(values) => Values::Int64s(ScalarBuffer::from(values)),
            types::ValuesResult::Float32s(values) => Values::Float32s(ScalarBuffer::from(values)),
            types::ValuesResult::Float64s(values) => Values::Float64s(ScalarBuffer::from(values)),
            types::ValuesResult::Text(spans) => Values::Text(lift_spans(spans)),
            types::ValuesResult::Bytes(spans) => Values::Bytes(lift_spans(spans)),
            types::ValuesResult::Timestamps(values) => {
                Values::Timestamps(ScalarBuffer::from(values))
            }
        },
        validity: Buffer::from_vec(column.validity),
    }
}

fn lift_spans(spans: types::SpansResult) -> Spans {
    Spans {
        offsets: ScalarBuffer::from(spans.offsets),
        data: Buffer::from_vec(spans.data),
    }
}
