//! The operators of one task, one behind the other.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};

use crate::Watermark;
use crate::error::{Cause, Error};
use crate::exchange::Fan;
use crate::operator::{Cut, Operator, Reads};
use crate::progress::Counters;

/// Who a thing belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) operator: Arc<str>,
    pub(crate) task: usize,
    /// What it emits; `None` if nothing.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) counters: Arc<Counters>,
}

impl Owner {
    /// Names the operator, unless the cause names one behind it already.
    pub(crate) fn blame(&self, cause: Cause) -> Error {
        match cause.downcast::<Error>() {
            Ok(named) => *named,
            Err(source) => Error::Operator {
                operator: self.operator.clone(),
                task: self.task,
                source,
            },
        }
    }

    /// Whether this batch is what was announced.
    fn check(&self, batch: &RecordBatch) -> Result<(), Error> {
        let difference = match &self.schema {
            Some(schema) if Arc::ptr_eq(schema, batch.schema_ref()) => return Ok(()),
            Some(schema) => match difference(schema, batch.schema_ref()) {
                Some(difference) => difference,
                None => return Ok(()),
            },
            None => "it is a sink".to_owned(),
        };
        Err(Error::Schema {
            operator: self.operator.clone(),
            difference,
        })
    }
}

/// The first difference that matters to a reader of rows.
fn difference(announced: &Schema, emitted: &Schema) -> Option<String> {
    if announced.fields().len() != emitted.fields().len() {
        return Some(format!(
            "{} columns instead of {}",
            emitted.fields().len(),
            announced.fields().len()
        ));
    }
    announced
        .fields()
        .iter()
        .zip(emitted.fields())
        .find_map(|(announced, emitted)| {
            if announced.name() != emitted.name() {
                Some(format!(
                    "column `{}` instead of `{}`",
                    emitted.name(),
                    announced.name()
                ))
            } else if announced.data_type() != emitted.data_type() {
                let kinds = (emitted.data_type(), announced.data_type());
                Some(format!(
                    "column `{}` is {} instead of {}",
                    announced.name(),
                    kinds.0,
                    kinds.1
                ))
            } else if emitted.is_nullable() && !announced.is_nullable() {
                Some(format!("column `{}` may be null", announced.name()))
            } else {
                None
            }
        })
}

pub(crate) struct Link {
    pub(crate) owner: Owner,
    pub(crate) operator: Box<dyn Operator>,
}

/// Where the rows of an operator go: to the next one of its task, or out of it.
pub struct Output<'a> {
    owner: &'a Owner,
    rest: &'a mut [Link],
    fan: &'a mut Fan,
}

impl Output<'_> {
    /// Hands rows on. Waits while there is no room.
    ///
    /// # Errors
    ///
    /// Whoever is behind has failed, or the batch is not of the schema that was announced.
    pub async fn emit(&mut self, batch: RecordBatch) -> Result<(), Cause> {
        self.owner.check(&batch)?;
        self.owner
            .counters
            .rows_out
            .fetch_add(batch.num_rows() as u64, Relaxed);
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match self.rest.split_first_mut() {
            Some((next, rest)) => Ok(next.process(0, batch, rest, self.fan).await?),
            None => Ok(self.fan.send(batch).await?),
        }
    }
}

impl Link {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        rest: &mut [Link],
        fan: &mut Fan,
    ) -> Result<(), Error> {
        self.owner
            .counters
            .rows_in
            .fetch_add(batch.num_rows() as u64, Relaxed);
        let mut output = Output {
            owner: &self.owner,
            rest,
            fan,
        };
        let processed = self.operator.process(input, batch, &mut output).await;
        processed.map_err(|cause| self.owner.blame(cause))
    }

    async fn work(&mut self, rest: &mut [Link], fan: &mut Fan) -> Result<Option<Watermark>, Error> {
        let mut output = Output {
            owner: &self.owner,
            rest,
            fan,
        };
        let worked = self.operator.work(&mut output).await;
        worked.map_err(|cause| self.owner.blame(cause))
    }

    async fn barrier(
        &mut self,
        barrier: u64,
        rest: &mut [Link],
        fan: &mut Fan,
    ) -> Result<Cut, Error> {
        let mut output = Output {
            owner: &self.owner,
            rest,
            fan,
        };
        let cut = self.operator.barrier(barrier, &mut output).await;
        cut.map_err(|cause| self.owner.blame(cause))
    }

    async fn watermark(&mut self, at: i64, rest: &mut [Link], fan: &mut Fan) -> Result<i64, Error> {
        let mut output = Output {
            owner: &self.owner,
            rest,
            fan,
        };
        let reached = self.operator.watermark(at, &mut output).await;
        let reached = reached.map_err(|cause| self.owner.blame(cause))?;
        self.owner.counters.note(Watermark::At(at));
        Ok(reached.min(at))
    }
}

/// All operators of a task that are no sources, and the way out.
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
    pub(crate) fan: Fan,
}

impl Chain {
    pub(crate) fn reads(&self) -> Reads {
        self.links
            .first()
            .map_or(Reads::Any, |link| link.operator.reads())
    }

    pub(crate) async fn process(&mut self, input: usize, batch: RecordBatch) -> Result<(), Error> {
        let (first, rest) = self
            .links
            .split_first_mut()
            .expect("a task has an operator");
        first.process(input, batch, rest, &mut self.fan).await
    }

    /// Rows of the source of this task.
    pub(crate) async fn emit(&mut self, source: &Owner, batch: RecordBatch) -> Result<(), Error> {
        let mut output = Output {
            owner: source,
            rest: &mut self.links,
            fan: &mut self.fan,
        };
        output
            .emit(batch)
            .await
            .map_err(|cause| source.blame(cause))
    }

    /// The first operator that has something to do by itself.
    pub(crate) fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let mut links = self.links.iter_mut();
        match links.position(|link| link.operator.poll_work(context).is_ready()) {
            Some(link) => Poll::Ready(link),
            None => Poll::Pending,
        }
    }

    pub(crate) async fn work(&mut self, link: usize) -> Result<(), Error> {
        let (first, rest) = self.links[link..]
            .split_first_mut()
            .expect("it is in bounds");
        match first.work(rest, &mut self.fan).await? {
            Some(watermark) => self.watermark_behind(link + 1, watermark).await,
            None => Ok(()),
        }
    }

    /// Each operator finishes what was before the barrier, before the next one does.
    pub(crate) async fn barrier(&mut self, barrier: u64) -> Result<Cut, Error> {
        let mut cut = Cut::Clean;
        for index in 0..self.links.len() {
            let (first, rest) = self.links[index..]
                .split_first_mut()
                .expect("it is in bounds");
            if first.barrier(barrier, rest, &mut self.fan).await? == Cut::GivenUp {
                cut = Cut::GivenUp;
            }
        }
        Ok(cut)
    }

    pub(crate) async fn watermark(&mut self, watermark: Watermark) -> Result<(), Error> {
        self.watermark_behind(0, watermark).await
    }

    /// Tells the operators from this one on.
    async fn watermark_behind(
        &mut self,
        link: usize,
        mut watermark: Watermark,
    ) -> Result<(), Error> {
        for index in link..self.links.len() {
            let (first, rest) = self.links[index..]
                .split_first_mut()
                .expect("it is in bounds");
            match &mut watermark {
                Watermark::At(at) => *at = first.watermark(*at, rest, &mut self.fan).await?,
                Watermark::Idle => {
                    first.owner.counters.note(watermark);
                    if !first.operator.idle() {
                        return Ok(());
                    }
                }
            }
            if watermark == Watermark::START {
                // No event time has come so far; but whoever has gone on without this task waits for it now.
                break;
            }
        }
        self.fan.watermark(watermark);
        Ok(())
    }

    pub(crate) async fn input_ended(&mut self, input: usize) -> Result<(), Error> {
        let (first, rest) = self
            .links
            .split_first_mut()
            .expect("a task with inputs has an operator");
        let mut output = Output {
            owner: &first.owner,
            rest,
            fan: &mut self.fan,
        };
        let ended = first.operator.input_ended(input, &mut output).await;
        ended.map_err(|cause| first.owner.blame(cause))
    }

    /// Whether nobody needs more rows of what feeds this task.
    pub(crate) fn has_enough(&self) -> bool {
        self.fan.is_abandoned() || self.links.iter().any(|link| link.operator.has_enough())
    }

    /// The first operator whose end somebody waits for.
    fn first_needed(&self) -> usize {
        let mut links = self.links.iter();
        let first_wanted = if self.fan.is_abandoned() {
            links.len()
        } else {
            let last_full = links.rposition(|link| link.operator.has_enough());
            last_full.unwrap_or(0)
        };
        let needs_end = self.links.iter().position(|link| link.operator.needs_end());
        needs_end.map_or(first_wanted, |index| index.min(first_wanted))
    }

    /// Each operator that is still needed sees all event time pass, and then its end, before the next one does.
    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        let first_needed = self.first_needed();
        for link in &mut self.links[..first_needed] {
            link.operator.abandon();
        }
        for index in first_needed..self.links.len() {
            let (first, rest) = self.links[index..]
                .split_first_mut()
                .expect("it is in bounds");
            first.watermark(i64::MAX, rest, &mut self.fan).await?;
            let mut output = Output {
                owner: &first.owner,
                rest,
                fan: &mut self.fan,
            };
            let ended = first.operator.end(&mut output).await;
            ended.map_err(|cause| first.owner.blame(cause))?;
        }
        self.fan.end().await
    }

    pub(crate) fn snapshot(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        self.links
            .iter_mut()
            .map(|link| {
                link.operator
                    .snapshot()
                    .map_err(|cause| link.owner.blame(cause))
            })
            .collect()
    }
}
