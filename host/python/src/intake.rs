//! What comes from the host: records become batches, and marks between them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::{Array, RecordBatch, StructArray};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_data::transform::MutableArrayData;
use forebay_channel::{
    Columns, FLAG_CONTINUES, FLAG_PADDING, Header, Kind, NodeInput, Outcome, Record, read_body,
};

use crate::failure::Failure;
use crate::fork::Kept;
use crate::lease::{self, Held};

/// What came.
#[derive(Debug)]
pub(crate) enum Event {
    Batch(Rows),
    /// From now on batches have other columns.
    Schema,
    /// A barrier of this checkpoint, and its sequence.
    Barrier {
        checkpoint: u64,
        sequence: u64,
    },
    /// The pass of this number is over.
    PassEnd(u32),
    /// Nothing comes any more.
    End,
    /// Nothing that a script waits for.
    Nothing,
}

/// A batch, as it came.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// Of its last record.
    pub(crate) sequence: u64,
    pub(crate) pass: u32,
    /// Rows at the end that weigh nothing.
    pub(crate) padding: usize,
    /// Of the bodies of its records.
    pub(crate) bytes: u64,
}

pub(crate) struct Intake {
    input: Kept<NodeInput>,
    /// Number and columns of the schema in force.
    columns: Option<(u32, Columns)>,
    pub(crate) known: Arc<Known>,
    /// What has come of a batch that is more than one record.
    parts: Parts,
    over: Option<Over>,
    pub(crate) held: Arc<Held>,
}

/// What other threads may ask for while one waits.
#[derive(Debug, Default)]
pub(crate) struct Known {
    columns: Mutex<Option<Columns>>,
    /// Microseconds since 1970.
    watermark: Mutex<Option<i64>>,
}

impl Known {
    /// As announced last.
    pub(crate) fn columns(&self) -> Option<Columns> {
        lock(&self.columns).clone()
    }

    pub(crate) fn watermark(&self) -> Option<i64> {
        *lock(&self.watermark)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Parts {
    batches: Vec<RecordBatch>,
    padding: usize,
    bytes: u64,
}

#[derive(Clone)]
enum Over {
    Ended,
    Failed(Failure),
}

impl Intake {
    /// With the schema that is in force at the beginning, if there is one.
    pub(crate) fn new(input: NodeInput, schema: Option<(u32, Vec<u8>)>) -> Result<Self, Failure> {
        let mut intake = Self {
            input: Kept::new(input),
            columns: None,
            known: Arc::default(),
            parts: Parts::default(),
            over: None,
            held: Arc::default(),
        };
        if let Some((number, body)) = schema {
            intake.announce(number, &body)?;
        }
        Ok(intake)
    }

    fn announce(&mut self, number: u32, body: &[u8]) -> Result<(), Failure> {
        let columns = Columns::decode(body)?;
        *lock(&self.known.columns) = Some(columns.clone());
        self.columns = Some((number, columns));
        Ok(())
    }

    /// Bytes of the ring.
    pub(crate) fn capacity(&self) -> u64 {
        self.input.reader.capacity()
    }

    /// Bytes of the ring that are held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.input.reader.held()
    }

    /// What comes next; `None`: nothing in this time, or a signal came.
    pub(crate) fn next(&mut self, longest: Duration) -> Result<Option<Event>, Failure> {
        match &self.over {
            Some(Over::Ended) => return Ok(Some(Event::End)),
            Some(Over::Failed(failure)) => return Err(failure.clone()),
            None => {}
        }
        let taken = match self.input.wait_for_record(Some(longest)) {
            Ok(Outcome::Came(record)) => self.take(record).map(Some),
            Ok(_) => Ok(None),
            Err(error) => Err(error.into()),
        };
        taken.inspect_err(|failure| self.over = Some(Over::Failed(failure.clone())))
    }

    fn take(&mut self, record: Record) -> Result<Event, Failure> {
        let header = *record.header();
        Ok(match header.kind {
            Kind::Data => return self.take_data(header, record),
            Kind::Schema => {
                self.announce(header.schema, record.body())?;
                Event::Schema
            }
            Kind::Barrier => Event::Barrier {
                checkpoint: header.checkpoint,
                sequence: header.sequence,
            },
            Kind::Watermark => {
                let time = record.body().try_into().ok().map(i64::from_le_bytes);
                *lock(&self.known.watermark) = time;
                Event::Nothing
            }
            Kind::PassEnd => Event::PassEnd(header.pass),
            Kind::End => {
                self.over = Some(Over::Ended);
                Event::End
            }
            Kind::Error => {
                let text = String::from_utf8_lossy(record.body()).into_owned();
                return Err(Failure::Input(text));
            }
            Kind::Pad => Event::Nothing,
        })
    }

    fn take_data(&mut self, header: Header, record: Record) -> Result<Event, Failure> {
        let columns = match &self.columns {
            Some((number, columns)) if *number == header.schema => columns,
            _ => {
                let text = format!(
                    "record {} is of schema {}, which was not announced",
                    header.sequence, header.schema
                );
                return Err(Failure::Input(text));
            }
        };
        let continues = header.flags & FLAG_CONTINUES != 0;
        let is_whole = self.parts.batches.is_empty() && !continues;
        let body = if is_whole {
            lease::buffer(record, &self.held)
        } else {
            // All parts may be more than the ring holds: each is given back at once.
            Buffer::from_slice_ref(record.body())
        };
        let batch = read_body(columns, header.rows as usize, &body)?;
        self.parts.add(batch, &header);
        if continues {
            return Ok(Event::Nothing);
        }
        let parts = std::mem::take(&mut self.parts);
        Ok(Event::Batch(Rows {
            sequence: header.sequence,
            pass: header.pass,
            padding: parts.padding,
            bytes: parts.bytes,
            batch: parts.joined()?,
        }))
    }
}

impl Parts {
    fn add(&mut self, batch: RecordBatch, header: &Header) {
        if header.flags & FLAG_PADDING != 0 {
            self.padding += batch.num_rows();
        }
        self.bytes += u64::from(header.length);
        self.batches.push(batch);
    }

    /// A single one as it is.
    fn joined(mut self) -> Result<RecordBatch, Failure> {
        if self.batches.len() == 1
            && let Some(batch) = self.batches.pop()
        {
            return Ok(batch);
        }
        let parts = self.batches.into_iter();
        let parts: Vec<_> = parts
            .map(|part| StructArray::from(part).to_data())
            .collect();
        let rows = parts.iter().map(ArrayData::len).sum();
        let mut joined = MutableArrayData::new(parts.iter().collect(), false, rows);
        for (index, part) in parts.iter().enumerate() {
            let extended = joined.try_extend(index, 0, part.len());
            extended.map_err(|error| Failure::Input(format!("a batch is too large: {error}")))?;
        }
        Ok(StructArray::from(joined.freeze()).into())
    }
}
