//! The thread that starts `node-exec` processes. A parent-death signal comes when the *thread* that forked ends, so this
//! one lives as long as the agent.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tokio::sync::oneshot;

/// Name of the hidden verb.
const VERB: &str = "node-exec";

struct Request {
    channel: OwnedFd,
    output: OwnedFd,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The thread's handle; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Launcher(mpsc::Sender<Request>);

impl Launcher {
    pub(super) fn start(executable: PathBuf) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("forebay-launcher".to_owned())
            .spawn(move || {
                for request in queue {
                    let _asker_gone =
                        request
                            .answer
                            .send(launch(&executable, request.channel, request.output));
                }
            })?;
        Ok(Self(requests))
    }

    /// `channel`: its standard input; `output`: what it and the node write into.
    pub(super) async fn launch(&self, channel: OwnedFd, output: OwnedFd) -> io::Result<Child> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the launcher thread is gone");
        self.0
            .send(Request {
                channel,
                output,
                answer,
            })
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn launch(executable: &Path, channel: OwnedFd, output: OwnedFd) -> io::Result<Child> {
    Command::new(executable)
        .arg(VERB)
        .env_clear()
        .stdin(channel)
        .stdout(output.try_clone()?)
        .stderr(Stdio::from(output))
        .process_group(0)
        .spawn()
}
