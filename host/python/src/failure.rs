//! Why a feed does not go on, and what of it Python sees.

use std::error::Error as _;

use forebay_channel::{ColumnsError, Error};
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

/// Why a feed does not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The host is gone, or cannot be understood.
    #[error("{0}")]
    Connection(String),
    /// The host says that the input has failed, or what came is none of its columns.
    #[error("{0}")]
    Input(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let cause = error.source().map(|cause| format!(": {cause}"));
        let text = format!("the feed is over: {error}{}", cause.unwrap_or_default());
        Self::Connection(text)
    }
}

impl From<ColumnsError> for Failure {
    fn from(error: ColumnsError) -> Self {
        Self::Input(format!(
            "the feed is over, because it cannot be read: {error}"
        ))
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connection(text) => PyConnectionError::new_err(text),
            Failure::Input(text) => PyRuntimeError::new_err(text),
        }
    }
}
