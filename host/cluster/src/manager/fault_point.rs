//! A death at a chosen moment, for tests: the application manager kills itself around the first action of a kind.

use std::fmt;
use std::str::FromStr;

use forebay_plugin::Action;
use rustix::process::{Signal, getpid, kill_process};

use crate::journal::Entry;

/// `before:ACTION` or `after:ACTION`, where `ACTION` is a word of the plugin interface such as `place`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPoint {
    side: Side,
    action: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The decision is on disk, and nothing of it was done.
    Before,
    /// All of it was done, and something happens next.
    After,
}

/// The text is not a fault point.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not `before:ACTION` or `after:ACTION`")]
pub struct NoFaultPoint(String);

impl FromStr for FaultPoint {
    type Err = NoFaultPoint;

    fn from_str(text: &str) -> Result<Self, NoFaultPoint> {
        let (side, action) = match text.split_once(':') {
            Some(("before", action)) => (Side::Before, action),
            Some(("after", action)) => (Side::After, action),
            _ => return Err(NoFaultPoint(text.into())),
        };
        Ok(Self {
            side,
            action: action.into(),
        })
    }
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(formatter, "{side}:{}", self.action)
    }
}

/// Watches for the fault point, if there is one.
pub(super) struct Fuse {
    point: Option<FaultPoint>,
    is_lit: bool,
}

impl Fuse {
    pub(super) fn new(point: Option<FaultPoint>) -> Self {
        Self {
            point,
            is_lit: false,
        }
    }

    /// The entry is on disk; what it decided is done next.
    pub(super) fn decided(&mut self, entry: &Entry) {
        let decision = entry.decision.iter();
        let mut actions = decision.flat_map(|decision| &decision.actions);
        let is_here = |action: &Action| {
            let point = self.point.as_ref();
            point.is_some_and(|point| point.action == action.kind())
        };
        self.is_lit |= actions.any(is_here);
        if self.is_lit && self.is_at(Side::Before) {
            die();
        }
    }

    /// Everything that was decided is done.
    pub(super) fn carried_out(&self) {
        if self.is_lit && self.is_at(Side::After) {
            die();
        }
    }

    fn is_at(&self, side: Side) -> bool {
        self.point.as_ref().is_some_and(|point| point.side == side)
    }
}

/// Nothing that the process could still do about it may happen.
fn die() {
    // A process can always kill itself.
    let _ = kill_process(getpid(), Signal::KILL);
}
