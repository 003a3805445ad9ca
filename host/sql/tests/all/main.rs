//! Queries over streams, held against DataFusion over the same rows.

mod queries;
mod refusals;
mod support;
