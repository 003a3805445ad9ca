//! An attempt whose process is a [`Script`]: what the agent knows and does about it is the real [`Life`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_plugin::NodeId;

use super::life::{Effect, Input, Life};
use super::timers::Timer;
use super::{Asker, Order, Run, Told, never_ran};
use crate::agent::dataflow::{DataflowExecutor, FedAttempt};
use crate::agent::preparation::Unstarted;
use crate::agent::simulated::Scene;
use crate::agent::simulated::script::{Act, OnTerminate, Script, StartFault};
use crate::clock::milliseconds;
use crate::exec::{self, Ending, Status};
use crate::wire::cluster::{AttemptEnded, Start};
use crate::wire::node::{Cluster, Pong, Up, up};

/// From SIGKILL to the end of the process.
const KILL_TAKES_MS: u64 = 1;

/// One attempt of a node, from its order to its end.
pub(in crate::agent) struct Attempt {
    pub(in crate::agent) node: NodeId,
    pub(in crate::agent) number: u32,
    pub(in crate::agent) ports: Vec<u16>,
    pub(in crate::agent) pid: u32,
    pub(in crate::agent) is_ready: bool,
    pub(in crate::agent) is_stopping: bool,
    script: Script,
    start: Start,
    /// What feeds it, if somebody does.
    fed: Option<(Arc<dyn DataflowExecutor>, FedAttempt)>,
    state: State,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a handful live at once, in a test"
)]
enum State {
    Preparing { until_ms: u64, early: Vec<Order> },
    Running(Running),
    Over(AttemptEnded),
}

struct Running {
    life: Life,
    started_ms: u64,
    acts: VecDeque<(u64, Act)>,
    /// The process is gone; its parent still cleans up until then.
    reaped_at_ms: Option<u64>,
}

impl Attempt {
    pub(in crate::agent) fn begin(
        node: NodeId,
        ports: Vec<u16>,
        start: Start,
        script: Script,
        executor: Option<Arc<dyn DataflowExecutor>>,
        now_ms: u64,
    ) -> Self {
        let fed = start.fed_by.map(|fed_by| FedAttempt {
            node: node.clone(),
            attempt: start.attempt,
            fed_by,
        });
        Self {
            fed: executor.zip(fed),
            node,
            number: start.attempt,
            ports,
            pid: 0,
            is_ready: false,
            is_stopping: false,
            state: State::Preparing {
                until_ms: now_ms + script.prepares_ms,
                early: Vec::new(),
            },
            script,
            start,
        }
    }

    /// When something happens to it by itself.
    pub(in crate::agent) fn next_ms(&self, scene: &Scene<'_>) -> u64 {
        match &self.state {
            State::Preparing { until_ms, .. } => *until_ms,
            State::Over(_) => scene.now_ms,
            State::Running(running) => {
                let act = running.acts.front().map(|(at, _)| *at);
                let timer = running.life.timers.next().map(|at| scene.ms_of(at));
                let all = [act, timer, running.reaped_at_ms];
                all.into_iter().flatten().min().unwrap_or(u64::MAX)
            }
        }
    }

    pub(in crate::agent) fn stop(
        &mut self,
        by: Asker,
        grace: Duration,
        reason: &str,
        scene: &mut Scene<'_>,
    ) -> Vec<Told> {
        self.is_stopping = true;
        let order = Order::Stop {
            by,
            grace,
            reason: reason.to_owned(),
        };
        self.order(order, scene)
    }

    pub(in crate::agent) fn order(&mut self, order: Order, scene: &mut Scene<'_>) -> Vec<Told> {
        match &mut self.state {
            State::Preparing { .. } if matches!(order, Order::Stop { .. }) => {
                self.fail_to_start(&Unstarted::Stopped);
                Vec::new()
            }
            State::Preparing { early, .. } => {
                early.push(order);
                Vec::new()
            }
            State::Running(_) => self.take(Input::Order(order), scene),
            State::Over(_) => Vec::new(),
        }
    }

    /// Everything that is due by now, and how it ended, if it has.
    pub(in crate::agent) fn advance(&mut self, scene: &mut Scene<'_>) -> Vec<Told> {
        match &mut self.state {
            State::Preparing { until_ms, early } if *until_ms <= scene.now_ms => {
                let early = std::mem::take(early);
                self.launch(early, scene)
            }
            State::Preparing { .. } => Vec::new(),
            State::Over(ended) => {
                let mut ended = ended.clone();
                if let Some((executor, fed)) = &self.fed {
                    ended.input_left = executor.feed_ended(fed);
                }
                vec![Told::Ended(Box::new(ended))]
            }
            State::Running(_) => self.run(scene),
        }
    }

    /// The agent is gone: `node-exec` ends the process with it.
    pub(in crate::agent) fn die(&mut self, scene: &mut Scene<'_>) {
        if matches!(&self.state, State::Running(running) if running.reaped_at_ms.is_none()) {
            scene
                .witness
                .ended(&self.node, self.number, Ending::Signal(9), true);
        }
    }

    fn fail_to_start(&mut self, error: &Unstarted) {
        self.state = State::Over(never_ran(&self.node, self.number, error));
    }

    fn launch(&mut self, early: Vec<Order>, scene: &mut Scene<'_>) -> Vec<Told> {
        scene.witness.troubles += usize::from(self.script.start != StartFault::None);
        match self.script.start {
            StartFault::None => {}
            StartFault::Spawn => {
                self.fail_to_start(&Unstarted::Spawn("no process".into()));
                return Vec::new();
            }
            StartFault::PortTaken => {
                scene.witness.ports_taken += 1;
                self.fail_to_start(&Unstarted::PortTaken {
                    port: "main".into(),
                    number: self.ports.first().copied().unwrap_or_default(),
                });
                return Vec::new();
            }
        }
        if let Some((executor, fed)) = &self.fed
            && let Err(why) = executor.feed(fed)
        {
            self.fail_to_start(&Unstarted::Feed(why));
            return Vec::new();
        }
        let run = Run::default();
        let life = Life::new(&self.start, &run, "/output", Cluster::default());
        let now_ms = scene.now_ms;
        let acts = self.script.acts.drain(..);
        let acts = acts.map(|(after, act)| (now_ms + after, act)).collect();
        self.state = State::Running(Running {
            life,
            started_ms: now_ms,
            acts,
            reaped_at_ms: None,
        });
        let fed_by = self.start.fed_by;
        self.pid = scene.witness.started(&self.node, self.number, fed_by);
        let mut told = self.take(Input::Status(Status::Started { pid: self.pid }), scene);
        for order in early {
            told.extend(self.take(Input::Order(order), scene));
        }
        told
    }

    fn run(&mut self, scene: &mut Scene<'_>) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            let State::Running(running) = &mut self.state else {
                return told;
            };
            let now = scene.instant();
            if let Some(timer) = running.life.timers.take_due(now) {
                told.extend(self.take(Input::Due(timer), scene));
                if timer == Timer::Ping {
                    told.extend(self.say(up::Message::Pong(Pong { number: 0 }), scene));
                }
            } else if running
                .acts
                .front()
                .is_some_and(|(at, _)| *at <= scene.now_ms)
            {
                let act = running.acts.pop_front().map(|(_, act)| act);
                told.extend(act.map_or_else(Vec::new, |act| self.act(act, scene)));
            } else if running.reaped_at_ms.is_some_and(|at| at <= scene.now_ms) {
                self.reap();
            } else {
                return told;
            }
        }
    }

    fn act(&mut self, act: Act, scene: &mut Scene<'_>) -> Vec<Told> {
        match act {
            Act::Say(message) => {
                scene.witness.said(&self.node, self.number, &message);
                self.say(message, scene)
            }
            Act::End(ending) => self.end_process(ending, scene),
        }
    }

    fn say(&mut self, message: up::Message, scene: &mut Scene<'_>) -> Vec<Told> {
        let up = Up {
            message: Some(message),
        };
        self.take(Input::Up(up), scene)
    }

    fn end_process(&mut self, ending: Ending, scene: &mut Scene<'_>) -> Vec<Told> {
        let State::Running(running) = &mut self.state else {
            return Vec::new();
        };
        if running.reaped_at_ms.is_some() {
            return Vec::new();
        }
        running.acts.clear();
        running.reaped_at_ms = Some(scene.now_ms + self.script.reaped_after_ms);
        let ran_ms = scene.now_ms - running.started_ms;
        scene
            .witness
            .ended(&self.node, self.number, ending, self.is_stopping);
        self.take(Input::Status(Status::Ended { ending, ran_ms }), scene)
    }

    fn take(&mut self, input: Input, scene: &mut Scene<'_>) -> Vec<Told> {
        let State::Running(running) = &mut self.state else {
            return Vec::new();
        };
        let mut told = Vec::new();
        for effect in running.life.take(input, scene.instant()) {
            match effect {
                Effect::Tell(event) => told.push(Told::Event(Box::new(event))),
                Effect::Stalled(stalled) => told.push(Told::Event(Box::new(
                    crate::wire::cluster::outbox_entry::Event::Stalled(stalled),
                ))),
                Effect::Report(report) => told.push(Told::Report(report)),
                Effect::Press(order) => press(running, order, self.script.on_terminate, scene),
                Effect::Send(_) | Effect::HangUp(_) | Effect::KillParent => {}
            }
        }
        told
    }

    fn reap(&mut self) {
        let reaped = AttemptEnded::default();
        let State::Running(running) = std::mem::replace(&mut self.state, State::Over(reaped))
        else {
            return;
        };
        let ended = running.life.finish(false);
        self.state = State::Over(AttemptEnded {
            log_bytes: 1,
            ..ended
        });
    }
}

/// A signal for the process.
fn press(running: &mut Running, order: exec::Order, habit: OnTerminate, scene: &Scene<'_>) {
    if running.reaped_at_ms.is_some() {
        return;
    }
    let (after_ms, ending) = match (order, habit) {
        (exec::Order::Kill, _) => (KILL_TAKES_MS, Ending::Signal(9)),
        (exec::Order::Terminate, OnTerminate::Ignore) => return,
        (exec::Order::Terminate, OnTerminate::End { after_ms, ending }) => (after_ms, ending),
    };
    let at = scene.now_ms + after_ms;
    // What it would have done later it does not do any more; an earlier end of its own comes first.
    running.acts.retain(|(due, _)| *due <= at);
    running.acts.push_back((at, Act::End(ending)));
}

impl Scene<'_> {
    fn instant(&self) -> Instant {
        self.epoch + Duration::from_millis(self.now_ms)
    }

    fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        milliseconds(since)
    }
}
