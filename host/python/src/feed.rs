//! The channel of this process, as the Python half calls it.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::Field;
use forebay_channel::{Columns, DESCRIPTORS, Descriptors, NodeEnd};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rustix::fd::RawFd;

use crate::answer::{self, Results};
use crate::batch::{Batch, Column};
use crate::failure::Failure;
use crate::fork;
use crate::intake::{Event, Intake, Known, Rows};
use crate::layout::Layout;
use crate::lease::Held;
use crate::ledger::{Ledger, Refusal};
use crate::outgoing::Outgoing;
use crate::waiting::{Deadline, Lent, Turn, wait};

type NameKindLayout = (
    String,
    String,
    Option<(&'static str, &'static str, Vec<usize>)>,
);

/// The node's end of a channel.
#[pyclass(frozen)]
pub(crate) struct Channel {
    intake: Turn<Intake>,
    outgoing: Outgoing,
    held: Arc<Held>,
    known: Arc<Known>,
    /// What the script has not asked for yet.
    kept_back: Mutex<VecDeque<u32>>,
    counts: Counts,
    capacity: u64,
    /// Of the socket: a forked child closes its copy.
    #[pyo3(get)]
    descriptor: RawFd,
}

#[derive(Default)]
struct Counts {
    batches: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    waited_us: AtomicU64,
}

#[pymethods]
impl Channel {
    /// Takes over the inherited descriptors, in the order of the channel.
    #[new]
    fn new(descriptors: [RawFd; DESCRIPTORS]) -> PyResult<Self> {
        fork::watch()?;
        let descriptors = Descriptors(descriptors.map(crate::adopt));
        let mut end = NodeEnd::open(descriptors).map_err(Failure::from)?;
        let (schema, results) = (end.schema.take(), end.results.take());
        let columns = results.as_deref().map(Columns::decode).transpose();
        let columns = columns.map_err(Failure::from)?;
        let descriptor = end.link.as_raw_fd();
        let (input, output) = end.split();
        let intake = Intake::new(input, schema)?;
        Ok(Self {
            held: intake.held.clone(),
            known: intake.known.clone(),
            capacity: intake.capacity(),
            intake: Turn::new(intake),
            outgoing: Outgoing::new(output, Ledger::new(results), columns),
            kept_back: Mutex::default(),
            counts: Counts::default(),
            descriptor,
        })
    }

    /// The next batch, the number of a pass that is over, or `None` at the end.
    #[pyo3(signature = (timeout))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let deadline = Deadline::after(timeout)?;
        let mut intake = self.intake(py, deadline)?;
        if let Some(pass) = self.kept_back().pop_front() {
            return Ok(Some(pass.into_pyobject(py)?.into_any()));
        }
        loop {
            match self.next_event(py, &mut intake, deadline)? {
                Event::Batch(rows) => return Ok(Some(self.hand_out(py, rows)?)),
                Event::PassEnd(pass) => return Ok(Some(pass.into_pyobject(py)?.into_any())),
                Event::End => return Ok(None),
                _ => {}
            }
        }
    }

    /// Name, type and, where elements are of one width, layout of each column. Waits until they are known; empty when the input ends before.
    fn schema(&self, py: Python<'_>) -> PyResult<Vec<NameKindLayout>> {
        check_process()?;
        loop {
            let intake = wait(py, Deadline::NEVER, |longest| {
                let is_known = self.known.columns().is_some();
                let intake = || self.intake.take_within(longest).map(Some);
                Ok::<_, PyErr>(if is_known { Some(None) } else { intake() })
            })?;
            if let Some(columns) = self.known.columns() {
                let fields = columns.schema().fields().iter();
                return Ok(fields.map(|field| described(field)).collect());
            }
            let Some(mut intake) = intake else { continue };
            match self.next_event(py, &mut intake, Deadline::NEVER)? {
                Event::PassEnd(pass) => self.kept_back().push_back(pass),
                Event::End => return Ok(Vec::new()),
                // A batch has a schema before it.
                _ => {}
            }
        }
    }

    /// Microseconds since 1970.
    fn watermark(&self) -> Option<i64> {
        self.known.watermark()
    }

    /// What answers look like.
    fn results(&self) -> PyResult<Results> {
        let columns = self.outgoing.columns().ok_or_else(nobody_asks)?;
        Ok(Results::new(columns.schema().clone()))
    }

    /// Answers a batch, by default the oldest one without an answer: one column for each of the results.
    #[pyo3(signature = (columns, of))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 wants it so")]
    fn emit(
        &self,
        py: Python<'_>,
        columns: Vec<PyRef<'_, Column>>,
        of: Option<u64>,
    ) -> PyResult<()> {
        check_process()?;
        let results = self.outgoing.columns().ok_or_else(nobody_asks)?;
        let columns = columns.iter().map(|column| column.array.clone());
        self.answer(py, results, columns.collect(), of)
    }

    /// Answers a batch with arrays of numpy that are what is wanted as they are, a dict of them or a single one. False: nothing was done,
    /// because this is no such answer.
    #[pyo3(signature = (answer, of))]
    fn emit_as_it_is(
        &self,
        py: Python<'_>,
        answer: &Bound<'_, PyAny>,
        of: Option<u64>,
    ) -> PyResult<bool> {
        check_process()?;
        let results = self.outgoing.columns().ok_or_else(nobody_asks)?;
        match answer::as_they_are(answer, results.schema())? {
            Some(columns) => self.answer(py, results, columns, of).map(|()| true),
            None => Ok(false),
        }
    }

    /// The script reads no more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        check_process()?;
        let (rows, batches) = self.outgoing.ledger().unanswered();
        if rows > 0 {
            return Err(PyRuntimeError::new_err(format!(
                "{rows} rows of {batches} batches have no answer: `node.emit` them before the feed is closed"
            )));
        }
        self.outgoing.ledger().stop_reading();
        self.outgoing.flush(py, Deadline::NEVER)
    }

    /// Tells the host that the script has failed, if that can be done at once.
    fn abort(&self, text: &str) {
        if !fork::is_child() {
            self.outgoing.abort(text);
        }
    }

    /// Batches, rows and bytes that were handed out, and microseconds that were waited for them.
    fn counts(&self) -> (u64, u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        (
            of(&counts.batches),
            of(&counts.rows),
            of(&counts.bytes),
            of(&counts.waited_us),
        )
    }

    /// Sequences of the records that are held.
    fn held(&self) -> PyResult<Vec<u64>> {
        check_process()?;
        Ok(self.held.sequences())
    }

    /// Whether what is held fills more than half of the ring.
    fn is_crowded(&self) -> bool {
        let intake = self.intake.try_take();
        intake.is_some_and(|intake| intake.held_bytes() > self.capacity / 2)
    }
}

impl Channel {
    fn answer(
        &self,
        py: Python<'_>,
        results: &Columns,
        columns: Vec<ArrayRef>,
        of: Option<u64>,
    ) -> PyResult<()> {
        self.outgoing.flush(py, Deadline::NEVER)?;
        let claimed = self.outgoing.ledger().claim(of);
        let (sequence, rows) = claimed.map_err(|refusal| refused(refusal, of))?;
        let parts = answer_of(results, columns, sequence, rows)
            .and_then(|batch| py.detach(|| Ok(self.outgoing.split(results, &batch, sequence)?)));
        match parts {
            Ok(parts) => self.outgoing.ledger().answer(sequence, parts),
            Err(error) => {
                self.outgoing.ledger().give_back(sequence);
                return Err(error);
            }
        }
        self.outgoing.flush(py, Deadline::NEVER)
    }

    fn intake(&self, py: Python<'_>, deadline: Deadline) -> PyResult<Lent<'_, Intake>> {
        check_process()?;
        self.intake.take(py, deadline)
    }

    fn kept_back(&self) -> std::sync::MutexGuard<'_, VecDeque<u32>> {
        self.kept_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next, while the script asks for more: what it owes because of that goes out first.
    fn next_event(
        &self,
        py: Python<'_>,
        intake: &mut Intake,
        deadline: Deadline,
    ) -> PyResult<Event> {
        self.outgoing.flush(py, deadline)?;
        if !self.outgoing.ledger().reads() {
            return Ok(Event::End);
        }
        // Nothing is taken while a signal waits, or it would be lost.
        py.check_signals()?;
        let begun = Instant::now();
        let event = wait(py, deadline, |longest| {
            // Another thread may close the feed meanwhile.
            let reads = self.outgoing.ledger().reads();
            if reads {
                intake.next(longest)
            } else {
                Ok(Some(Event::End))
            }
        });
        let waited = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.waited_us.fetch_add(waited, Ordering::Relaxed);
        let event = event?;
        match &event {
            Event::Barrier {
                checkpoint,
                sequence,
            } => self.outgoing.ledger().barrier(*checkpoint, *sequence),
            Event::End => self.outgoing.ledger().stop_reading(),
            _ => return Ok(event),
        }
        self.outgoing.flush(py, deadline)?;
        Ok(event)
    }

    fn hand_out<'py>(&self, py: Python<'py>, rows: Rows) -> PyResult<Bound<'py, PyAny>> {
        let count = rows.batch.num_rows();
        self.outgoing.ledger().hand_out(rows.sequence, count);
        let counts = &self.counts;
        counts.batches.fetch_add(1, Ordering::Relaxed);
        counts.rows.fetch_add(count as u64, Ordering::Relaxed);
        counts.bytes.fetch_add(rows.bytes, Ordering::Relaxed);
        Ok(Batch::new(rows).into_pyobject(py)?.into_any())
    }
}

fn described(field: &Field) -> NameKindLayout {
    let layout = Layout::of(field.data_type());
    let layout = layout.map(|layout| (layout.dtype, layout.storage, layout.inner));
    (field.name().clone(), field.data_type().to_string(), layout)
}

fn check_process() -> PyResult<()> {
    if fork::is_child() {
        let text = "this is a forked child of a node's process: its feed is read in the process that the agent started";
        return Err(PyRuntimeError::new_err(text));
    }
    Ok(())
}

fn refused(refusal: Refusal, of: Option<u64>) -> PyErr {
    let batch = of.map_or_else(String::new, |of| format!("batch {of} "));
    match refusal {
        Refusal::NothingWaits => PyValueError::new_err("no batch waits for an answer"),
        Refusal::NotThisOne => PyValueError::new_err(format!("{batch}waits for no answer")),
        Refusal::Closed => PyRuntimeError::new_err("the feed is closed"),
    }
}

fn nobody_asks() -> PyErr {
    PyRuntimeError::new_err(
        "nobody takes answers from this role: give it an `output` in the job file",
    )
}

fn answer_of(
    results: &Columns,
    columns: Vec<ArrayRef>,
    sequence: u64,
    rows: usize,
) -> PyResult<RecordBatch> {
    let schema = results.schema();
    for (field, column) in schema.fields().iter().zip(&columns) {
        let given = column.len();
        if given != rows {
            return Err(PyValueError::new_err(format!(
                "the column `{}` has {given} rows, and batch {sequence}, which it answers, has {rows}",
                field.name()
            )));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| PyValueError::new_err(format!("this is no answer: {error}")))
}
