//! Takes what a node writes: into its log on disk up to a cap, and the last of it into memory. Never keeps a node
//! waiting: what the disk does not take is dropped and counted.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::logs::LogProgress;
use super::tail::Tail;
use crate::wire::node::ScriptError;

/// Cap of a log where the AM states none.
const LOG_BYTES_DEFAULT: u64 = 64 << 20;
const READ_BYTES: usize = 64 * 1024;

/// What is left of an attempt's output.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// Bytes in the log.
    pub(super) log_bytes: u64,
    pub(super) last_lines: Vec<String>,
    pub(super) traceback: Option<ScriptError>,
}

/// The capture of one attempt, a task of its own.
#[derive(Debug)]
pub(super) struct Capture {
    processes_gone: oneshot::Sender<()>,
    task: JoinHandle<Captured>,
}

impl Capture {
    /// `log_bytes` 0: the default cap.
    pub(super) fn start(
        pipe: OwnedFd,
        log: PathBuf,
        log_bytes: u64,
        progress: Arc<LogProgress>,
    ) -> std::io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        let (processes_gone, gone) = oneshot::channel();
        let cap = if log_bytes == 0 {
            LOG_BYTES_DEFAULT
        } else {
            log_bytes
        };
        let task = tokio::spawn(async move {
            let mut sink = Sink::open(log, cap, progress).await;
            read_all(pipe, gone, &mut sink).await;
            sink.finish().await
        });
        Ok(Self {
            processes_gone,
            task,
        })
    }

    /// Call when no process of the node is left: takes what is still in the pipe, even if a stranger holds it open.
    pub(super) async fn finish(self) -> Captured {
        let _already_at_end = self.processes_gone.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn read_all(mut pipe: Receiver, mut gone: oneshot::Receiver<()>, sink: &mut Sink) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        tokio::select! {
            read = pipe.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => sink.take(&buffer[..count]).await,
            },
            _ = &mut gone => break,
        }
    }
    while let Ok(count @ 1..) = pipe.try_read(&mut buffer) {
        sink.take(&buffer[..count]).await;
    }
}

struct Sink {
    file: Option<File>,
    cap: u64,
    written: u64,
    dropped: u64,
    tail: Tail,
    progress: Arc<LogProgress>,
}

impl Sink {
    async fn open(path: PathBuf, cap: u64, progress: Arc<LogProgress>) -> Self {
        let file = File::create(&path).await;
        if let Err(error) = &file {
            tracing::warn!(path = %path.display(), %error, "a log cannot be written");
        }
        Self {
            file: file.ok(),
            cap,
            written: 0,
            dropped: 0,
            tail: Tail::default(),
            progress,
        }
    }

    async fn take(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        let room = usize::try_from(self.cap.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let (kept, rest) = bytes.split_at(room.min(bytes.len()));
        self.dropped += as_u64(rest.len());
        self.write(kept).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.try_write(bytes).await {
            self.written += as_u64(bytes.len());
            self.progress.advance(self.written);
        } else {
            // A hole would shift everything after it: the log ends here.
            self.file = None;
            self.cap = self.written;
            self.dropped += as_u64(bytes.len());
        }
    }

    async fn try_write(&mut self, bytes: &[u8]) -> bool {
        let Some(file) = &mut self.file else {
            return false;
        };
        let result = async {
            file.write_all(bytes).await?;
            file.flush().await
        };
        result
            .await
            .inspect_err(|error| tracing::warn!(%error, "a log cannot be written"))
            .is_ok()
    }

    async fn finish(mut self) -> Captured {
        if self.dropped > 0 {
            let marker = format!(
                "\nforebay: the log is full at {} bytes (`limits.log_bytes` of the role), {} bytes more were dropped\n",
                self.written, self.dropped
            );
            self.write(marker.as_bytes()).await;
        }
        self.progress.complete();
        let (last_lines, traceback) = self.tail.finish();
        Captured {
            log_bytes: self.written,
            last_lines,
            traceback,
        }
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
