//! Which row goes to which target.

use arrow_array::RecordBatch;

use super::rounds::Rounds;
use crate::error::Cause;
use crate::key;

/// Where a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    This(usize),
    /// Whoever has nothing to do when it goes.
    Idle,
}

/// The dealing of one exchange, at one task.
#[derive(Debug)]
pub(crate) enum Deal {
    /// All to the only target.
    One,
    Hash(Vec<usize>),
    Broadcast,
    RoundRobin {
        next: usize,
    },
    Rounds(Rounds),
    Credit {
        rows: usize,
    },
}

impl Deal {
    /// The batches that this one brings about, and their targets.
    pub(crate) fn deal(
        &mut self,
        batch: RecordBatch,
        targets: usize,
    ) -> Result<Vec<(Target, RecordBatch)>, Cause> {
        Ok(match self {
            Self::One => vec![(Target::This(0), batch)],
            Self::Broadcast => {
                let copy = |target| (Target::This(target), batch.clone());
                (0..targets).map(copy).collect()
            }
            Self::RoundRobin { next } => {
                let target = *next;
                *next = (target + 1) % targets;
                vec![(Target::This(target), batch)]
            }
            Self::Hash(columns) => these(key::split(&batch, columns, targets)?),
            Self::Rounds(rounds) => these(rounds.deal(batch)?),
            Self::Credit { rows } => {
                let part = |start| batch.slice(start, (*rows).min(batch.num_rows() - start));
                let parts = (0..batch.num_rows()).step_by(*rows).map(part);
                parts.map(|part| (Target::Idle, part)).collect()
            }
        })
    }

    /// What is left when the input has ended.
    pub(crate) fn rest(&mut self) -> Result<Vec<(Target, RecordBatch)>, Cause> {
        match self {
            Self::Rounds(rounds) => Ok(these(rounds.rest()?)),
            _ => Ok(Vec::new()),
        }
    }

    /// The rounds, where rows wait that came before what comes now.
    pub(crate) fn rounds(&mut self) -> Option<&mut Rounds> {
        match self {
            Self::Rounds(rounds) => Some(rounds),
            _ => None,
        }
    }

    pub(crate) fn snapshot(&self) -> Result<Vec<u8>, Cause> {
        match self {
            Self::RoundRobin { next } => Ok((*next as u64).to_le_bytes().to_vec()),
            Self::Rounds(rounds) => rounds.snapshot(),
            Self::One | Self::Hash(_) | Self::Broadcast | Self::Credit { .. } => Ok(Vec::new()),
        }
    }

    pub(crate) fn restore(&mut self, state: &[u8]) -> Result<(), Cause> {
        match self {
            Self::RoundRobin { next } => {
                *next = usize::try_from(u64::from_le_bytes(state.try_into()?))?;
            }
            Self::Rounds(rounds) => rounds.restore(state)?,
            Self::One | Self::Hash(_) | Self::Broadcast | Self::Credit { .. } => {}
        }
        Ok(())
    }
}

fn these(dealt: Vec<(usize, RecordBatch)>) -> Vec<(Target, RecordBatch)> {
    let this = |(target, batch)| (Target::This(target), batch);
    dealt.into_iter().map(this).collect()
}
