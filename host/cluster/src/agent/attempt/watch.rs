//! The process of an attempt and everything that is open for it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Interval, interval, sleep_until, timeout};

use super::life::{Effect, Input, Life};
use super::stacks::{self, Stacks};
use super::timers::Timer;
use super::{Assignment, Order, Teller, Told, Workshop};
use crate::agent::capture::{Capture, Captured};
use crate::agent::control::Control;
use crate::agent::dataflow::{DataflowExecutor, FedAttempt};
use crate::agent::leftovers::{self, Marks};
use crate::agent::memory::OutOfMemoryKills;
use crate::agent::node_program::install_hint;
use crate::agent::preparation::{Unstarted, spawn_error};
use crate::agent::readiness::is_listening;
use crate::exec::{self, Inheritance, Plan};
use crate::wire::cluster::outbox_entry::Event;
use crate::wire::cluster::program::Kind;
use crate::wire::cluster::{AttemptEnded, Start, attempt_ended};
use crate::wire::node::ScriptError;

/// Between two looks for a listener.
const LISTENER_POLL: Duration = Duration::from_millis(100);
/// Between two looks at how far a node is with its input.
const FEED_POLL: Duration = Duration::from_secs(1);
/// How long a socket of a dead node may stay open without a word.
const STRANGERS_WITHIN: Duration = Duration::from_secs(2);

enum Next {
    Input(Input),
    Nothing,
    /// `node-exec` is gone, and with it everything of the node, unless it was killed.
    Exit,
}

pub(super) struct Watch {
    life: Life,
    /// `node-exec`, until it is reaped.
    child: Option<Child>,
    statuses: Lines<BufReader<OwnedReadHalf>>,
    presses: OwnedWriteHalf,
    control: Option<Control>,
    capture: Capture,
    listener_poll: Interval,
    port: Option<u16>,
    /// What feeds it, if somebody does.
    feed: Option<(Arc<dyn DataflowExecutor>, FedAttempt)>,
    feed_poll: Interval,
    kills_before: OutOfMemoryKills,
    marks: Marks,
    stacks: Stacks,
    /// The interpreter of a script; absent for any other program.
    interpreter: Option<PathBuf>,
}

impl Watch {
    /// Starts `node-exec` and hands it the plan.
    pub(super) async fn begin(
        workshop: &Workshop,
        assignment: &Assignment,
        plan: Plan,
        channel_of_node: Vec<OwnedFd>,
    ) -> Result<Self, Unstarted> {
        let failed = Unstarted::Launcher;
        let (ours, channel) = StdUnixStream::pair().map_err(failed)?;
        let (control, control_of_node) = StdUnixStream::pair().map_err(failed)?;
        let (output, output_of_node) = io::pipe().map_err(failed)?;
        let inheritance = Inheritance {
            control: control_of_node.into(),
            feed: channel_of_node,
        };
        exec::send(&ours, &plan, &inheritance).map_err(failed)?;
        // What the node has, this process must not: or nobody would see the node hang up.
        drop(inheritance);
        let log = workshop.log_file(&assignment.node, assignment.start.attempt);
        let stacks = Stacks {
            log: log.clone(),
            progress: assignment.log.clone(),
        };
        let log_bytes = assignment.start.limits.unwrap_or_default().log_bytes;
        let output_inode = inode(&output).map_err(failed)?;
        let capture = Capture::start(output.into(), log, log_bytes, assignment.log.clone())
            .map_err(failed)?;
        let kills_before = OutOfMemoryKills::now();
        let child = workshop
            .launcher
            .launch(channel.into(), output_of_node.into())
            .await
            .map_err(failed)?;
        let (statuses, presses) = split(ours).map_err(failed)?;
        let life = Life::new(
            &assignment.start,
            &assignment.run,
            &workshop.output.to_string_lossy(),
            assignment.cluster.clone(),
        );
        let port = assignment.start.readiness.as_ref().and_then(listened_port);
        Ok(Self {
            life,
            child: Some(child),
            statuses,
            presses,
            control: Some(Control::open(control).map_err(failed)?),
            capture,
            listener_poll: interval(LISTENER_POLL),
            port: port.and_then(|name| assignment.place.port(name)),
            feed: workshop.dataflow.clone().zip(assignment.fed()),
            feed_poll: interval(FEED_POLL),
            kills_before,
            stacks,
            marks: Marks {
                output: output_inode,
                group: None,
                variables: plan.environment.into_iter().collect(),
            },
            interpreter: runs_script(&assignment.start).then(|| plan.program.into()),
        })
    }

    pub(super) async fn follow(
        mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        teller: &Teller,
    ) -> Result<AttemptEnded, Unstarted> {
        loop {
            match self.next(orders).await {
                Next::Input(input) => self.take(input, teller).await,
                Next::Nothing => {}
                Next::Exit => break,
            }
        }
        self.drain(teller).await;
        if !has_done_its_work(self.child.take()).await {
            leftovers::end(&self.marks).await;
        }
        self.finish().await
    }

    async fn next(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Next {
        let due = self.life.timers.next().map(Into::into);
        let awaits_listener = self.port.is_some() && self.life.awaited_port().is_some();
        tokio::select! {
            line = self.statuses.next_line() => status(line),
            up = next_up(&mut self.control) => self.up(up),
            Some(order) = orders.recv() => Next::Input(Input::Order(order)),
            _ = self.listener_poll.tick(), if awaits_listener => self.look_for_listener(),
            _ = self.feed_poll.tick(), if self.feed.is_some() => self.look_at_feed(),
            () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => self.due(),
        }
    }

    fn up(&mut self, up: Option<crate::wire::node::Up>) -> Next {
        if let Some(up) = up {
            return Next::Input(Input::Up(up));
        }
        self.control = None;
        Next::Input(Input::SpeakerGone)
    }

    fn look_for_listener(&self) -> Next {
        if self.port.is_some_and(is_listening) {
            Next::Input(Input::Listening)
        } else {
            Next::Nothing
        }
    }

    fn look_at_feed(&self) -> Next {
        let state = self
            .feed
            .as_ref()
            .map(|(executor, fed)| executor.feed_state(fed));
        state.map_or(Next::Nothing, |state| Next::Input(Input::Feed(state)))
    }

    fn due(&mut self) -> Next {
        let due = self.life.timers.take_due(Instant::now());
        let Some(timer) = due else {
            return Next::Nothing;
        };
        let asks_speaker = matches!(timer, Timer::Ping | Timer::NoPong | Timer::NoProgress);
        if asks_speaker && !self.life.speaker.is_some_and(stacks::lives) {
            return Next::Input(Input::SpeakerGone);
        }
        Next::Input(Input::Due(timer))
    }

    fn speaker(&self) -> Option<Pid> {
        stacks::speaker(self.life.speaker?, self.marks.group)
    }

    pub(super) async fn take(&mut self, input: Input, teller: &Teller) {
        for effect in self.life.take(input, Instant::now()) {
            self.act(effect, teller).await;
        }
        self.marks.group = self
            .life
            .pid
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    }

    async fn act(&mut self, effect: Effect, teller: &Teller) {
        match effect {
            Effect::Stalled(mut stalled) => {
                stalled.stacks = self.stacks.of(self.speaker()).await;
                let event = Event::Stalled(stalled);
                teller.tell(Told::Event(Box::new(event))).await;
            }
            Effect::Tell(event) => teller.tell(Told::Event(Box::new(event))).await,
            Effect::Report(report) => teller.tell(Told::Report(report)).await,
            Effect::Send(frame) => {
                if let Some(control) = &mut self.control {
                    control.send(frame);
                }
            }
            Effect::Press(order) => self.press(order).await,
            Effect::HangUp(reason) => {
                tracing::warn!(node = %teller.node, reason, "the control socket of a node is closed");
                self.control = None;
                self.life.hung_up();
            }
            Effect::KillParent => {
                tracing::warn!(node = %teller.node, "`node-exec` does not end its node and is killed");
                let _gone = self.child.as_mut().map(Child::kill);
            }
        }
    }

    /// One that does not read any more is found out by a timer.
    async fn press(&mut self, order: exec::Order) {
        if let Ok(line) = serde_json::to_string(&order) {
            let _gone = self.presses.write_all(format!("{line}\n").as_bytes()).await;
        }
    }

    /// What was said before the end and not heard yet. It is in the socket already; only a stranger that holds its
    /// other end makes this wait.
    async fn drain(&mut self, teller: &Teller) {
        while let Some(control) = &mut self.control
            && let Ok(Some(up)) = timeout(STRANGERS_WITHIN, control.next()).await
        {
            self.take(Input::Up(up), teller).await;
        }
    }

    async fn finish(self) -> Result<AttemptEnded, Unstarted> {
        let captured = self.capture.finish().await;
        if let Some(errno) = self.life.not_started() {
            return Err(spawn_error(errno));
        }
        if self.life.pid.is_none() {
            return Err(died_early(&captured));
        }
        let out_of_memory = self.life.was_killed_by_others()
            && OutOfMemoryKills::now().grew_since(self.kills_before);
        let refused = self.life.refused.as_ref();
        let refused_interpreter = refused.map(|refused| PathBuf::from(&refused.interpreter));
        let mut ended = self.life.finish(out_of_memory);
        let failed = ended.ending != Some(attempt_ended::Ending::Code(0));
        let error = ended.error.take();
        ended.error = error.or_else(|| captured.traceback.filter(|_| failed));
        let lacks_package = ended.error.as_ref().is_some_and(is_missing_package);
        let without_package = self.interpreter.filter(|_| lacks_package);
        ended.hint = refused_interpreter
            .or(without_package)
            .map_or_else(String::new, |interpreter| install_hint(&interpreter));
        ended.last_lines = captured.last_lines;
        ended.log_bytes = captured.log_bytes;
        Ok(ended)
    }
}

fn runs_script(start: &Start) -> bool {
    let kind = start
        .program
        .as_ref()
        .and_then(|program| program.kind.as_ref());
    matches!(kind, Some(Kind::Script(_) | Kind::Interpreter(_)))
}

fn inode(pipe: &io::PipeReader) -> io::Result<u64> {
    Ok(rustix::fs::fstat(pipe)?.st_ino)
}

fn split(channel: StdUnixStream) -> io::Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf)> {
    channel.set_nonblocking(true)?;
    let (reader, writer) = UnixStream::from_std(channel)?.into_split();
    Ok((BufReader::new(reader).lines(), writer))
}

/// Reaps a `node-exec` that is about to end: whether it has ended everything, as it does unless it was killed.
async fn has_done_its_work(child: Option<Child>) -> bool {
    let Some(mut child) = child else {
        return true;
    };
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    status.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}

/// The socket closes with `node-exec`, by whatever that ends; nothing else holds its other end.
fn status(line: io::Result<Option<String>>) -> Next {
    match line {
        Ok(Some(line)) => serde_json::from_str(&line)
            .map_or(Next::Nothing, |status| Next::Input(Input::Status(status))),
        Ok(None) | Err(_) => Next::Exit,
    }
}

fn listened_port(readiness: &crate::wire::cluster::Readiness) -> Option<&str> {
    match &readiness.kind {
        Some(crate::wire::cluster::readiness::Kind::Listening(name)) => Some(name),
        _ => None,
    }
}

/// Never ready where there is nothing to read from.
async fn next_up(control: &mut Option<Control>) -> Option<crate::wire::node::Up> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// `node-exec` ended before it could say anything: what it wrote tells why.
fn died_early(captured: &Captured) -> Unstarted {
    let last = captured
        .last_lines
        .last()
        .map_or("it wrote nothing", String::as_str);
    Unstarted::Spawn(format!("`node-exec` ended before the node ran: {last}"))
}

/// The one mistake whose cure is ours to name: the environment has no `forebay` package.
fn is_missing_package(error: &ScriptError) -> bool {
    error.kind == "ModuleNotFoundError" && error.message == "No module named 'forebay'"
}
