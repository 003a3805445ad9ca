//! What the interface has and this host cannot do yet: valid in a decision, and refused by name.

use crate::types::Action;

/// The interface has it, this host does not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` is not supported by this host: {why}")]
pub struct Unsupported {
    /// As the WIT calls it.
    pub what: &'static str,
    /// What is missing.
    pub why: &'static str,
}

/// Why this host cannot carry out a valid action, if it cannot.
pub const fn unsupported(action: &Action) -> Option<Unsupported> {
    let why = match action {
        Action::Rewind(nodes) if !nodes.is_empty() => {
            "live nodes cannot go back: stop them, name none, and start them again"
        }
        Action::Resize(_) => "a running job keeps its size",
        _ => return None,
    };
    Some(Unsupported {
        what: action.kind(),
        why,
    })
}
