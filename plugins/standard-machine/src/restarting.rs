//! What is done about a failure that may pass: the nodes that it takes down are stopped, waited for, placed anew where
//! their machine is lost, and started again. How many they are, their role policies say; and nodes with input come back all
//! together, because without checkpoints their input can only begin again as a whole.

use forebay_plugin_sdk::{
    Action, NodeId, NodePhase, RecoveryScope, RoleSpec, TimerOrder, VerdictKind, clip,
};
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::machine::{Step, Turn, ids};
use crate::situation::Node;
use crate::state::{Cause, Rank};

const TIMER: &str = "restart";
const PHASE: &str = "restarting";
/// So many restarts in a row without a step forward are enough, and so many moves of one node.
const FRUITLESS_MAX: u32 = 3;
/// No wait before a restart is longer, in milliseconds.
const BACK_OFF_MAX_MS: u64 = 60_000;

/// The restarts of a job so far, and the one that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restarts {
    done: u32,
    /// In a row, without progress of any node.
    fruitless: u32,
    /// Highest progress of a node at the last failure.
    progress: u64,
    moves: Vec<Moves>,
    pub(crate) current: Option<Restart>,
}

/// Of one node, in a row, without a step forward of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moves {
    role: String,
    index: u32,
    progress: u64,
    done: u32,
}

impl Restarts {
    /// The restart under way takes all nodes of this role, and their input begins again.
    pub(crate) fn begin_input_again(&self, role: &RoleSpec) -> bool {
        let current = self.current.as_ref();
        role.has_input && current.is_some_and(|restart| restart.takes_role(role))
    }

    fn moves_of(&self, node: &Node<'_>) -> u32 {
        let moves = self.moves.iter().find(|moves| moves.are_of(node));
        let in_vain = moves.filter(|moves| node.view.progress <= moves.progress);
        in_vain.map_or(0, |moves| moves.done)
    }

    fn count_move(&mut self, node: &Node<'_>) {
        let done = self.moves_of(node) + 1;
        self.moves.retain(|moves| !moves.are_of(node));
        self.moves.push(Moves {
            role: node.role.name.clone(),
            index: node.index,
            progress: node.view.progress,
            done,
        });
    }
}

impl Moves {
    fn are_of(&self, node: &Node<'_>) -> bool {
        self.index == node.index && self.role == node.role.name
    }
}

/// One restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restart {
    /// Why, for people.
    reason: String,
    /// Nothing is started before; milliseconds since 1970.
    due_ms: u64,
    /// All nodes but observers.
    whole_cluster: bool,
    roles: Vec<String>,
    /// Role and index of single ones.
    nodes: Vec<(String, u32)>,
    /// Some have new places: everybody has to learn the cluster again.
    is_moved: bool,
}

impl Restart {
    fn takes_role(&self, role: &RoleSpec) -> bool {
        self.whole_cluster || self.roles.contains(&role.name)
    }

    fn takes(&self, node: &Node<'_>) -> bool {
        self.takes_role(node.role)
            || self
                .nodes
                .iter()
                .any(|(role, index)| *role == node.role.name && *index == node.index)
    }

    fn widen(&mut self, node: &Node<'_>) {
        if self.takes(node) {
            return;
        }
        match node.recovery() {
            RecoveryScope::Node => self.nodes.push((node.role.name.clone(), node.index)),
            RecoveryScope::Role => self.roles.push(node.role.name.clone()),
            RecoveryScope::Cluster => self.whole_cluster = true,
        }
    }
}

impl Turn<'_> {
    /// The end of the job, or a restart if there may be one.
    pub(crate) fn fail_or_restart(&mut self, cause: &Cause) -> Step {
        let reason = match self.refusal(cause) {
            None => return self.begin_restart(cause),
            Some(why) => format!("{}{why}", cause.reason),
        };
        self.fail(Some(cause.node()), &reason)
    }

    /// What has failed may start again while the others go on. That restart need not wait for a first cause: a failure that
    /// comes later makes it wider, or ends the job, as it would without it.
    pub(crate) fn restarts_alone(&mut self, cause: &Cause) -> bool {
        let is_only_fed = self.situation.fed().count() == 1;
        let alone = |node: &Node<'_>| {
            let takes_others = node.role.has_input && !is_only_fed;
            node.failure().is_none() || node.recovery() == RecoveryScope::Node && !takes_others
        };
        cause.rank == Rank::Transient
            && self.situation.core().all(alone)
            && self.refusal(cause).is_none()
    }

    /// Why there is no restart, as an addition to the reason; nothing is added where none would ever have been.
    fn refusal(&mut self, cause: &Cause) -> Option<String> {
        let is_move = self.is_mere_move(cause);
        if cause.rank == Rank::Certain || self.limits.restarts == 0 && !is_move {
            let node = self.situation.node(&cause.node());
            let why = node
                .filter(|node| is_misplaced(node))
                .map(|_| format!("; other ports, {FRUITLESS_MAX} times in a row, have not helped"));
            return Some(why.unwrap_or_default());
        }
        let progress = self.situation.core().map(|node| node.view.progress).max();
        let progress = progress.unwrap_or_default();
        let restarts = &mut self.state.restarts;
        if progress > restarts.progress {
            (restarts.progress, restarts.fruitless) = (progress, 0);
        }
        if u64::from(restarts.done) >= self.limits.restarts && !is_move {
            return Some(format!("; after {} restarts none is left", restarts.done));
        }
        if restarts.fruitless >= FRUITLESS_MAX {
            return Some(format!(
                "; {FRUITLESS_MAX} restarts in a row have brought no progress"
            ));
        }
        None
    }

    /// Another program has taken its port: the place was bad, not the node, and the budget is for nodes. Not without end: it
    /// may be a port that the script itself has chosen.
    fn is_mere_move(&self, cause: &Cause) -> bool {
        let node = self
            .situation
            .node(&cause.node())
            .filter(|node| is_misplaced(node));
        node.is_some_and(|node| self.state.restarts.moves_of(node) < FRUITLESS_MAX)
    }

    fn begin_restart(&mut self, cause: &Cause) -> Step {
        let wait_ms = back_off_ms(&self.limits, self.state.restarts.fruitless, self.seed);
        let is_move = self.is_mere_move(cause);
        let node = self.situation.node(&cause.node());
        let restarts = &mut self.state.restarts;
        match node.filter(|_| is_move) {
            Some(node) => restarts.count_move(node),
            None => restarts.done += 1,
        }
        restarts.fruitless += 1;
        restarts.current = Some(Restart {
            reason: clip(&format!("{}: {}", cause.node(), cause.reason)),
            due_ms: self.now_ms.saturating_add(wait_ms),
            whole_cluster: false,
            roles: Vec::new(),
            nodes: Vec::new(),
            is_moved: false,
        });
        self.state.cause = None;
        self.restart()
    }

    /// Goes on with the restart that is under way.
    pub(crate) fn restart(&mut self) -> Step {
        let Some(mut restart) = self.state.restarts.current.take() else {
            return Step::new(PHASE);
        };
        for node in self
            .situation
            .core()
            .filter(|node| node.failure().is_some())
        {
            restart.widen(node);
        }
        self.take_all_fed(&mut restart);
        let is_down = self.take_down(&restart);
        let is_up = is_down && self.bring_up(&mut restart);
        let step = Step::because(PHASE, restart.reason.clone());
        self.state.restarts.current = Some(restart).filter(|_| !is_up);
        step
    }

    /// No node with input can go back in place: where one is taken, all are, also those that have read everything.
    fn take_all_fed(&self, restart: &mut Restart) {
        if !self.any_in(restart, |node| node.role.has_input) {
            return;
        }
        for node in self.situation.fed() {
            if !restart.takes_role(node.role) {
                restart.roles.push(node.role.name.clone());
            }
        }
    }

    /// Stops what still runs of it; whether nothing does any more.
    fn take_down(&mut self, restart: &Restart) -> bool {
        let live = |node: &&Node<'_>| restart.takes(node) && node.is_live();
        let all = ids(self.situation.core().filter(live));
        let running = |node: &&Node<'_>| live(node) && node.view.phase != NodePhase::Stopping;
        let running = ids(self.situation.core().filter(running));
        if !running.is_empty() {
            self.stop(running, u64::MAX);
        }
        all.is_empty()
    }

    /// Places what has no place, waits its time, and starts all of it; whether it is started.
    fn bring_up(&mut self, restart: &mut Restart) -> bool {
        if self.leaves_bad_places(restart) {
            return false;
        }
        let absent = self.ids_in(restart, |node| node.view.phase == NodePhase::Absent);
        if !absent.is_empty() {
            restart.is_moved = true;
            self.place(absent);
            return false;
        }
        if self.any_in(restart, |node| node.view.phase == NodePhase::Waiting) {
            return false;
        }
        if self.now_ms < restart.due_ms {
            let after_ms = restart.due_ms - self.now_ms;
            self.actions.push(Action::SetTimer(TimerOrder {
                id: TIMER.to_owned(),
                after_ms,
            }));
            return false;
        }
        if restart.is_moved || restart.whole_cluster {
            let placed = ids(self.situation.core().filter(|node| node.has_place()));
            self.actions.push(Action::Publish(placed));
        }
        if self.any_in(restart, |node| node.role.has_input) {
            self.actions.push(Action::Rewind(Vec::new()));
        }
        let nodes = self.ids_in(restart, |_| true);
        self.actions.push(Action::Start(nodes));
        true
    }

    /// Ports that another program has taken are given back, and others asked for.
    fn leaves_bad_places(&mut self, restart: &mut Restart) -> bool {
        let bad = self.ids_in(restart, is_misplaced);
        if bad.is_empty() {
            return false;
        }
        restart.is_moved = true;
        self.actions.push(Action::Release(bad.clone()));
        self.place(bad);
        true
    }

    fn ids_in(&self, restart: &Restart, wanted: impl Fn(&Node<'_>) -> bool) -> Vec<NodeId> {
        let nodes = self.situation.core();
        ids(nodes.filter(|node| restart.takes(node) && wanted(node)))
    }

    fn any_in(&self, restart: &Restart, wanted: impl Fn(&Node<'_>) -> bool) -> bool {
        let mut nodes = self.situation.core();
        nodes.any(|node| restart.takes(node) && wanted(node))
    }
}

fn is_misplaced(node: &Node<'_>) -> bool {
    node.view.phase == NodePhase::Exited && node.view.last == Some(VerdictKind::RetryElsewhere)
}

/// Twice as long after each fruitless one, and up to a quarter more, so that jobs which failed together do not come back
/// together.
fn back_off_ms(limits: &Limits, fruitless: u32, seed: u64) -> u64 {
    let doubled = limits
        .restart_back_off_ms
        .saturating_mul(1 << fruitless.min(16))
        .min(BACK_OFF_MAX_MS);
    doubled + doubled / 4 * (seed % 1_000) / 1_000
}
