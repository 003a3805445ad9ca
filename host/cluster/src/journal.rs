//! What the application manager has decided, so that the next one can go on.
//!
//! An entry is written, and on disk, before anything of it is carried out. It holds what a replay of the decision needs,
//! the state machine's new state, and the host's own tables after it, so the last entry alone is enough to take over; the
//! ones before are history.
//!
//! Terms and entries are fenced by create-if-absent: each is a file that must not exist yet. An application manager that
//! was overtaken finds its next entry taken and ends.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use forebay_plugin::{Action, Event, JobView, Moment};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::manager::Tables;

/// Layout of an entry. Another one is refused by name.
pub const FORMAT: u32 = 1;
/// First word of each file of the journal.
const MAGIC: &str = "forebay-journal";

/// One step of the application manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub number: u64,
    /// Term of its author.
    pub term: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What the state machine was asked and answered; absent where only the tables changed.
    pub decision: Option<DecisionRecord>,
    /// The state machine's state after this entry, in hexadecimal.
    #[serde(with = "hex::serde")]
    pub state: Vec<u8>,
    /// Everything that agents have told up to these numbers of their outboxes is in the tables, by agent id.
    pub outbox: BTreeMap<String, u64>,
    /// The host's view of the job after this entry's events and before its actions.
    pub tables: Tables,
}

/// A call of `decide`, complete enough to make it again. The state that went in is the one of the entry before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// SHA-256 of the component that answered.
    pub plugin: String,
    /// Clock, event number and seed.
    pub now: Moment,
    /// What it saw.
    pub view: JobView,
    /// Why it was called.
    pub events: Vec<Event>,
    /// Its word for where the job is.
    pub phase: String,
    /// Its reason.
    pub note: Option<String>,
    /// What it wants done; ids are `(now.event_number, position)`.
    pub actions: Vec<Action>,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {verb} `{path}` of the journal")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another application manager has gone on.
    #[error("another application manager has taken over: `{0}` is there already")]
    Fenced(PathBuf),
    /// Checksum or form is wrong.
    #[error("entry `{path}` of the journal is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In which way.
        reason: String,
    },
    /// A host of another version wrote it.
    #[error("entry `{path}` has journal format {found}, this host reads {FORMAT}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl JournalError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged { .. } => {
                Some("bring the file back from a copy; where there is none, run the job anew")
            }
            Self::Format { .. } => {
                Some("go on with the version of Forebay that wrote it, or run the job anew")
            }
            Self::File { .. } | Self::Fenced(_) => None,
        }
    }
}

/// Where entries live. One author at a time, fenced by term and by entry number.
pub trait Journal: Send {
    /// Takes the term; fails with [`JournalError::Fenced`] where somebody has it.
    fn claim_term(&mut self, term: u64, pid: u32) -> Result<(), JournalError>;
    /// The last whole entry.
    fn last(&self) -> Result<Option<Entry>, JournalError>;
    /// Adds the next entry. When this returns, it survives the machine.
    fn append(&mut self, entry: &Entry) -> Result<(), JournalError>;
}

/// The journal in a local folder: `terms/N` and `entries/NUMBER`.
pub struct LocalJournal {
    /// The term that this author has claimed; 0: none.
    term: u64,
    terms: PathBuf,
    entries: PathBuf,
}

impl LocalJournal {
    /// Opens the folder, making what is missing.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let journal = Self {
            term: 0,
            terms: folder.join("terms"),
            entries: folder.join("entries"),
        };
        for path in [&journal.terms, &journal.entries] {
            fs::create_dir_all(path).map_err(|source| file_error("write", path, source))?;
        }
        Ok(journal)
    }

    fn term_file(&self, term: u64) -> PathBuf {
        self.terms.join(term_name(term))
    }

    /// The newest term that anybody has claimed; 0 where there is no journal yet.
    pub fn last_term(folder: &Path) -> Result<u64, JournalError> {
        let terms = folder.join("terms");
        let entries = match fs::read_dir(&terms) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(|source| file_error("read", &terms, source))?,
        };
        let number = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse::<u64>().ok()
        };
        Ok(entries.filter_map(number).max().unwrap_or_default())
    }

    /// Process of whoever claimed the newest term; absent where there is no journal yet.
    pub fn last_author(folder: &Path) -> Result<Option<u32>, JournalError> {
        let term = Self::last_term(folder)?;
        if term == 0 {
            return Ok(None);
        }
        let path = folder.join("terms").join(term_name(term));
        let text = fs::read_to_string(&path).map_err(|source| file_error("read", &path, source))?;
        Ok(text.trim().parse().ok())
    }

    /// Every entry of the journal in this folder, oldest first, read as it is asked for. Numbers have no gaps.
    pub fn entries(
        folder: &Path,
    ) -> Result<impl Iterator<Item = Result<Entry, JournalError>>, JournalError> {
        let files = files(&folder.join("entries"))?;
        Ok((1..).zip(files).map(|(number, path)| {
            let entry = read(&path)?;
            if entry.number == number {
                Ok(entry)
            } else {
                Err(damaged(&path, &format!("entry {number} is missing")))
            }
        }))
    }
}

/// The files of all entries, oldest first.
fn files(entries: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let failed = |source| file_error("read", entries, source);
    let mut files = fs::read_dir(entries)
        .map_err(failed)?
        .map(|file| file.map(|file| file.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    Ok(files)
}

impl Journal for LocalJournal {
    fn claim_term(&mut self, term: u64, pid: u32) -> Result<(), JournalError> {
        create(&self.term_file(term), format!("{pid}\n").as_bytes())?;
        self.term = term;
        Ok(())
    }

    fn last(&self) -> Result<Option<Entry>, JournalError> {
        files(&self.entries)?
            .pop()
            .map(|path| read(&path))
            .transpose()
    }

    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        // One that slept while another took over must not add to what that one reads.
        let newer = self.term_file(self.term + 1);
        if newer.exists() {
            return Err(JournalError::Fenced(newer));
        }
        let path = self.entries.join(format!("{:010}.json", entry.number));
        create(&path, &encode(&path, entry)?)
    }
}

fn read(path: &Path) -> Result<Entry, JournalError> {
    let content = fs::read(path).map_err(|source| file_error("read", path, source))?;
    decode(path, &content)
}

fn term_name(term: u64) -> String {
    format!("{term:08}")
}

/// Creates a file with this content, whole and on disk, or fails because it is there: written under another name first,
/// then linked, so that nobody ever sees half of it.
fn create(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    let failed = |source| file_error("write", path, source);
    let beside = path.with_extension(format!("partial-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside).map_err(failed)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(JournalError::Fenced(path.into()))
        }
        Err(error) => Err(failed(error)),
        Ok(()) => sync_parent(path).map_err(failed),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// `forebay-journal FORMAT SHA256`, line end, the entry as JSON.
fn encode(path: &Path, entry: &Entry) -> Result<Vec<u8>, JournalError> {
    let body = serde_json::to_vec(entry).map_err(|error| damaged(path, &error.to_string()))?;
    let mut content =
        format!("{MAGIC} {FORMAT} {}\n", hex::encode(Sha256::digest(&body))).into_bytes();
    content.extend(body);
    Ok(content)
}

fn decode(path: &Path, content: &[u8]) -> Result<Entry, JournalError> {
    let end = content
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| damaged(path, "it has no header"))?;
    let (header, body) = (&content[..end], &content[end + 1..]);
    let header =
        std::str::from_utf8(header).map_err(|_| damaged(path, "its header is not text"))?;
    let words: Vec<&str> = header.split(' ').collect();
    let [MAGIC, format, checksum] = words[..] else {
        return Err(damaged(path, "its header is not a journal's"));
    };
    let format: u32 = format
        .parse()
        .map_err(|_| damaged(path, "its format is not a number"))?;
    if format != FORMAT {
        return Err(JournalError::Format {
            path: path.into(),
            found: format,
        });
    }
    if checksum != hex::encode(Sha256::digest(body)) {
        return Err(damaged(
            path,
            "its checksum does not fit: it was cut or changed",
        ));
    }
    serde_json::from_slice(body).map_err(|error| damaged(path, &error.to_string()))
}

fn damaged(path: &Path, reason: &str) -> JournalError {
    JournalError::Damaged {
        path: path.into(),
        reason: reason.into(),
    }
}

fn file_error(verb: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::File {
        verb,
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        Entry {
            number,
            term: 1,
            time_ms: 7,
            decision: None,
            state: vec![1, 2, 255],
            outbox: BTreeMap::from([("agent".into(), 3)]),
            tables: Tables::default(),
        }
    }

    #[test]
    fn the_last_entry_comes_back_and_nobody_writes_it_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = LocalJournal::open(folder.path()).unwrap();
        assert_eq!(journal.last().unwrap(), None);
        journal.append(&entry(1)).unwrap();
        journal.append(&entry(2)).unwrap();
        assert_eq!(journal.last().unwrap(), Some(entry(2)));
        assert!(matches!(
            journal.append(&entry(2)),
            Err(JournalError::Fenced(_))
        ));
    }

    #[test]
    fn a_term_belongs_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = LocalJournal::open(folder.path()).unwrap();
        journal.claim_term(1, 10).unwrap();
        let mut other = LocalJournal::open(folder.path()).unwrap();
        assert!(matches!(
            other.claim_term(1, 11),
            Err(JournalError::Fenced(_))
        ));
        other.claim_term(2, 11).unwrap();
    }

    #[test]
    fn damage_is_named() {
        let path = Path::new("entry.json");
        let whole = encode(path, &entry(1)).unwrap();
        assert_eq!(decode(path, &whole).unwrap(), entry(1));
        for cut in 0..whole.len() {
            assert!(decode(path, &whole[..cut]).is_err(), "cut at {cut}");
        }
        let other = String::from_utf8(whole).unwrap().replacen(
            &format!("{MAGIC} {FORMAT}"),
            "forebay-journal 9",
            1,
        );
        assert!(matches!(
            decode(path, other.as_bytes()),
            Err(JournalError::Format { found: 9, .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn foreign_bytes_give_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            assert!(decode(Path::new("x"), &bytes).is_err());
        }
    }
}
