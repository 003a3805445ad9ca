//! The native dataflow engine: operators that are joined by exchanges and run as tasks, event time, consistent cuts.
//!
//! It is a library that knows batches of rows ([`arrow_array::RecordBatch`]) and nothing of SQL, files, clusters or processes.
//! Begin with [`Graph`], which is made of [`Source`]s and [`Operator`]s, and [`Graph::start`].
//!
//! What flows are four kinds of [`Element`]s. An operator sees the rows of all its inputs, the least watermark of them, and
//! barriers only once they have come on every input. It never blocks its thread: it waits, and is woken.
//!
//! ```
//! use std::{sync::Arc, task::{Context, Poll}};
//! use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
//! use arrow_schema::{DataType, Field, Schema};
//! use forebay_dataflow::{Cause, Exchange, Graph, Operator, Options, Output, Source};
//!
//! struct Numbers(i64, i64);
//! impl Source for Numbers {
//!     fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Cause>> {
//!         let (from, to) = (self.0, self.1.min(self.0 + 1000));
//!         self.0 = to;
//!         let numbers = Arc::new(Int64Array::from_iter_values(from..to));
//!         Poll::Ready(Ok((from < to).then(|| RecordBatch::try_from_iter([("n", numbers as _)])).transpose()?))
//!     }
//!     fn snapshot(&mut self) -> Result<Vec<u8>, Cause> { Ok(self.0.to_le_bytes().to_vec()) }
//!     fn restore(&mut self, state: &[u8]) -> Result<(), Cause> { self.0 = i64::from_le_bytes(state.try_into()?); Ok(()) }
//! }
//!
//! struct Sum(i64);
//! #[async_trait::async_trait]
//! impl Operator for Sum {
//!     async fn process(&mut self, _: usize, batch: RecordBatch, _: &mut Output<'_>) -> Result<(), Cause> {
//!         self.0 += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
//!         Ok(())
//!     }
//!     async fn end(&mut self, _: &mut Output<'_>) -> Result<(), Cause> { Ok(println!("{}", self.0)) }
//! }
//!
//! let mut graph = Graph::new();
//! let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
//! let numbers = graph.source("numbers", 1, schema, None, |_| Ok(Numbers(0, 1_000_000)))?;
//! graph.operator("sum", 2).input(&numbers, Exchange::Hash(vec!["n".into()])).sink(|_| Ok(Sum(0)))?;
//! let progress = graph.start(&Options::default())?.wait()?;
//! assert_eq!(progress[1].rows_in, 1_000_000);
//! # Ok::<(), Cause>(())
//! ```

mod chain;
mod checkpoint;
mod description;
mod element;
mod error;
mod event_time;
mod exchange;
mod executor;
mod graph;
mod inputs;
pub mod key;
mod meeting;
mod operator;
pub mod operators;
mod progress;
mod running;
mod state;
mod task;

pub use self::chain::Output;
pub use self::checkpoint::Checkpoint;
pub use self::description::{Description, InputDescription, Part};
pub use self::element::{Element, Watermark};
pub use self::error::{Cause, Error, Failure, GraphError, sentence};
pub use self::exchange::{Bounds, Exchange, Rest, padding_of};
pub use self::executor::Clock;
pub use self::graph::{Building, Graph, Stream};
pub use self::meeting::Meeting;
pub use self::operator::{Cut, EventTime, Operator, Reads, Source, TaskContext};
pub use self::progress::{Counters, Progress};
pub use self::running::{Handle, Options, Running, Simulation};
pub use self::state::{batch_bytes, batch_of_bytes};
