//! Logs of nodes, as agents send them: one file an attempt. A chunk that was sent twice changes nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use crate::run_directory::RunDirectory;
use crate::wire::cluster::{LogAcknowledge, LogChunk};
use crate::wire::{node_id, to_wire};

/// A longer line is told in pieces.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The logs of one run.
pub(crate) struct LogStore {
    run: RunDirectory,
    logs: BTreeMap<(String, u32), Log>,
}

struct Log {
    file: File,
    length: u64,
    /// The line that is not at its end yet.
    line: Vec<u8>,
}

/// What a chunk did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// `worker:0`
    pub(crate) node: String,
    /// Bytes that the file holds now.
    pub(crate) length: u64,
    /// Lines that it completed.
    pub(crate) lines: Vec<String>,
    /// The log is complete.
    pub(crate) is_closed: bool,
}

impl LogStore {
    pub(crate) fn new(run: &RunDirectory) -> Self {
        Self {
            run: run.clone(),
            logs: BTreeMap::new(),
        }
    }

    /// How much there is of each log that is still coming: agents go on from there.
    pub(crate) fn held(&self) -> Vec<LogAcknowledge> {
        let held = self
            .logs
            .iter()
            .map(|((node, attempt), log)| LogAcknowledge {
                node: node
                    .parse()
                    .ok()
                    .map(|id: forebay_plugin::NodeId| to_wire(&id)),
                attempt: *attempt,
                offset: log.length,
            });
        held.collect()
    }

    /// Writes what is new of a chunk. One that leaves a gap is not written: the agent sends from the length it is told.
    pub(crate) fn store(&mut self, chunk: &LogChunk) -> io::Result<Stored> {
        let id = node_id(chunk.node.as_ref());
        let key = (id.to_string(), chunk.attempt);
        if !self.logs.contains_key(&key) {
            let log = Log::open(&self.run, &id, chunk.attempt)?;
            self.logs.insert(key.clone(), log);
        }
        let mut stored = Stored {
            node: key.0.clone(),
            ..Stored::default()
        };
        if let Some(log) = self.logs.get_mut(&key) {
            stored.lines = log.write(chunk)?;
            stored.length = log.length;
            stored.is_closed =
                chunk.last && log.length == chunk.offset.saturating_add(chunk.content.len() as u64);
            if stored.is_closed {
                stored.lines.extend(log.rest());
                self.logs.remove(&key);
            }
        }
        Ok(stored)
    }
}

impl Log {
    fn open(run: &RunDirectory, id: &forebay_plugin::NodeId, attempt: u32) -> io::Result<Self> {
        let path = run.node_log(&id.role, id.index, attempt);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            length,
            line: Vec::new(),
        })
    }

    fn write(&mut self, chunk: &LogChunk) -> io::Result<Vec<String>> {
        let known = self.length.saturating_sub(chunk.offset);
        let new = usize::try_from(known)
            .ok()
            .and_then(|known| chunk.content.get(known..))
            .unwrap_or_default();
        if chunk.offset > self.length || new.is_empty() {
            return Ok(Vec::new());
        }
        self.file.write_all_at(new, self.length)?;
        self.length += new.len() as u64;
        Ok(self.lines(new))
    }

    fn lines(&mut self, new: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in new {
            if *byte == b'\n' || self.line.len() >= LINE_BYTES_MAX {
                lines.extend(self.rest());
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        lines
    }

    /// What a terminal would show of the line: a carriage return begins it again.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let shown = line.strip_suffix(b"\r").unwrap_or(&line);
        let shown = shown
            .rsplit(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        (!line.is_empty()).then(|| String::from_utf8_lossy(shown).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::node::NodeId;

    fn chunk(offset: u64, content: &str) -> LogChunk {
        let node = Some(NodeId {
            role: "worker".into(),
            index: 0,
        });
        LogChunk {
            node,
            attempt: 1,
            offset,
            content: content.as_bytes().to_vec(),
            last: false,
        }
    }

    #[test]
    fn a_chunk_counts_once_and_a_gap_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path(), "job").unwrap();
        let mut store = LogStore::new(&run);
        assert_eq!(store.store(&chunk(0, "one\ntw")).unwrap().lines, ["one"]);
        assert_eq!(
            store.store(&chunk(0, "one\ntw")).unwrap().lines,
            Vec::<String>::new()
        );
        assert_eq!(store.store(&chunk(20, "later")).unwrap().length, 6);
        assert_eq!(
            store.store(&chunk(4, "two\n10%\r20%\r\n")).unwrap().lines,
            ["two", "20%"]
        );
        let last = LogChunk {
            last: true,
            ..chunk(17, "end")
        };
        let stored = store.store(&last).unwrap();
        assert_eq!(
            (stored.lines.as_slice(), stored.is_closed),
            (["end".to_owned()].as_slice(), true)
        );
        let text = std::fs::read_to_string(run.node_log("worker", 0, 1)).unwrap();
        assert_eq!(text, "one\ntwo\n10%\r20%\r\nend");
    }
}
