//! Makes the decisions of a recorded job again and says where they differ: a plugin that is a pure function decides the
//! same. Nothing is carried out, and the run is not touched.

use forebay_plugin::{CallError, PluginHost};
use serde::Serialize;
use serde_json::Value;

use crate::journal::{DecisionRecord, Entry, JournalError, LocalJournal};
use crate::manager::{LoadError, Mending};
use crate::run_directory::RunDirectory;
use crate::submission::{Submission, SubmissionError};

/// What making all decisions again has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Decisions that were made again.
    pub decisions: u64,
    /// The first one that differs; nothing was made again behind it.
    pub difference: Option<Difference>,
}

/// A decision that is another one this time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Entry of the journal.
    pub entry: u64,
    /// Its first event.
    pub event_number: u64,
    /// `phase`, `note`, `actions` or `state`; `answer` where there is none this time.
    pub field: &'static str,
    /// What the journal has.
    pub recorded: Value,
    /// What was decided now.
    pub now: Value,
}

/// Why decisions cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The submission cannot be read.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The plugins of the run cannot decide.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another component decided then.
    #[error("entry {entry} was decided by the component {theirs}; the run's is {ours}")]
    OtherPlugin {
        /// Which entry.
        entry: u64,
        /// SHA-256 of the component that decided.
        theirs: String,
        /// SHA-256 of the one that is there.
        ours: String,
    },
}

/// Makes every decision of the run again, until one differs.
pub fn verify(run: &RunDirectory, host: &PluginHost) -> Result<Replay, ReplayError> {
    let (job, submission) = Submission::load(run)?;
    let mending = Mending {
        run: run.clone(),
        job,
        submission,
        host: host.clone(),
    };
    let mut mended = mending.load(Vec::new())?;
    let (mut state, mut decisions) = (Vec::new(), 0);
    for entry in LocalJournal::entries(&run.journal())? {
        let entry = entry?;
        if entry.tables.replaced != mended.replaced {
            mended = mending.load(entry.tables.replaced.clone())?;
        }
        let machine = &mended.plugins.machine;
        if let Some(record) = &entry.decision {
            if record.plugin != mended.plugins.machine_sha256 {
                return Err(ReplayError::OtherPlugin {
                    entry: entry.number,
                    theirs: record.plugin.clone(),
                    ours: mended.plugins.machine_sha256,
                });
            }
            let spec = &mended.prepared.spec;
            let again = machine.decide(spec, &record.now, &record.view, &state, &record.events);
            let again = again.map(|decision| (*decision).clone());
            decisions += 1;
            if let Some((field, recorded, now)) = first_difference(record, &entry, again) {
                let difference = Difference {
                    entry: entry.number,
                    event_number: record.now.event_number,
                    field,
                    recorded,
                    now,
                };
                return Ok(Replay {
                    decisions,
                    difference: Some(difference),
                });
            }
        }
        state = entry.state;
    }
    Ok(Replay {
        decisions,
        difference: None,
    })
}

fn first_difference(
    record: &DecisionRecord,
    entry: &Entry,
    again: Result<forebay_plugin::Decision, CallError>,
) -> Option<(&'static str, Value, Value)> {
    let again = match again {
        Ok(again) => again,
        Err(error) => {
            let failure = crate::causes::chain(&error);
            return Some(("answer", Value::Null, failure.into()));
        }
    };
    let pairs = [
        ("phase", json(&record.phase), json(&again.phase)),
        ("note", json(&record.note), json(&again.note)),
        ("actions", json(&record.actions), json(&again.actions)),
        (
            "state",
            hex::encode(&entry.state).into(),
            hex::encode(&again.state).into(),
        ),
    ];
    pairs
        .into_iter()
        .find(|(_, recorded, again)| recorded != again)
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
