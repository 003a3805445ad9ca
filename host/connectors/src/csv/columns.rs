//! Fields become columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::timezone::Tz;
use arrow_array::types::{
    ArrowTimestampType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, NullArray};
use arrow_cast::cast;
use arrow_cast::parse::{Parser, parse_decimal, string_to_datetime};
use arrow_schema::{DataType, Field, TimeUnit};

use super::records::Records;
use crate::column_types::type_text;

/// How much of a value an error shows.
const SHOWN_CHARS: usize = 40;

/// Whether values of this type can be written in a field of text, and read again.
pub(crate) fn is_held(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => matches!(
            values.as_ref(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => true,
        other => other.is_numeric(),
    }
}

/// The fields of records.
pub(crate) struct Rows<'a> {
    records: &'a Records,
    text: &'a str,
    null_values: &'a [String],
}

/// What is wrong in which row: column and problem.
pub(crate) type BadRows = BTreeMap<usize, (String, String)>;

impl<'a> Rows<'a> {
    /// Of records that are all UTF-8.
    pub(crate) fn of(records: &'a Records, null_values: &'a [String]) -> Self {
        Self {
            records,
            text: records.text(),
            null_values,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.records.count()
    }

    /// The fields of one column.
    pub(crate) fn fields(&self, column: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        let text = self.text;
        let spans = self.records.spans(column).iter();
        spans.map(move |span| &text[span.start as usize..span.end as usize])
    }

    fn text_bytes(&self, column: usize) -> usize {
        let spans = self.records.spans(column).iter();
        spans.map(|span| (span.end - span.start) as usize).sum()
    }

    /// Whether a field means null in a column of text.
    pub(crate) fn is_null(&self, field: &str) -> bool {
        self.null_values.iter().any(|null| null == field)
    }

    /// A column of the records as values. Those of bad rows mean nothing.
    pub(crate) fn column(
        &self,
        column: usize,
        field: &Field,
        bad: &mut BadRows,
    ) -> Result<ArrayRef, arrow_schema::ArrowError> {
        let mut column = Column {
            rows: self,
            number: column,
            field,
            bad,
        };
        column.parse()
    }
}

/// One column that is parsed.
struct Column<'a, 'b> {
    rows: &'b Rows<'a>,
    number: usize,
    field: &'b Field,
    bad: &'b mut BadRows,
}

impl<'a> Column<'a, '_> {
    fn parse(&mut self) -> Result<ArrayRef, arrow_schema::ArrowError> {
        Ok(match self.field.data_type() {
            DataType::Null => Arc::new(NullArray::new(self.rows.count())),
            DataType::Boolean => self.booleans(),
            DataType::Int8 => self.parsed::<Int8Type>(),
            DataType::Int16 => self.parsed::<Int16Type>(),
            DataType::Int32 => self.parsed::<Int32Type>(),
            DataType::Int64 => self.parsed::<Int64Type>(),
            DataType::UInt8 => self.parsed::<UInt8Type>(),
            DataType::UInt16 => self.parsed::<UInt16Type>(),
            DataType::UInt32 => self.parsed::<UInt32Type>(),
            DataType::UInt64 => self.parsed::<UInt64Type>(),
            DataType::Float16 => self.parsed::<Float16Type>(),
            DataType::Float32 => self.parsed::<Float32Type>(),
            DataType::Float64 => self.parsed::<Float64Type>(),
            DataType::Date32 => self.parsed::<Date32Type>(),
            DataType::Date64 => self.parsed::<Date64Type>(),
            DataType::Time32(TimeUnit::Second) => self.parsed::<Time32SecondType>(),
            DataType::Time32(_) => self.parsed::<Time32MillisecondType>(),
            DataType::Time64(TimeUnit::Microsecond) => self.parsed::<Time64MicrosecondType>(),
            DataType::Time64(_) => self.parsed::<Time64NanosecondType>(),
            DataType::Decimal32(precision, scale) => {
                self.decimals::<Decimal32Type>(*precision, *scale)
            }
            DataType::Decimal64(precision, scale) => {
                self.decimals::<Decimal64Type>(*precision, *scale)
            }
            DataType::Decimal128(precision, scale) => {
                self.decimals::<Decimal128Type>(*precision, *scale)
            }
            DataType::Decimal256(precision, scale) => {
                self.decimals::<Decimal256Type>(*precision, *scale)
            }
            DataType::Timestamp(unit, zone) => self.timestamps(*unit, zone.as_deref())?,
            DataType::Utf8 => self.texts(),
            other => cast(&self.texts(), other)?,
        })
    }

    /// Adds values one by one: `None` where a field is null or cannot be parsed; the latter is bad.
    fn each<V>(
        &mut self,
        mut parse: impl FnMut(&'a str) -> Option<V>,
        mut add: impl FnMut(Option<V>),
    ) {
        for (row, field) in self.rows.fields(self.number).enumerate() {
            if field.is_empty() || self.rows.is_null(field) {
                self.refuse_null(row);
                add(None);
                continue;
            }
            let value = parse(field);
            if value.is_none() {
                self.refuse(row, field);
            }
            add(value);
        }
    }

    fn primitives<T: ArrowPrimitiveType>(
        &mut self,
        kind: DataType,
        parse: impl FnMut(&'a str) -> Option<T::Native>,
    ) -> ArrayRef {
        let mut builder =
            PrimitiveBuilder::<T>::with_capacity(self.rows.count()).with_data_type(kind);
        self.each(parse, |value| builder.append_option(value));
        Arc::new(builder.finish())
    }

    fn parsed<T: Parser>(&mut self) -> ArrayRef {
        self.primitives::<T>(T::DATA_TYPE, T::parse)
    }

    fn decimals<T: DecimalType>(&mut self, precision: u8, scale: i8) -> ArrayRef {
        let kind = self.field.data_type().clone();
        self.primitives::<T>(kind, |field| {
            parse_decimal::<T>(field, precision, scale).ok()
        })
    }

    fn timestamps(
        &mut self,
        unit: TimeUnit,
        zone: Option<&str>,
    ) -> Result<ArrayRef, arrow_schema::ArrowError> {
        let zone: Tz = zone.unwrap_or("+00:00").parse()?;
        Ok(match unit {
            TimeUnit::Second => self.times::<TimestampSecondType>(zone),
            TimeUnit::Millisecond => self.times::<TimestampMillisecondType>(zone),
            TimeUnit::Microsecond => self.times::<TimestampMicrosecondType>(zone),
            TimeUnit::Nanosecond => self.times::<TimestampNanosecondType>(zone),
        })
    }

    fn times<T: ArrowTimestampType>(&mut self, zone: Tz) -> ArrayRef {
        let time = |field: &str| {
            let time = string_to_datetime(&zone, field).ok()?;
            match T::UNIT {
                TimeUnit::Second => Some(time.timestamp()),
                TimeUnit::Millisecond => Some(time.timestamp_millis()),
                TimeUnit::Microsecond => Some(time.timestamp_micros()),
                TimeUnit::Nanosecond => time.timestamp_nanos_opt(),
            }
        };
        // Rows are often as old as the one before.
        let mut last = ("", None);
        self.primitives::<T>(self.field.data_type().clone(), |field| {
            if field != last.0 {
                last = (field, time(field));
            }
            last.1
        })
    }

    fn booleans(&mut self) -> ArrayRef {
        let mut builder = BooleanBuilder::with_capacity(self.rows.count());
        self.each(boolean, |value| builder.append_option(value));
        Arc::new(builder.finish())
    }

    fn texts(&mut self) -> ArrayRef {
        let bytes = self.rows.text_bytes(self.number);
        let mut builder = StringBuilder::with_capacity(self.rows.count(), bytes);
        for (row, field) in self.rows.fields(self.number).enumerate() {
            if self.rows.is_null(field) {
                self.refuse_null(row);
                builder.append_null();
            } else {
                builder.append_value(field);
            }
        }
        Arc::new(builder.finish())
    }

    fn refuse_null(&mut self, row: usize) {
        if !self.field.is_nullable() {
            self.blame(row, "it is null, which the schema does not allow".into());
        }
    }

    #[cold]
    fn refuse(&mut self, row: usize, field: &str) {
        let kind = type_text(self.field.data_type());
        self.blame(row, format!("`{}` is no {kind}", shown(field)));
    }

    fn blame(&mut self, row: usize, problem: String) {
        let name = self.field.name();
        self.bad
            .entry(row)
            .or_insert_with(|| (name.clone(), problem));
    }
}

/// `true` and `false`, in any case.
pub(crate) fn boolean(field: &str) -> Option<bool> {
    if field.eq_ignore_ascii_case("true") {
        Some(true)
    } else if field.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A value for people.
fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}
