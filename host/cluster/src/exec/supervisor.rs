//! The loop of `node-exec`: orders, the agent's end, ended children and one deadline come in; signals go out.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid,
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{sleep, sleep_until};

use super::children::{ChildProcess, living_children, reap};
use super::{Ending, Order, Status};

/// From SIGTERM to SIGKILL when the agent is gone.
const AGENT_GONE_GRACE: Duration = Duration::from_secs(5);
/// From SIGTERM to SIGKILL for what a node leaves behind.
const ORPHAN_GRACE: Duration = Duration::from_secs(1);
/// A process may be born while its parent is being killed: look again after this.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// The signals that `node-exec` acts on; made before anything can cause one.
pub(super) struct Signals {
    child: SignalStream,
    terminate: SignalStream,
    interrupt: SignalStream,
    hang_up: SignalStream,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

enum Event {
    Order(Order),
    AgentGone,
    ChildChanged,
    KillNow,
}

pub(super) struct Supervisor {
    signals: Signals,
    orders: Lines<BufReader<OwnedReadHalf>>,
    statuses: OwnedWriteHalf,
    since: Instant,
    agent_is_gone: bool,
    node_has_ended: bool,
    kill_at: Option<Instant>,
    killing: bool,
    /// Outside of the node's group, and asked to end.
    asked: BTreeSet<i32>,
}

impl Supervisor {
    pub(super) fn new(channel: StdUnixStream, signals: Signals) -> io::Result<Self> {
        channel.set_nonblocking(true)?;
        let (reader, statuses) = UnixStream::from_std(channel)?.into_split();
        Ok(Self {
            signals,
            orders: BufReader::new(reader).lines(),
            statuses,
            since: Instant::now(),
            agent_is_gone: false,
            node_has_ended: false,
            kill_at: None,
            killing: false,
            asked: BTreeSet::new(),
        })
    }

    /// A few short lines in a node's life: they fit the socket's buffer, and an agent that is gone needs none.
    pub(super) fn tell(&self, status: Status) {
        if let Ok(line) = serde_json::to_string(&status) {
            // Not tokio's `try_write`: that one refuses until the runtime has looked at the socket once.
            let _unread = rustix::io::write(self.statuses.as_ref(), format!("{line}\n").as_bytes());
        }
    }

    /// Until neither the node nor anything that it started is left.
    pub(super) async fn watch(mut self, node: &Child) {
        let Some(pid) = i32::try_from(node.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        self.tell(Status::Started { pid: node.id() });
        loop {
            self.look_at_node(pid);
            // The node stays unreaped while anything is left: its number is that of the group.
            let rest = living_children(pid);
            if self.node_has_ended && rest.is_empty() {
                return reap(pid);
            }
            self.press(pid, &rest);
            match self.next_event().await {
                Event::Order(Order::Terminate) => terminate_group(pid),
                Event::Order(Order::Kill) | Event::KillNow => self.begin_to_kill(),
                Event::AgentGone => self.leave_with_agent(pid),
                Event::ChildChanged => {}
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let kill_at = self.kill_at.map(Into::into);
        tokio::select! {
            line = self.orders.next_line(), if !self.agent_is_gone => order(line),
            _ = self.signals.child.recv() => Event::ChildChanged,
            _ = self.signals.terminate.recv() => Event::AgentGone,
            _ = self.signals.interrupt.recv() => Event::AgentGone,
            _ = self.signals.hang_up.recv() => Event::AgentGone,
            () = sleep_until(kill_at.unwrap_or_else(tokio::time::Instant::now)), if kill_at.is_some() => Event::KillNow,
            () = sleep(KILL_AGAIN), if self.killing => Event::KillNow,
        }
    }

    fn look_at_node(&mut self, node: Pid) {
        if self.node_has_ended {
            return;
        }
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(Some(status)) = waitid(WaitId::Pid(node), look) {
            self.node_has_ended = true;
            self.tell(Status::Ended {
                ending: ending(&status),
                ran_ms: elapsed_ms(self.since),
            });
            terminate_group(node);
            self.kill_within(ORPHAN_GRACE);
        }
    }

    fn leave_with_agent(&mut self, node: Pid) {
        self.agent_is_gone = true;
        terminate_group(node);
        self.kill_within(AGENT_GONE_GRACE);
    }

    fn kill_within(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn begin_to_kill(&mut self) {
        self.killing = true;
        self.kill_at = None;
    }

    /// Ends what is to end: everything when killing, else the orphans of a node that has ended, each asked once.
    fn press(&mut self, node: Pid, rest: &[ChildProcess]) {
        if self.killing {
            let _empty = kill_process_group(node, Signal::KILL);
            // It may have left its own group; it is not reaped yet, so the number is still its own.
            let _ended = kill_process(node, Signal::KILL);
            for child in rest {
                let _gone = kill_process(child.pid, Signal::KILL);
            }
        } else if self.node_has_ended || self.agent_is_gone {
            for child in rest.iter().filter(|child| child.group != node) {
                if self.asked.insert(child.pid.as_raw_pid()) {
                    let _gone = kill_process(child.pid, Signal::TERM);
                }
            }
        }
    }
}

fn order(line: io::Result<Option<String>>) -> Event {
    let parsed = line
        .ok()
        .flatten()
        .and_then(|line| serde_json::from_str(&line).ok());
    parsed.map_or(Event::AgentGone, Event::Order)
}

fn terminate_group(node: Pid) {
    let _empty = kill_process_group(node, Signal::TERM);
}

fn ending(status: &WaitIdStatus) -> Ending {
    match status.terminating_signal() {
        Some(signal) => Ending::Signal(signal.unsigned_abs()),
        None => Ending::Code(status.exit_status().unwrap_or_default()),
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
