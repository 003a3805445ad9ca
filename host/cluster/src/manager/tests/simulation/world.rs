//! The simulated world: one thing happens after the other, on a clock that jumps from each to the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use fastrand::Rng;

use super::journal::MemoryJournal;
use super::judge::{ActionKey, LOST_AFTER_MS};
use super::network::{Down, Stream, Up, latency};
use super::people::{Call, Wish};
use super::plugins::{Breakdown, Plugins};
use super::process::{Mail, Manager};
use super::scenario::{Fault, Scenario, kind};
use crate::agent::connection::{BACK_OFF_MAX, BACK_OFF_MIN};
use crate::agent::simulated::script::{percent, short};
use crate::agent::simulated::witness::Witness;
use crate::agent::simulated::{Agent, Scene};
use crate::clock::milliseconds;
use crate::events::Summary;
use crate::manager::effect::{Input, Link, StopWay};
use crate::manager::tests::bench::START_MS;
use crate::wire::cluster::agent_message::Message as FromAgent;

/// A job that takes longer, or more steps, hangs.
const LONGEST_MS: u64 = 3 * 3_600_000;
const STEPS_MAX: usize = 200_000;
/// Until a side notices that the other is cut off, at most.
pub(super) const KEEP_ALIVE_MS: u64 = 15_000;

/// Where an agent works.
pub(super) struct Seat {
    pub(super) pid: u32,
    pub(super) id: String,
    pub(super) in_engine: bool,
    /// Absent once it has ended.
    pub(super) agent: Option<Agent>,
    pub(super) link: Option<Link>,
    connects_at_ms: u64,
    back_off_ms: u64,
    cut_off_until_ms: u64,
    /// Its machine stands still.
    pub(super) frozen_until_ms: u64,
}

/// See the module.
pub(super) struct World<'a> {
    pub(super) scenario: Scenario,
    pub(super) plugins: &'a Plugins,
    pub(super) breakdown: Breakdown,
    /// When the plugins work again.
    pub(super) mended_at_ms: Option<u64>,
    pub(super) rng: Rng,
    pub(super) epoch: Instant,
    pub(super) now_ms: u64,
    /// What the wall clock shows beside the truth.
    pub(super) clock_step_ms: i64,
    pub(super) witness: Witness,
    pub(super) journal: MemoryJournal,
    /// The last is in charge.
    pub(super) managers: Vec<Manager>,
    pub(super) next_term_at_ms: Option<u64>,
    pub(super) deaths: VecDeque<u64>,
    faults: VecDeque<(u64, Fault)>,
    pub(super) seats: Vec<Seat>,
    pub(super) streams: BTreeMap<Link, Stream>,
    /// What each action has ordered, and of whom.
    pub(super) orders: BTreeMap<ActionKey, String>,
    /// What the state machine has heard.
    pub(super) news: BTreeSet<String>,
    /// How often it has heard that the dataflow has ended.
    pub(super) ends_heard: usize,
    links: Link,
    pub(super) calls: Vec<Call>,
    pub(super) requests: u64,
    pub(super) was_stopped: bool,
    pub(super) was_broken: bool,
    /// A new engine comes with the next term.
    engine_is_dead: bool,
    pub(super) summary: Option<Summary>,
}

impl<'a> World<'a> {
    pub(super) fn new(seed: u64, plugins: &'a Plugins) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut scenario = Scenario::draw(&mut rng);
        let faults = std::mem::take(&mut scenario.faults);
        let deaths = std::mem::take(&mut scenario.deaths);
        let mut world = Self {
            plugins,
            breakdown: Breakdown::default(),
            mended_at_ms: None,
            rng,
            epoch: Instant::now(),
            now_ms: START_MS,
            clock_step_ms: 0,
            witness: Witness::default(),
            journal: MemoryJournal::default(),
            managers: Vec::new(),
            next_term_at_ms: Some(START_MS),
            deaths: deaths.into(),
            faults: faults
                .into_iter()
                .map(|(at, fault)| (START_MS + at, fault))
                .collect(),
            seats: Vec::new(),
            streams: BTreeMap::new(),
            orders: BTreeMap::new(),
            news: BTreeSet::new(),
            ends_heard: 0,
            links: 0,
            calls: Vec::new(),
            requests: 0,
            was_stopped: false,
            was_broken: false,
            engine_is_dead: false,
            summary: None,
            scenario,
        };
        world.witness.note(&format!("{:?}", world.scenario));
        for machine in world.scenario.machines.clone() {
            let in_engine = world.seats.is_empty();
            world.seat(
                &machine.name,
                machine.slots,
                in_engine,
                START_MS + machine.joins_ms,
            );
        }
        world
    }

    fn seat(&mut self, name: &str, slots: u32, in_engine: bool, connects_at_ms: u64) {
        let pid = u32::try_from(self.seats.len() + 1).unwrap_or(u32::MAX);
        let agent = Agent::new(name, pid, slots, in_engine, connects_at_ms);
        self.seats.push(Seat {
            pid,
            id: agent.id.clone(),
            in_engine,
            agent: Some(agent),
            link: None,
            connects_at_ms,
            back_off_ms: milliseconds(BACK_OFF_MIN),
            cut_off_until_ms: 0,
            frozen_until_ms: 0,
        });
    }

    /// Plays the job to its end, and until everybody has gone home.
    pub(super) fn play(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.witness.violations.is_empty() {
                return;
            }
            let next_ms = self.next_ms();
            if next_ms == u64::MAX || next_ms > START_MS + LONGEST_MS {
                break;
            }
            self.now_ms = self.now_ms.max(next_ms);
            self.witness.now_ms = self.now_ms - START_MS;
            self.step();
            if self.is_over() {
                return self.judge_end();
            }
        }
        let state = self
            .summary
            .as_ref()
            .map_or("has not ended", |_| "ended, and somebody stays");
        self.witness.violated(format!("the job hangs: it {state}"));
    }

    fn is_over(&self) -> bool {
        self.summary.is_some()
            && self.managers.iter().all(|manager| manager.is_gone)
            && self.seats.iter().all(|seat| seat.agent.is_none())
    }

    fn next_ms(&mut self) -> u64 {
        let streams = self.streams.values().filter_map(|stream| {
            let wakes_ms = self.seats[stream.seat].frozen_until_ms;
            let down = stream.down.next_ms().map(|at| at.max(wakes_ms));
            stream.up.next_ms().into_iter().chain(down).min()
        });
        let streams = streams.min();
        let managers = self.managers.iter().map(Manager::next_ms).min();
        let fault = self.faults.front().map(|(at, _)| *at);
        let hears = self.managers.last().is_some_and(|manager| !manager.is_gone);
        let calls = self.calls.iter().filter(|_| hears);
        let call = calls.map(|call| call.again_at_ms).min();
        let (term, mended) = (self.next_term_at_ms, self.mended_at_ms);
        let next = [streams, managers, fault, call, term, mended];
        let mut next = next.into_iter().flatten().min().unwrap_or(u64::MAX);
        for seat in 0..self.seats.len() {
            next = next.min(self.seat_next_ms(seat));
        }
        next
    }

    fn seat_next_ms(&mut self, seat: usize) -> u64 {
        let Some(agent) = self.seats[seat].agent.take() else {
            return u64::MAX;
        };
        let of_agent = agent.next_ms(&self.scene());
        let seat = &mut self.seats[seat];
        seat.agent = Some(agent);
        let next_ms = if seat.link.is_none() {
            of_agent.min(seat.connects_at_ms)
        } else {
            of_agent
        };
        next_ms.max(seat.frozen_until_ms)
    }

    fn scene(&mut self) -> Scene<'_> {
        Scene {
            now_ms: self.now_ms,
            epoch: self.epoch,
            rng: &mut self.rng,
            witness: &mut self.witness,
            habits: &self.scenario.habits,
            kind,
        }
    }

    fn step(&mut self) {
        self.deliver();
        for seat in 0..self.seats.len() {
            self.live(seat);
        }
        self.manage();
        self.begin_term();
        self.mend();
        self.call_again();
        if self
            .faults
            .front()
            .is_some_and(|(at, _)| *at <= self.now_ms)
            && let Some((_, fault)) = self.faults.pop_front()
        {
            self.strike(fault);
        }
        self.close_engine();
        self.streams.retain(|_, stream| !stream.is_over());
        self.judge_quiet_moment();
    }

    // ------------------------------------------------------------------------------------------------------ network

    /// One message of each stream whose time has come.
    fn deliver(&mut self) {
        let now_ms = self.now_ms;
        let links: Vec<Link> = self.streams.keys().copied().collect();
        for link in links {
            let Some(stream) = self.streams.get_mut(&link) else {
                continue;
            };
            let (seat, pid, term) = (stream.seat, stream.pid, stream.term);
            let up = stream.up.take_due(now_ms);
            let hears = self.seats[seat].frozen_until_ms <= now_ms;
            let down = hears.then(|| stream.down.take_due(now_ms)).flatten();
            if let Some(up) = up {
                self.deliver_up(link, term, up);
            }
            if let Some(down) = down
                && self.seats[seat].link == Some(link)
                && self.seats[seat].pid == pid
            {
                self.deliver_down(seat, down);
            }
        }
    }

    fn deliver_up(&mut self, link: Link, term: u64, up: Up) {
        let input = match up {
            Up::Message(FromAgent::Register(register)) => {
                Mail::Input(Input::Joined { link, register })
            }
            Up::Message(FromAgent::Log(chunk)) => Mail::Log(link, chunk),
            Up::Message(message) => Mail::Input(Input::Agent { link, message }),
            Up::Closed => Mail::Input(Input::Gone { link }),
        };
        let looks_at_ms = self.now_ms + short(&mut self.rng, 8);
        let mut managers = self.managers.iter_mut();
        if let Some(manager) = managers.find(|manager| manager.term == term && !manager.is_gone) {
            manager.post(input, looks_at_ms);
        }
    }

    fn deliver_down(&mut self, seat: usize, down: Down) {
        match down {
            Down::Message(message) => {
                self.act(seat, |agent, scene| agent.command(message, scene));
                // It hangs up on an application manager that was overtaken.
                let agent = self.seats[seat].agent.as_ref();
                match agent.map(|agent| agent.link) {
                    Some(Some(true)) => self.seats[seat].back_off_ms = milliseconds(BACK_OFF_MIN),
                    Some(None) => self.hang_up(seat),
                    _ => {}
                }
            }
            Down::Refused => {
                self.hang_up(seat);
                self.act(seat, Agent::refused);
            }
            Down::Closed => self.hang_up(seat),
        }
        self.pump(seat);
    }

    fn act(&mut self, seat: usize, deed: impl FnOnce(&mut Agent, &mut Scene<'_>)) {
        if let Some(mut agent) = self.seats[seat].agent.take() {
            self.witness.agent.clone_from(&agent.id);
            deed(&mut agent, &mut self.scene());
            self.seats[seat].agent = Some(agent);
        }
    }

    /// The agent's side of its stream is closed.
    fn hang_up(&mut self, seat: usize) {
        let now_ms = self.now_ms;
        let seat = &mut self.seats[seat];
        if let Some(stream) = seat
            .link
            .take()
            .and_then(|link| self.streams.get_mut(&link))
        {
            stream.up.close(now_ms, 0, Up::Closed);
            stream.down.tear(&mut self.rng, now_ms, 0, Down::Closed);
        }
        if let Some(agent) = &mut seat.agent {
            agent.disconnected(now_ms);
        }
        seat.connects_at_ms = now_ms + seat.back_off_ms;
        seat.back_off_ms = (2 * seat.back_off_ms).min(milliseconds(BACK_OFF_MAX));
    }

    /// Everything that an agent has to say goes on its way.
    fn pump(&mut self, seat: usize) {
        let now_ms = self.now_ms;
        let Seat { agent, link, .. } = &mut self.seats[seat];
        let stream = link.and_then(|link| self.streams.get_mut(&link));
        let (Some(agent), Some(stream)) = (agent, stream) else {
            return;
        };
        while let Some(message) = agent.next_message() {
            let takes_ms = latency(&mut self.rng, &self.scenario);
            stream.up.push(now_ms, takes_ms, Up::Message(message));
        }
    }

    /// An agent lives on: its processes, its stream, its end.
    fn live(&mut self, seat: usize) {
        let stands_still = self.seats[seat].frozen_until_ms > self.now_ms;
        if stands_still || self.seats[seat].agent.is_none() {
            return;
        }
        self.act(seat, Agent::advance);
        self.pump(seat);
        if self.seats[seat].link.is_none() && self.seats[seat].connects_at_ms <= self.now_ms {
            self.connect(seat);
        }
        let now_ms = self.now_ms;
        let agent = self.seats[seat].agent.as_mut();
        if agent.is_some_and(|agent| agent.may_end(now_ms)) {
            self.hang_up(seat);
            self.seats[seat].agent = None;
            let id = self.seats[seat].id.clone();
            self.witness.troubles += usize::from(self.summary.is_none());
            self.witness.note(&format!("{id}: gone"));
            self.miss_agent(seat);
        }
    }

    /// The engine cannot go on without its own agent.
    fn miss_agent(&mut self, seat: usize) {
        let is_missed = self.seats[seat].in_engine && self.scenario.has_dataflow;
        if is_missed && self.summary.is_none() {
            self.was_broken = true;
            self.call(Wish::Stop(StopWay::Broken));
        }
    }

    fn connect(&mut self, seat: usize) {
        let now_ms = self.now_ms;
        let is_cut_off = self.seats[seat].cut_off_until_ms > now_ms;
        // Who stands still has the listener too.
        let reaches_old = percent(&mut self.rng, 15);
        let mut there = self.managers.iter().filter(|manager| !manager.is_gone);
        let manager = if reaches_old {
            there.next()
        } else {
            there.next_back()
        };
        let term = manager.map(|manager| manager.term).filter(|_| !is_cut_off);
        let Some(term) = term else {
            if self.summary.is_some()
                && self.managers.iter().all(|manager| manager.is_gone)
                && !is_cut_off
            {
                // The engine has the listener and says farewell.
                self.act(seat, Agent::refused);
            }
            return self.hang_up(seat);
        };
        self.links += 1;
        let place = &mut self.seats[seat];
        place.link = Some(self.links);
        let mut stream = Stream {
            seat,
            pid: place.pid,
            term,
            up: super::network::Queue::default(),
            down: super::network::Queue::default(),
        };
        if let Some(agent) = &mut place.agent {
            let takes_ms = latency(&mut self.rng, &self.scenario);
            stream
                .up
                .push(now_ms, takes_ms, Up::Message(agent.connected()));
        }
        if manager_is_frozen(&self.managers, term) {
            stream.down.close(now_ms, KEEP_ALIVE_MS, Down::Closed);
        }
        self.streams.insert(self.links, stream);
    }

    /// The stream breaks; both sides notice within this.
    fn break_stream(&mut self, seat: usize, notice_ms: u64) {
        let now_ms = self.now_ms;
        let Some(stream) = self.seats[seat]
            .link
            .and_then(|link| self.streams.get_mut(&link))
        else {
            return;
        };
        let (above, below) = (
            short(&mut self.rng, notice_ms),
            short(&mut self.rng, notice_ms),
        );
        stream.up.tear(&mut self.rng, now_ms, above, Up::Closed);
        stream.down.tear(&mut self.rng, now_ms, below, Down::Closed);
    }

    // ------------------------------------------------------------------------------------------------------- faults

    fn strike(&mut self, fault: Fault) {
        if self.summary.is_some() {
            return;
        }
        self.witness.note(&format!("** {fault:?}"));
        match fault {
            Fault::Break(seat) => self.break_stream(seat, 500),
            Fault::CutOff(seat, ms) => {
                self.witness.troubles += usize::from(ms >= LOST_AFTER_MS);
                self.seats[seat].cut_off_until_ms = self.now_ms + ms;
                self.break_stream(seat, KEEP_ALIVE_MS);
            }
            Fault::FreezeMachine(seat, ms) => {
                // The engine stands still with its own.
                if !self.seats[seat].in_engine {
                    self.witness.troubles += 1;
                    self.seats[seat].frozen_until_ms = self.now_ms + ms;
                }
            }
            Fault::KillAgent(seat) => {
                // The engine's own dies with the engine.
                if self.seats[seat].in_engine {
                    return self.kill_engine(1_000);
                }
                self.kill_agent(seat);
            }
            Fault::StopAgent(seat) => {
                if !self.seats[seat].in_engine {
                    self.witness.troubles += 1;
                    self.act(seat, Agent::stopped);
                }
            }
            Fault::NewAgent => {
                // It may be taken for one that is awaited.
                self.witness.troubles += 1;
                let name = format!("n{}", self.seats.len());
                let slots = self.rng.u32(1..=4);
                self.seat(&name, slots, false, self.now_ms);
            }
            Fault::KillManager => self.kill_manager(),
            Fault::Freeze(ms) => self.freeze(ms),
            Fault::KillEngine(back_after_ms) => self.kill_engine(back_after_ms),
            Fault::StepClock(ms) => self.clock_step_ms = ms,
            Fault::Stop(way) => {
                self.was_stopped = true;
                self.was_broken |= way == StopWay::Broken;
                self.call(Wish::Stop(way));
            }
            Fault::FailPlugins(ms) => {
                self.was_broken = true;
                self.breakdown.set(true);
                self.mended_at_ms = Some(self.now_ms + ms);
            }
        }
    }

    fn kill_agent(&mut self, seat: usize) {
        if self.seats[seat].agent.is_some() {
            self.witness.troubles += 1;
            self.act(seat, Agent::die);
            self.break_stream(seat, 500);
            self.seats[seat].agent = None;
            self.seats[seat].link = None;
            self.seats[seat].frozen_until_ms = 0;
        }
    }

    /// With its agent and the application manager.
    fn kill_engine(&mut self, back_after_ms: u64) {
        if self.engine_is_dead {
            return;
        }
        self.kill_manager();
        for seat in 0..self.seats.len() {
            if self.seats[seat].in_engine {
                self.kill_agent(seat);
            }
        }
        if self.summary.is_none() {
            self.engine_is_dead = true;
            self.next_term_at_ms = Some(self.now_ms + back_after_ms);
        }
    }

    /// The engine that goes on with a run brings an agent of its own.
    pub(super) fn replace_engine(&mut self) {
        if std::mem::take(&mut self.engine_is_dead) {
            let machine = self.scenario.machines[0].clone();
            self.seat(&machine.name, machine.slots, true, self.now_ms);
        }
    }

    /// The engine ends its own agent once the job is over, and application managers that were overtaken and have nothing to do.
    fn close_engine(&mut self) {
        if self.summary.is_some() && self.managers.last().is_some_and(|last| last.is_gone) {
            for position in 0..self.managers.len() {
                if self.managers[position].is_idle() {
                    self.die(position);
                }
            }
        }
        let managers_are_gone = self.managers.iter().all(|manager| manager.is_gone);
        if self.summary.is_none() || !managers_are_gone {
            return;
        }
        for seat in 0..self.seats.len() {
            let agent = self.seats[seat].agent.as_ref();
            if self.seats[seat].in_engine && agent.is_some_and(|agent| !agent.is_ending()) {
                self.act(seat, Agent::stopped);
            }
        }
    }
}

fn manager_is_frozen(managers: &[Manager], term: u64) -> bool {
    let mut managers = managers.iter();
    managers.any(|manager| manager.term == term && manager.frozen_until_ms.is_some())
}
