//! Parts of a query over bounded relations: DataFusion runs them whole, in one task, polled like everything else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::datasource::TableType;
use datafusion::execution::context::SessionState;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
};
use forebay_dataflow::{Cause, Operator, Output, Reads, Source};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::runtime::Handle;

use crate::evaluate::columns_named;
use crate::in_turn::in_turn;
use crate::{Error, Relations};

/// What bounded parts of a query may use.
#[derive(Debug, Clone)]
pub struct Resources {
    /// Where DataFusion starts its own tasks: reading and writing what did not fit into memory.
    pub runtime: Handle,
    /// Bytes that the parts of one stage may hold; a sort writes what is beyond to files, a join fails. `None`: no limit.
    pub memory: Option<usize>,
    /// The folder of those files, which are gone when the stage ends. `None`: that of the system for temporary files.
    pub spill: Option<PathBuf>,
}

impl Resources {
    fn environment(&self) -> Result<Arc<RuntimeEnv>, DataFusionError> {
        let mut builder = RuntimeEnvBuilder::new();
        if let Some(memory) = self.memory {
            builder = builder.with_memory_pool(Arc::new(FairSpillPool::new(memory)));
        }
        if let Some(spill) = &self.spill {
            builder = builder.with_temp_file_path(spill);
        }
        builder.build_arc()
    }
}

/// A part of a query that DataFusion runs.
#[derive(Clone)]
pub(crate) struct StagePlan {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// The relations that it reads, and in how many places each: its inputs, in this order.
    pub(crate) inputs: Vec<(String, usize)>,
}

impl StagePlan {
    /// Of a plan that was optimised.
    pub(crate) fn new(
        state: &SessionState,
        plan: &LogicalPlan,
        relations: &Relations,
    ) -> Result<Self, Error> {
        let mut inputs = BTreeMap::new();
        plan.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part
                && relations.contains_key(scan.table_name.table())
            {
                *inputs
                    .entry(scan.table_name.table().to_owned())
                    .or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let planning = state.query_planner().create_physical_plan(plan, state);
        Ok(Self {
            plan: futures_executor::block_on(planning)?,
            context: Arc::new(TaskContext::from(state)),
            inputs: inputs.into_iter().collect(),
        })
    }
}

/// A relation as DataFusion sees it: columns now, rows when a stage runs.
#[derive(Debug)]
pub(crate) struct RelationTable {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) bytes: Option<u64>,
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let scan = Arc::new(Scan {
            relation: self.name.clone(),
            schema: schema.clone(),
        });
        let plan = StreamingTableExec::try_new(schema, vec![scan], None, [], false, limit)?;
        let rows = Arc::new(plan);
        Ok(match self.bytes {
            Some(bytes) => Arc::new(SizedRows { rows, bytes }),
            None => rows,
        })
    }
}

/// Rows of which it is known about how many bytes they have.
#[derive(Debug)]
struct SizedRows {
    rows: Arc<dyn ExecutionPlan>,
    bytes: u64,
}

impl DisplayAs for SizedRows {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SizedRows: bytes={}", self.bytes)
    }
}

impl ExecutionPlan for SizedRows {
    fn name(&self) -> &'static str {
        "SizedRows"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.rows.execute(partition, context)
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>, DataFusionError> {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        Ok(Arc::new(Statistics {
            total_byte_size: Precision::Inexact(bytes),
            ..Statistics::new_unknown(&self.rows.schema())
        }))
    }
}

/// One place of a plan that reads a relation.
#[derive(Debug)]
struct Scan {
    relation: String,
    schema: SchemaRef,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = context
            .session_config()
            .get_extension::<Feeds>()
            .and_then(|feeds| feeds.take(&self.relation));
        let schema = self.schema.clone();
        let rows = stream::poll_fn(move |context| match &reader {
            Some(reader) => reader.poll(context).map(|batch| {
                let batch = batch?;
                Some(columns_named(&batch, &schema).map_err(DataFusionError::External))
            }),
            None => Poll::Ready(Some(Err(DataFusionError::NotImplemented(
                "a query that reads a relation over and over".to_owned(),
            )))),
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

/// The rows of all relations on their way into a stage: a queue for each place that reads one. All are there from the beginning, because
/// DataFusion may come to some of those places late.
#[derive(Debug)]
struct Feeds {
    readers: Vec<(String, Vec<Arc<Reader>>)>,
    taken: Mutex<BTreeMap<String, usize>>,
    /// The task of the stage.
    task: Arc<Mutex<Option<Waker>>>,
}

impl Feeds {
    fn new(inputs: &[(String, usize)]) -> Self {
        let task = Arc::<Mutex<Option<Waker>>>::default();
        let reader = || {
            Arc::new(Reader {
                waiting: Mutex::default(),
                task: task.clone(),
            })
        };
        let of_relation = |(relation, places): &(String, usize)| {
            (
                relation.clone(),
                (0..*places).map(|_| reader()).collect::<Vec<_>>(),
            )
        };
        Self {
            readers: inputs.iter().map(of_relation).collect(),
            taken: Mutex::default(),
            task,
        }
    }

    /// A queue that nobody else reads.
    fn take(&self, relation: &str) -> Option<Arc<Reader>> {
        let mut taken = lock(&self.taken);
        let next = taken.entry(relation.to_owned()).or_default();
        let (_, readers) = self.readers.iter().find(|(name, _)| name == relation)?;
        *next += 1;
        readers.get(*next - 1).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Reader {
    waiting: Mutex<Waiting>,
    task: Arc<Mutex<Option<Waker>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<RecordBatch>,
    has_ended: bool,
    /// Somebody has asked in vain.
    asked: Option<Waker>,
}

impl Reader {
    fn poll(&self, context: &Context<'_>) -> Poll<Option<RecordBatch>> {
        let mut waiting = lock(&self.waiting);
        match waiting.batches.pop_front() {
            Some(batch) => Poll::Ready(Some(batch)),
            None if waiting.has_ended => Poll::Ready(None),
            None => {
                waiting.asked = Some(context.waker().clone());
                // A task that DataFusion has started asks: that of the stage does not see it by itself.
                let task = lock(&self.task).clone();
                if let Some(task) = task.filter(|task| !task.will_wake(context.waker())) {
                    task.wake();
                }
                Poll::Pending
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let asked = {
            let mut waiting = lock(&self.waiting);
            change(&mut waiting);
            waiting.asked.take()
        };
        if let Some(asked) = asked {
            asked.wake();
        }
    }

    fn wants(&self) -> bool {
        lock(&self.waiting).asked.is_some()
    }
}

/// The state of a stage that has ended.
const ENDED: &[u8] = b"ended";

/// A stage at work.
struct Stage {
    rows: SendableRecordBatchStream,
    feeds: Arc<Feeds>,
    schema: SchemaRef,
    runtime: Handle,
    has_ended: bool,
}

impl Stage {
    fn start(plan: &StagePlan, schema: SchemaRef, resources: &Resources) -> Result<Self, Cause> {
        let feeds = Arc::new(Feeds::new(&plan.inputs));
        let context = TaskContext::new(
            None,
            plan.context.session_id(),
            plan.context
                .session_config()
                .clone()
                .with_extension(feeds.clone()),
            plan.context.scalar_functions().clone(),
            plan.context.higher_order_functions().clone(),
            plan.context.aggregate_functions().clone(),
            plan.context.window_functions().clone(),
            resources.environment()?,
        );
        let runtime = resources.runtime.clone();
        let rows = {
            let _entered = runtime.enter();
            in_turn(&plan.plan, &Arc::new(context))?
        };
        Ok(Self {
            rows,
            feeds,
            schema,
            runtime,
            has_ended: false,
        })
    }

    fn give(&self, input: usize, batch: &RecordBatch) {
        for reader in &self.feeds.readers[input].1 {
            reader.change(|waiting| waiting.batches.push_back(batch.clone()));
        }
    }

    fn end(&self, input: usize) {
        for reader in &self.feeds.readers[input].1 {
            reader.change(|waiting| waiting.has_ended = true);
        }
    }

    /// The input without whose rows it cannot go on.
    fn wants(&self) -> Option<usize> {
        self.feeds
            .readers
            .iter()
            .position(|(_, readers)| readers.iter().any(|reader| reader.wants()))
    }

    /// There is no state but that everything has come out.
    fn snapshot(&self) -> Result<Vec<u8>, Cause> {
        if self.has_ended {
            Ok(ENDED.to_vec())
        } else {
            Err("a query over bounded relations keeps no state for checkpoints".into())
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        if state != ENDED {
            return Err("this is no state of a query over bounded relations".into());
        }
        self.has_ended = true;
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        if self.has_ended {
            return Poll::Ready(Ok(None));
        }
        *lock(&self.feeds.task) = Some(context.waker().clone());
        let _entered = self.runtime.enter();
        self.rows.poll_next_unpin(context).map(|next| match next {
            None => {
                self.has_ended = true;
                Ok(None)
            }
            Some(batch) => {
                let batch = batch?;
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let columns = batch.columns().to_vec();
                let batch =
                    RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
                Ok(Some(batch))
            }
        })
    }
}

/// A stage whose relations are streams that have an end.
pub(crate) struct StageOperator(Stage);

impl StageOperator {
    pub(crate) fn new(
        plan: &StagePlan,
        schema: SchemaRef,
        resources: &Resources,
    ) -> Result<Self, Cause> {
        Stage::start(plan, schema, resources).map(Self)
    }

    /// Emits what there is, until more rows are needed, or to the end.
    async fn go_on(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        loop {
            let next = poll_fn(|context| match self.0.poll(context) {
                Poll::Pending if self.0.wants().is_some() => Poll::Ready(Ok(None)),
                next => next,
            });
            match next.await? {
                Some(batch) => output.emit(batch).await?,
                None => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl Operator for StageOperator {
    async fn process(
        &mut self,
        input: usize,
        batch: RecordBatch,
        output: &mut Output<'_>,
    ) -> Result<(), Cause> {
        if self.0.has_ended {
            return Ok(());
        }
        self.0.give(input, &batch);
        self.go_on(output).await
    }

    async fn input_ended(&mut self, input: usize, output: &mut Output<'_>) -> Result<(), Cause> {
        self.0.end(input);
        self.go_on(output).await
    }

    async fn end(&mut self, output: &mut Output<'_>) -> Result<(), Cause> {
        (0..self.0.feeds.readers.len()).for_each(|input| self.0.end(input));
        self.go_on(output).await
    }

    fn reads(&self) -> Reads {
        self.0.wants().map_or(Reads::Any, Reads::First)
    }

    fn has_enough(&self) -> bool {
        self.0.has_ended
    }

    fn abandon(&mut self) {
        self.0.has_ended = true;
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        self.0.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.0.restore(state)
    }
}

/// A stage that reads no relation.
pub(crate) struct StageSource(Stage);

impl StageSource {
    pub(crate) fn new(
        plan: &StagePlan,
        schema: SchemaRef,
        resources: &Resources,
    ) -> Result<Self, Cause> {
        Stage::start(plan, schema, resources).map(Self)
    }
}

impl Source for StageSource {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        self.0.poll(context)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        self.0.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.0.restore(state)
    }
}

/// The rows of a source in the order of one of its columns: the least first, nulls at the end. It reads the source to its end before the
/// first row comes; what does not fit into memory is written to files.
pub struct Sorted {
    source: Box<dyn Source>,
    stage: Stage,
    /// Rows that have gone.
    emitted: u64,
    /// Rows to leave out: they had gone when the state was taken.
    skipped: u64,
}

impl Sorted {
    pub(crate) fn new(
        source: Box<dyn Source>,
        plan: &StagePlan,
        schema: SchemaRef,
        resources: &Resources,
    ) -> Result<Self, Cause> {
        Ok(Self {
            source,
            stage: Stage::start(plan, schema, resources)?,
            emitted: 0,
            skipped: 0,
        })
    }

    /// The next rows in order, those that are to be left out too.
    fn poll_rows(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        loop {
            match self.stage.poll(context) {
                Poll::Pending if self.stage.wants().is_some() => {}
                next => return next,
            }
            match self.source.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(Some(batch))) => self.stage.give(0, &batch),
                Poll::Ready(Ok(None)) => self.stage.end(0),
            }
        }
    }
}

impl Source for Sorted {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        loop {
            let Poll::Ready(next) = self.poll_rows(context)? else {
                return Poll::Pending;
            };
            let Some(batch) = next else {
                return Poll::Ready(Ok(None));
            };
            let rows = batch.num_rows() as u64;
            let skip = self.skipped.min(rows);
            self.skipped -= skip;
            self.emitted += rows;
            if skip < rows {
                let (skip, rows) = (usize::try_from(skip)?, usize::try_from(rows - skip)?);
                return Poll::Ready(Ok(Some(batch.slice(skip, rows))));
            }
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok((self.emitted + self.skipped).to_le_bytes().to_vec())
    }

    /// The same rows sort into the same order again.
    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.skipped = u64::from_le_bytes(state.try_into()?);
        Ok(())
    }
}
