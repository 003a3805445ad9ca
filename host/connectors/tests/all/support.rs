//! What all tests need: a runtime, dataflows from a source into memory and from memory into a sink, and random rows.

use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use forebay_connectors::{
    Access, Error, FileSink, FileSinkOptions, FileSource, FileSourceOptions, SinkConnector,
    SourceConnector, add_sink, add_source,
};
use forebay_dataflow::{
    Cause, Exchange, Graph, Operator, Options, Output, Progress, Source, TaskContext,
};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime")
});

pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}

pub(crate) fn access(base: &Path) -> Access {
    Access::new(base, RUNTIME.handle().clone())
}

pub(crate) fn prepare(base: &Path, options: FileSourceOptions) -> Result<FileSource, Error> {
    RUNTIME.block_on(FileSource::prepare(options, &access(base)))
}

pub(crate) fn prepare_sink(
    base: &Path,
    options: FileSinkOptions,
    schema: &SchemaRef,
    tasks: usize,
) -> Result<FileSink, Error> {
    RUNTIME.block_on(FileSink::prepare(
        options,
        &access(base),
        schema.clone(),
        tasks,
    ))
}

/// An error with all its causes.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(cause) => format!("{error}: {}", text(cause)),
    }
}

/// What a connector said.
pub(crate) fn cause(error: &forebay_dataflow::Error) -> String {
    text(error.source().expect("an operator failed"))
}

/// Keeps what comes, for each task.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<(usize, RecordBatch)>>>);

struct Keeper(usize, Kept);

impl Kept {
    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        let mut kept = self.0.lock().unwrap().clone();
        kept.sort_by_key(|(task, _)| *task);
        kept.into_iter().map(|(_, batch)| batch).collect()
    }
}

impl SinkConnector for Kept {
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause> {
        Ok(Box::new(Keeper(context.task, self.clone())))
    }
}

#[async_trait]
impl Operator for Keeper {
    async fn process(
        &mut self,
        _: usize,
        batch: RecordBatch,
        _: &mut Output<'_>,
    ) -> Result<(), Cause> {
        self.1.0.lock().unwrap().push((self.0, batch));
        Ok(())
    }
}

/// Batches as a source; the number of the next one is its state.
#[derive(Clone)]
pub(crate) struct Batches(pub(crate) SchemaRef, pub(crate) Vec<RecordBatch>);

struct BatchesTask(Vec<RecordBatch>, usize);

impl SourceConnector for Batches {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn tasks_max(&self) -> usize {
        1
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn open(&self, context: TaskContext) -> Result<Box<dyn Source>, Cause> {
        let mine = self.1.iter().skip(context.task);
        let mine = mine.step_by(context.parallelism).cloned().collect();
        Ok(Box::new(BatchesTask(mine, 0)))
    }
}

impl Source for BatchesTask {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
        self.1 += 1;
        Poll::Ready(Ok(self.0.get(self.1 - 1).cloned()))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Cause> {
        Ok(self.1.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        self.1 = usize::from_le_bytes(state.try_into()?);
        Ok(())
    }
}

pub(crate) fn graph(
    source: impl SourceConnector,
    sink: impl SinkConnector,
    tasks: usize,
    exchange: Exchange,
) -> Graph {
    graph_to(source, tasks, sink, tasks, exchange)
}

/// A graph whose sink has as many tasks of its own.
pub(crate) fn graph_to(
    source: impl SourceConnector,
    tasks: usize,
    sink: impl SinkConnector,
    sink_tasks: usize,
    exchange: Exchange,
) -> Graph {
    let mut graph = Graph::new();
    let stream = add_source(&mut graph, "source", tasks, None, source).unwrap();
    add_sink(&mut graph, "sink", sink_tasks, (&stream, exchange), sink).unwrap();
    graph
}

pub(crate) fn run(graph: &Graph) -> Result<Vec<Progress>, forebay_dataflow::Error> {
    graph.start(&Options::default())?.wait()
}

/// All rows of a source with so many tasks, those of the first task first.
pub(crate) fn read(
    source: impl SourceConnector,
    tasks: usize,
) -> Result<Vec<RecordBatch>, forebay_dataflow::Error> {
    let kept = Kept::default();
    run(&graph(source, kept.clone(), tasks, Exchange::Forward))?;
    Ok(kept.batches())
}

/// Writes batches by way of an exchange.
pub(crate) fn write(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    sink: impl SinkConnector,
    tasks: usize,
) -> Result<(), forebay_dataflow::Error> {
    let source = Batches(schema.clone(), batches);
    let exchange = if tasks == 1 {
        Exchange::RoundRobin
    } else {
        Exchange::Forward
    };
    run(&graph(source, sink, tasks, exchange)).map(drop)
}

/// All rows in one batch.
pub(crate) fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> RecordBatch {
    concat_batches(schema, batches).unwrap()
}

/// A file of text that is read with the options' other settings as they are.
pub(crate) fn read_file(
    folder: &Path,
    name: &str,
    content: impl AsRef<[u8]>,
) -> Result<RecordBatch, String> {
    std::fs::write(folder.join(name), content).unwrap();
    read_options(folder, FileSourceOptions::new(name))
}

pub(crate) fn read_options(
    folder: &Path,
    options: FileSourceOptions,
) -> Result<RecordBatch, String> {
    let source = prepare(folder, options).map_err(|error| text(&error))?;
    let schema = source.schema();
    let batches = read(source, 1).map_err(|error| cause(&error))?;
    Ok(whole(&schema, &batches))
}

/// Rows as CSV without a header, nulls as `-`.
pub(crate) fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut bytes = Vec::new();
    let builder = arrow_csv::WriterBuilder::new().with_header(false);
    let mut writer = builder.with_null("-".into()).build(&mut bytes);
    writer.write(batch).unwrap();
    drop(writer);
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// `name type` of each column.
pub(crate) fn types(schema: &SchemaRef) -> Vec<String> {
    let fields = schema.fields().iter();
    fields
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect()
}
