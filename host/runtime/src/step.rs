//! What is made of streams: transforms, and roles that are fed.

use std::sync::Arc;

use crate::role::Fed;
use crate::transforms::Planned;

/// What is made of streams.
pub(crate) enum Step {
    Transform(Box<Planned>),
    Role(Arc<Fed>),
}

impl Step {
    /// What others read it by.
    pub(crate) fn name(&self) -> &String {
        match self {
            Self::Transform(transform) => &transform.name,
            Self::Role(fed) => &fed.role,
        }
    }
}
