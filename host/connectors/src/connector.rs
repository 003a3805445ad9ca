//! What every source and every sink of this crate is.

use arrow_schema::SchemaRef;
use forebay_dataflow::{
    Cause, EventTime, Exchange, Graph, GraphError, Operator, Source, Stream, TaskContext,
};

/// Where rows come from, after it was checked.
pub trait SourceConnector: Send + Sync + 'static {
    /// The columns of its rows.
    fn schema(&self) -> SchemaRef;

    /// More tasks than this would have nothing to do; at least 1.
    fn tasks_max(&self) -> usize;

    /// Whether it ends by itself.
    fn is_bounded(&self) -> bool;

    /// One task of it. Called when a dataflow starts.
    ///
    /// # Errors
    ///
    /// It cannot be begun.
    fn open(&self, context: TaskContext) -> Result<Box<dyn Source>, Cause>;
}

/// Where rows go, after it was checked.
pub trait SinkConnector: Send + Sync + 'static {
    /// One task of it. Called when a dataflow starts.
    ///
    /// # Errors
    ///
    /// It cannot be begun.
    fn open(&self, context: TaskContext) -> Result<Box<dyn Operator>, Cause>;
}

/// Adds a source to a dataflow.
///
/// # Errors
///
/// See [`Graph::source`].
pub fn add_source(
    graph: &mut Graph,
    name: &str,
    tasks: usize,
    event_time: Option<EventTime>,
    connector: impl SourceConnector,
) -> Result<Stream, GraphError> {
    let schema = connector.schema();
    graph.source(name, tasks, schema, event_time, move |context| {
        connector.open(context)
    })
}

/// Adds a sink to a dataflow.
///
/// # Errors
///
/// See [`Graph::operator`].
pub fn add_sink(
    graph: &mut Graph,
    name: &str,
    tasks: usize,
    input: (&Stream, Exchange),
    connector: impl SinkConnector,
) -> Result<(), GraphError> {
    let building = graph.operator(name, tasks).input(input.0, input.1);
    building.sink(move |context| connector.open(context))
}
