//! Sends logs to the AM: from the offset that it holds, with a bounded part on its way, from disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use forebay_plugin::NodeId;
use tokio::sync::Notify;

use super::places::from_wire;
use crate::wire::cluster::{LogAcknowledge, LogChunk};
use crate::wire::to_wire;

/// Bytes of one attempt's log that may be on their way, unacknowledged.
const UNACKNOWLEDGED_MAX: u64 = 1 << 20;
/// Bytes of one message.
const CHUNK_BYTES_MAX: u64 = 64 << 10;

/// How far a capture has come; read by the agent's loop, which is woken by it.
#[derive(Debug)]
pub(super) struct LogProgress {
    written: AtomicU64,
    complete: AtomicBool,
    grew: Arc<Notify>,
}

impl LogProgress {
    pub(super) fn new(grew: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            written: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            grew,
        })
    }

    pub(super) fn advance(&self, written: u64) {
        self.written.store(written, Ordering::Release);
        self.grew.notify_one();
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
        self.grew.notify_one();
    }
}

#[derive(Debug)]
struct Shipment {
    path: PathBuf,
    progress: Arc<LogProgress>,
    acknowledged: u64,
    sent: u64,
    sent_last: bool,
}

impl Shipment {
    fn is_complete(&self) -> bool {
        self.progress.complete.load(Ordering::Acquire)
    }

    /// Bytes that may be sent now.
    fn ready(&self) -> u64 {
        let window = (self.acknowledged + UNACKNOWLEDGED_MAX).saturating_sub(self.sent);
        let unsent = self
            .progress
            .written
            .load(Ordering::Acquire)
            .saturating_sub(self.sent);
        unsent.min(window).min(CHUNK_BYTES_MAX)
    }

    fn has_next(&self) -> bool {
        self.ready() > 0 || (self.is_complete() && !self.sent_last && self.is_all_sent())
    }

    fn is_all_sent(&self) -> bool {
        self.sent == self.progress.written.load(Ordering::Acquire)
    }

    fn is_done(&self) -> bool {
        self.sent_last && self.acknowledged == self.progress.written.load(Ordering::Acquire)
    }

    /// The log is on this machine and mostly in memory, so it is read where we are.
    fn read(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.ready()).unwrap_or_default()];
        if content.is_empty() {
            return content;
        }
        let read =
            File::open(&self.path).and_then(|file| file.read_exact_at(&mut content, self.sent));
        if let Err(error) = read {
            tracing::warn!(path = %self.path.display(), %error, "a log cannot be read");
            content.fill(b'?');
        }
        content
    }
}

/// All logs that the AM does not have whole.
#[derive(Debug, Default)]
pub(super) struct Logs {
    shipments: BTreeMap<(NodeId, u32), Shipment>,
    /// The one that was sent last: each has its turn.
    last: Option<(NodeId, u32)>,
}

impl Logs {
    pub(super) fn add(
        &mut self,
        node: NodeId,
        attempt: u32,
        path: PathBuf,
        progress: Arc<LogProgress>,
    ) {
        let shipment = Shipment {
            path,
            progress,
            acknowledged: 0,
            sent: 0,
            sent_last: false,
        };
        self.shipments.insert((node, attempt), shipment);
    }

    pub(super) fn has_next(&self) -> bool {
        self.shipments.values().any(Shipment::has_next)
    }

    pub(super) fn next(&mut self) -> Option<LogChunk> {
        let key = self.next_key()?;
        let shipment = self.shipments.get_mut(&key)?;
        // Asked before the length: a log that completes in between gets one more, empty chunk.
        let complete = shipment.is_complete();
        let (offset, content) = (shipment.sent, shipment.read());
        shipment.sent += u64::try_from(content.len()).unwrap_or_default();
        shipment.sent_last = complete && shipment.is_all_sent();
        let chunk = LogChunk {
            node: Some(to_wire(&key.0)),
            attempt: key.1,
            offset,
            content,
            last: shipment.sent_last,
        };
        self.last = Some(key);
        Some(chunk)
    }

    fn next_key(&self) -> Option<(NodeId, u32)> {
        let has_next =
            |(key, shipment): (&(NodeId, u32), &Shipment)| shipment.has_next().then(|| key.clone());
        let after = self.last.iter().flat_map(|last| {
            let rest = (Bound::Excluded(last), Bound::Unbounded);
            self.shipments.range::<(NodeId, u32), _>(rest)
        });
        after.chain(&self.shipments).find_map(has_next)
    }

    pub(super) fn acknowledge(&mut self, message: &LogAcknowledge) {
        let Some(node) = from_wire(message.node.as_ref()) else {
            return;
        };
        let key = (node, message.attempt);
        let Some(shipment) = self.shipments.get_mut(&key) else {
            return;
        };
        shipment.acknowledged = shipment.acknowledged.max(message.offset.min(shipment.sent));
        if shipment.is_done() {
            let _kept_for_nobody = std::fs::remove_file(&shipment.path);
            self.shipments.remove(&key);
        }
    }

    /// A new connection, whose AM holds these parts of the logs.
    pub(super) fn resume(&mut self, held: &[LogAcknowledge]) {
        for shipment in self.shipments.values_mut() {
            (shipment.acknowledged, shipment.sent, shipment.sent_last) = (0, 0, false);
        }
        for part in held {
            let Some(node) = from_wire(part.node.as_ref()) else {
                continue;
            };
            let Some(shipment) = self.shipments.get_mut(&(node, part.attempt)) else {
                continue;
            };
            let offset = part
                .offset
                .min(shipment.progress.written.load(Ordering::Acquire));
            (shipment.acknowledged, shipment.sent) = (offset, offset);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shipments.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(offset: u64) -> LogAcknowledge {
        LogAcknowledge {
            node: Some(to_wire(&NodeId::new("worker", 0))),
            attempt: 1,
            offset,
        }
    }

    #[test]
    fn a_log_goes_out_in_bounded_parts_and_again_from_what_the_manager_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text: Vec<u8> = (0..3_000_000_u32)
            .map(|number| number.to_le_bytes()[0])
            .collect();
        std::fs::write(&path, &text).unwrap();
        let progress = LogProgress::new(Arc::default());
        progress.advance(3_000_000);
        let mut logs = Logs::default();
        logs.add(NodeId::new("worker", 0), 1, path.clone(), progress.clone());

        let sent: usize = std::iter::from_fn(|| logs.next())
            .map(|chunk| chunk.content.len())
            .sum();
        assert_eq!(sent, 1 << 20);
        logs.acknowledge(&held(1 << 20));
        assert!(logs.has_next());

        progress.complete();
        logs.resume(&[held(2_900_000)]);
        let chunks: Vec<LogChunk> = std::iter::from_fn(|| logs.next()).collect();
        assert_eq!(chunks[0].offset, 2_900_000);
        assert_eq!(
            chunks
                .iter()
                .flat_map(|chunk| chunk.content.clone())
                .collect::<Vec<u8>>(),
            text[2_900_000..]
        );
        assert!(chunks.last().unwrap().last);

        logs.acknowledge(&held(3_000_000));
        assert!(logs.is_empty() && !path.exists());
    }

    #[test]
    fn an_empty_log_ends_with_an_empty_chunk() {
        let progress = LogProgress::new(Arc::default());
        let mut logs = Logs::default();
        logs.add(
            NodeId::new("worker", 0),
            1,
            "/nowhere".into(),
            progress.clone(),
        );
        assert!(!logs.has_next());
        progress.complete();
        let chunk = logs.next().unwrap();
        assert!(chunk.last && chunk.content.is_empty());
        assert!(!logs.has_next());
    }
}
