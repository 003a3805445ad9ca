//! A Python process as a node of a job, of which this program is both agent and host: nothing else stands between the two.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use forebay_channel::{Channel, Columns, Descriptors, HostEnd, Setting};
use forebay_protocol::node::v1::{Down, Up, Welcome, down, up};
use forebay_protocol::{Decoder, PROTOCOL_VERSION, read_frame, write_frame};
use forebay_test_support::environment;
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::Value;

/// An interpreter has started by then.
const HELLO: Duration = Duration::from_mins(1);

/// The script runs; what it prints in the end is JSON.
pub(crate) struct Node {
    pub(crate) host: HostEnd,
    process: Child,
    /// Open for as long as the node lives: it takes its end for a wish to stop.
    _agent: UnixStream,
}

impl Node {
    /// Runs Python of an environment so, as a node that is fed.
    pub(crate) fn start(
        python: &str,
        arguments: &[&str],
        setting: Setting,
        results: Option<&Columns>,
    ) -> Result<Self> {
        let mut channel = Channel::new(setting)?;
        if let Some(results) = results {
            channel = channel.with_results(&results.encode()?);
        }
        let (host, Descriptors(descriptors)) = channel.begin(1)?;
        let (mut agent, other) = UnixStream::pair()?;
        let control = OwnedFd::from(other);
        for descriptor in descriptors.iter().chain([&control]) {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let numbers = descriptors
            .each_ref()
            .map(|one| one.as_raw_fd().to_string());
        let process = Command::new(environment(python).join("bin/python"))
            .args(arguments)
            .env("FOREBAY_CHANNEL", numbers.join(","))
            .env("FOREBAY_NODE_FD", control.as_raw_fd().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        drop((descriptors, control));
        welcome(&mut agent)?;
        Ok(Self {
            host,
            process,
            _agent: agent,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it prints; waits for its end.
    pub(crate) fn printed(mut self) -> Result<Value> {
        let mut text = String::new();
        let mut stdout = self.process.stdout.take().context("it is piped")?;
        stdout.read_to_string(&mut text)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the script of a node failed ({status})");
        serde_json::from_str(&text).with_context(|| format!("a script printed `{text}`"))
    }
}

/// Answers the hello of an interpreter that has started.
fn welcome(agent: &mut UnixStream) -> Result<()> {
    agent.set_read_timeout(Some(HELLO))?;
    let hello: Option<Up> = read_frame(agent, &mut Decoder::default())?;
    let Some(up::Message::Hello(hello)) = hello.and_then(|up| up.message) else {
        anyhow::bail!("a node said something else than hello");
    };
    let welcome = Welcome {
        protocol: PROTOCOL_VERSION,
        host_version: hello.package_version,
        job: "bench".into(),
        run: "bench-1".into(),
        role: "worker".into(),
        attempt: 1,
        output: ".".into(),
        ..Welcome::default()
    };
    let down = Down {
        message: Some(down::Message::Welcome(welcome)),
    };
    write_frame(agent, &down).context("the node has hung up")
}
