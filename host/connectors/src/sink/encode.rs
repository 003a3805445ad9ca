//! Rows become bytes, in memory.

use arrow_array::{RecordBatch, new_null_array};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_json::LineDelimitedWriter;
use arrow_json::writer::WriterBuilder as JsonBuilder;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use forebay_dataflow::Cause;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::WriterProperties;

use crate::csv;
use crate::error::Error;
use crate::format::{CsvOptions, Format};

/// A row group of Parquet has at most so many rows; a reader may skip whole groups.
const ROW_GROUP_ROWS: usize = 256 << 10;

/// And so many bytes: they are in memory until it is complete.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Makes the bytes of one file.
pub(crate) enum Encoder {
    Csv { options: CsvOptions, bytes: Vec<u8> },
    JsonLines(Vec<u8>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Arrow(Box<FileWriter<Vec<u8>>>),
    ArrowStream(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// Begins a file: what stands before the first row is there at once.
    pub(crate) fn new(format: &Format, schema: &SchemaRef) -> Result<Self, Cause> {
        Ok(match format {
            Format::Csv(options) => {
                let mut bytes = Vec::new();
                let header = RecordBatch::new_empty(schema.clone());
                write_csv(options, options.header, &mut bytes, &header)?;
                Self::Csv {
                    options: options.clone(),
                    bytes,
                }
            }
            Format::JsonLines => Self::JsonLines(Vec::new()),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(ParquetCompression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
                Self::Parquet(Box::new(writer))
            }
            Format::Arrow => Self::Arrow(Box::new(FileWriter::try_new(Vec::new(), schema)?)),
            Format::ArrowStream => {
                Self::ArrowStream(Box::new(StreamWriter::try_new(Vec::new(), schema)?))
            }
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Cause> {
        match self {
            Self::Csv { options, bytes } => write_csv(options, false, bytes, batch)?,
            Self::JsonLines(bytes) => write_json(bytes, batch)?,
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Arrow(writer) => writer.write(batch)?,
            Self::ArrowStream(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// The bytes that are ready.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Csv { bytes, .. } | Self::JsonLines(bytes) => bytes,
            Self::Parquet(writer) => writer.inner_mut(),
            Self::Arrow(writer) => writer.get_mut(),
            Self::ArrowStream(writer) => writer.get_mut(),
        }
    }

    /// What stands behind the last row is ready, too.
    pub(crate) fn finish(&mut self) -> Result<(), Cause> {
        match self {
            Self::Csv { .. } | Self::JsonLines(_) => {}
            Self::Parquet(writer) => {
                writer.finish()?;
            }
            Self::Arrow(writer) => writer.finish()?,
            Self::ArrowStream(writer) => writer.finish()?,
        }
        Ok(())
    }
}

fn write_csv(
    options: &CsvOptions,
    header: bool,
    bytes: &mut Vec<u8>,
    batch: &RecordBatch,
) -> Result<(), ArrowError> {
    let null = options.null_values.first().cloned().unwrap_or_default();
    let mut builder = arrow_csv::WriterBuilder::new()
        .with_header(header)
        .with_delimiter(options.delimiter)
        .with_null(null);
    if let Some(quote) = options.quote {
        builder = builder.with_quote(quote);
    }
    if let Some(escape) = options.escape {
        builder = builder.with_escape(escape).with_double_quote(false);
    }
    builder.build(bytes).write(batch)
}

fn write_json(bytes: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    let mut writer: LineDelimitedWriter<_> = JsonBuilder::new().build(bytes);
    writer.write(batch)?;
    writer.finish()
}

/// Refuses columns that the format cannot hold.
///
/// # Errors
///
/// The first of them.
pub(crate) fn check(format: &Format, schema: &Schema) -> Result<(), Error> {
    if let Format::Csv(options) = format {
        options.check()?;
        if options.quote.is_none() {
            let text = "a CSV sink needs a quote, or values with delimiters could not be written";
            return Err(Error::Setting(text.into()));
        }
    }
    let refused = schema.fields().iter().find(|field| !holds(format, field));
    match refused {
        None => Ok(()),
        Some(field) => Err(Error::ColumnKind {
            column: field.name().clone(),
            kind: Box::new(field.data_type().clone()),
            format: format.name(),
        }),
    }
}

fn holds(format: &Format, field: &Field) -> bool {
    match format {
        Format::Csv(_) => csv::is_held(field.data_type()),
        // One dictionary is for a whole file, but each batch may have another one.
        Format::Arrow if has_dictionary(field.data_type()) => false,
        Format::JsonLines | Format::Parquet | Format::Arrow | Format::ArrowStream => {
            try_one(format, field).is_ok()
        }
    }
}

fn has_dictionary(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(..) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => has_dictionary(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        _ => false,
    }
}

/// Writes one null of such a column.
fn try_one(format: &Format, field: &Field) -> Result<(), Cause> {
    let field = field.clone().with_nullable(true);
    let null = new_null_array(field.data_type(), 1);
    let schema: SchemaRef = Schema::new(vec![field]).into();
    let mut encoder = Encoder::new(format, &schema)?;
    encoder.write(&RecordBatch::try_new(schema, vec![null])?)?;
    encoder.finish()
}
