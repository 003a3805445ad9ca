//! What one seed gives: a job, machines, the habits of processes, and what goes wrong when.

use std::collections::BTreeMap;
use std::fmt::Write;

use fastrand::Rng;
use forebay_plugin::{FinishRule, NodeId, RecoveryScope};

use crate::agent::simulated::script::{Habits, Kind, percent, short};
use crate::manager::effect::StopWay;

/// Faults come within this, in milliseconds.
const TROUBLE_WITHIN_MS: u64 = 30_000;

/// What the simulated node runner says of a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) nodes: u32,
    pub(super) finish: FinishRule,
    pub(super) recovery: RecoveryScope,
    pub(super) attaches: bool,
    /// The dataflow feeds it.
    pub(super) is_fed: bool,
}

/// An agent that takes part from the beginning.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) slots: u32,
    pub(super) joins_ms: u64,
}

/// Something that goes wrong, or that people do. Agents are named by their seat.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The stream breaks.
    Break(usize),
    /// No packet goes through for so long.
    CutOff(usize, u64),
    /// A machine stands still for so many milliseconds.
    FreezeMachine(usize, u64),
    KillAgent(usize),
    /// Its owner wants it back.
    StopAgent(usize),
    /// An agent that nobody expected.
    NewAgent,
    KillManager,
    /// The application manager stands still for so long, and another one takes over.
    Freeze(u64),
    /// The engine dies with its agent and the application manager; another one goes on after so long.
    KillEngine(u64),
    /// Somebody sets the wall clock of whoever starts next.
    StepClock(i64),
    /// The plugins fail for so many milliseconds; then somebody resumes the job.
    FailPlugins(u64),
    Stop(StopWay),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) roles: BTreeMap<String, Rule>,
    pub(super) restarts: u32,
    pub(super) has_dataflow: bool,
    pub(super) machines: Vec<Machine>,
    pub(super) awaited_agents: u32,
    pub(super) habits: Habits,
    /// In order of time.
    pub(super) faults: Vec<(u64, Fault)>,
    /// After so many effects each application manager dies; those behind live on.
    pub(super) deaths: Vec<u64>,
    /// A message is usually there within so many milliseconds.
    pub(super) latency_ms: u64,
    /// In percent: it takes up to a hundred times as long.
    pub(super) is_slow: u8,
    /// Nothing goes wrong at all.
    pub(super) is_calm: bool,
}

/// What the processes of a role are for.
pub(super) fn kind(role: &str) -> Kind {
    if matches!(role, "server" | "board") {
        Kind::Service
    } else {
        Kind::Worker
    }
}

impl Scenario {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let is_calm = percent(rng, 5);
        let has_dataflow = percent(rng, 40);
        let roles = if has_dataflow && percent(rng, 40) {
            BTreeMap::new()
        } else {
            roles(rng, has_dataflow)
        };
        let fed = fed(&roles);
        let endless_dataflow = has_dataflow && !is_calm && percent(rng, 30);
        let machines = machines(rng, &roles, is_calm);
        let joined = u32::try_from(machines.len()).unwrap_or(u32::MAX);
        let awaited_agents = if is_calm || percent(rng, 90) {
            joined
        } else {
            rng.u32(1..=joined + 1)
        };
        Self {
            restarts: [0, 0, 1, 2, 4][rng.usize(0..5)],
            awaited_agents,
            has_dataflow,
            habits: Habits {
                endless_dataflow,
                fed,
                ..habits(rng, is_calm)
            },
            faults: match (is_calm, endless_dataflow) {
                (true, _) => Vec::new(),
                (false, false) => faults(rng, machines.len()),
                (false, true) => ending(faults(rng, machines.len())),
            },
            deaths: if is_calm { Vec::new() } else { deaths(rng) },
            latency_ms: [2, 5, 50, 300][rng.usize(0..4)],
            // A message that takes seconds may be one too late.
            is_slow: if is_calm {
                0
            } else {
                [0, 0, 2, 10][rng.usize(0..4)]
            },
            is_calm,
            roles,
            machines,
        }
    }

    pub(super) fn job_file(&self) -> String {
        let mut text = format!(
            "name = \"job\"\n[limits]\nrestarts = {}\nplace_within = \"20 s\"\norphan_grace = \"25 s\"\nquarantine_grace = \"60 s\"\n",
            self.restarts
        );
        for (name, rule) in &self.roles {
            let nodes = rule.nodes;
            let role = format!(
                "[roles.{name}]\nnodes = {nodes}\ncommand = [\"true\"]\nlimits.stop_grace = \"4 s\"\n"
            );
            let _always_fits = write!(text, "{role}");
        }
        if self.roles.is_empty() {
            // The job file wants one; it is left out of the job.
            text.push_str("[roles.nobody]\ncommand = [\"true\"]\n");
        }
        text
    }

    /// There may be no room, or an agent that never comes.
    pub(super) fn is_tight(&self) -> bool {
        // Nobody waits for the others.
        let awaited = self.machines.iter().take(self.awaited_agents as usize);
        let slots: u32 = awaited.map(|machine| machine.slots).sum();
        let nodes: u32 = self.roles.values().map(|rule| rule.nodes).sum();
        let fed = self.habits.fed.len();
        let is_engine_tight = (self.machines[0].slots as usize) < fed;
        is_engine_tight || slots < nodes || self.machines.len() < self.awaited_agents as usize
    }
}

/// Nodes that the dataflow feeds.
fn fed(roles: &BTreeMap<String, Rule>) -> Vec<NodeId> {
    let fed = roles.iter().filter(|(_, rule)| rule.is_fed);
    fed.flat_map(|(name, rule)| (0..rule.nodes).map(|index| NodeId::new(name.clone(), index)))
        .collect()
}

fn roles(rng: &mut Rng, has_dataflow: bool) -> BTreeMap<String, Rule> {
    let mut roles = BTreeMap::new();
    let mut add = |rng: &mut Rng, name: &str, finish, most| {
        let scopes = [
            RecoveryScope::Node,
            RecoveryScope::Role,
            RecoveryScope::Cluster,
        ];
        let rule = Rule {
            nodes: rng.u32(1..=most),
            finish,
            recovery: scopes[rng.usize(0..3)],
            attaches: rng.bool(),
            is_fed: has_dataflow && kind(name) == Kind::Worker && percent(rng, 60),
        };
        roles.insert(name.to_owned(), rule);
    };
    let has_chief = percent(rng, 30);
    if has_chief {
        add(rng, "chief", FinishRule::First, 2);
    }
    if !has_chief || rng.bool() {
        add(rng, "worker", FinishRule::All, 4);
    }
    if percent(rng, 35) {
        add(rng, "server", FinishRule::Service, 2);
    }
    if percent(rng, 25) {
        add(rng, "board", FinishRule::Observer, 1);
    }
    roles
}

fn machines(rng: &mut Rng, roles: &BTreeMap<String, Rule>, is_calm: bool) -> Vec<Machine> {
    let nodes: u32 = roles.values().map(|rule| rule.nodes).sum();
    let count = rng.u32(1..=3);
    let enough = nodes.div_ceil(count) + rng.u32(0..=1);
    let slots = if is_calm || percent(rng, 90) {
        enough.max(1)
    } else {
        rng.u32(1..=3)
    };
    let names = ["a", "b", "c"].into_iter().take(count as usize);
    let machine = |name: &str| Machine {
        name: name.to_owned(),
        slots,
        joins_ms: short(rng, 2_000),
    };
    let mut machines: Vec<Machine> = names.map(machine).collect();
    // The first is the engine's, and has to have room for all that is fed.
    if is_calm || percent(rng, 90) {
        let fed = u32::try_from(fed(roles).len()).unwrap_or(u32::MAX);
        machines[0].slots = machines[0].slots.max(fed);
    }
    machines
}

fn habits(rng: &mut Rng, is_calm: bool) -> Habits {
    let mut some = |most: u8| {
        if is_calm || most == 0 {
            0
        } else {
            rng.u8(0..=most)
        }
    };
    let habits = Habits {
        fails: some(60),
        passes: some(100),
        does_not_start: some(10),
        has_no_port: some(12),
        says_done: some(40),
        finishes_job: some(8),
        signals: some(50),
        is_stubborn: some(40),
        lives_ms: 0,
        endless_dataflow: false,
        fed: Vec::new(),
    };
    Habits {
        lives_ms: [500, 5_000, 20_000][rng.usize(0..3)],
        ..habits
    }
}

fn faults(rng: &mut Rng, machines: usize) -> Vec<(u64, Fault)> {
    let mut faults: Vec<_> = (0..rng.u8(0..6))
        .map(|_| (short(rng, TROUBLE_WITHIN_MS), fault(rng, machines)))
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// What does not end by itself is stopped.
fn ending(mut faults: Vec<(u64, Fault)>) -> Vec<(u64, Fault)> {
    let orderly = StopWay::Orderly { deadline_ms: None };
    faults.push((TROUBLE_WITHIN_MS, Fault::Stop(orderly)));
    faults
}

fn fault(rng: &mut Rng, machines: usize) -> Fault {
    let seat = rng.usize(0..machines);
    match rng.u8(0..24) {
        0..=4 => Fault::Break(seat),
        5..=7 => Fault::CutOff(seat, short(rng, 40_000)),
        8 | 9 => Fault::KillAgent(seat),
        10 => Fault::StopAgent(seat),
        11 => Fault::NewAgent,
        12 | 13 => Fault::KillManager,
        14 | 15 => Fault::Freeze(short(rng, 30_000)),
        16 => Fault::KillEngine(away(rng)),
        17 | 18 => Fault::FreezeMachine(seat, short(rng, 20_000)),
        20 | 21 => Fault::FailPlugins(short(rng, 90_000)),
        19 => Fault::StepClock(rng.i64(-7_200_000..3_600_000)),
        _ => Fault::Stop(match rng.u8(0..9) {
            0..=2 => StopWay::Now,
            3 => StopWay::Broken,
            4..=6 => StopWay::Orderly { deadline_ms: None },
            _ => StopWay::Orderly {
                deadline_ms: Some(rng.u64(1..10_000)),
            },
        }),
    }
}

/// Until somebody goes on with a run whose engine has died.
fn away(rng: &mut Rng) -> u64 {
    let longest_ms = if percent(rng, 20) { 1_800_000 } else { 10_000 };
    500 + short(rng, longest_ms)
}

fn deaths(rng: &mut Rng) -> Vec<u64> {
    let deaths = [0, 0, 1, 1, 2, 4][rng.usize(0..6)];
    (0..deaths).map(|_| short(rng, 250)).collect()
}
