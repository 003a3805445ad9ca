//! Queries over streams, held against DataFusion over the same rows.

mod documentation;
mod queries;
mod refusals;
mod sorting;
mod support;
