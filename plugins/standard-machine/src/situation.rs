//! The view of the job, read by the role policies.

use forebay_plugin_sdk::{
    DataflowPhase, FinishRule, JobSpec, JobView, NodeId, NodePhase, NodeView, PluginError,
    RecoveryScope, RoleSpec, VerdictKind,
};

use crate::restarting::Restarts;

/// All nodes of the job with their finish rules.
pub(crate) struct Situation<'a> {
    pub(crate) view: &'a JobView,
    nodes: Vec<Node<'a>>,
}

/// One node: what is asked of its role, and how it is.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) role: &'a RoleSpec,
    pub(crate) finish: FinishRule,
    recovery: RecoveryScope,
    pub(crate) index: u32,
    pub(crate) view: &'a NodeView,
    /// It has been sent the end of its input, which does not begin again.
    input_ended: bool,
    dataflow_runs: bool,
}

/// Why a node cannot do its part any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It should have served until the end of the job.
    ServiceEnded,
    /// It might succeed when started again.
    Transient,
    /// It would fail again.
    Certain,
    /// Its machine is gone.
    Lost,
    /// Somebody other than this machine stopped it.
    StoppedByOthers,
}

impl<'a> Situation<'a> {
    pub(crate) fn new(
        job: &'a JobSpec,
        view: &'a JobView,
        restarts: &Restarts,
    ) -> Result<Self, PluginError> {
        let mut nodes = Vec::new();
        let dataflow_runs = view.dataflow == DataflowPhase::Running;
        for role_view in &view.roles {
            let role = job.role(&role_view.role);
            let Some((role, policy)) = role.and_then(|role| Some((role, role.policy.as_ref()?)))
            else {
                let message = format!(
                    "role `{}` of the view has no policy in the job",
                    role_view.role
                );
                return Err(PluginError::new("no-policy", message));
            };
            let (finish, recovery) = (policy.finish, policy.recovery);
            let input_ended = role_view.input_ended && !restarts.begin_input_again(role);
            nodes.extend((0..).zip(&role_view.nodes).map(|(index, view)| Node {
                role,
                finish,
                recovery,
                index,
                view,
                input_ended,
                dataflow_runs,
            }));
        }
        Ok(Self { view, nodes })
    }

    /// The nodes that somebody waits for: all but observers.
    pub(crate) fn core(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes
            .iter()
            .filter(|node| node.finish != FinishRule::Observer)
    }

    /// The nodes whose end the job may wait for.
    pub(crate) fn finishers(&self) -> impl Iterator<Item = &Node<'a>> {
        self.core()
            .filter(|node| node.finish != FinishRule::Service)
    }

    pub(crate) fn observers(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes
            .iter()
            .filter(|node| node.finish == FinishRule::Observer)
    }

    /// The nodes that the dataflow feeds.
    pub(crate) fn fed(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter().filter(|node| node.role.has_input)
    }

    pub(crate) fn node(&self, id: &NodeId) -> Option<&Node<'a>> {
        self.nodes
            .iter()
            .find(|node| node.index == id.index && node.role.name == id.role)
    }

    /// The cluster has been published, or there is none to publish.
    pub(crate) fn is_published(&self) -> bool {
        self.view.generation > 0 || self.core().next().is_none()
    }

    /// The job's work is complete: the dataflow's, and that of all nodes whose end it waits for. Roles with the rule
    /// `first` decide alone where there are any.
    pub(crate) fn is_done(&self) -> bool {
        match self.view.dataflow {
            DataflowPhase::Running | DataflowPhase::Failed => false,
            DataflowPhase::Ended => self.finishers_are_done().unwrap_or(true),
            DataflowPhase::None => self.finishers_are_done().unwrap_or(self.nodes.is_empty()),
        }
    }

    /// `None`: there are no finishers.
    fn finishers_are_done(&self) -> Option<bool> {
        let first = self
            .finishers()
            .filter(|node| node.finish == FinishRule::First && node.index == 0);
        let all = self
            .finishers()
            .filter(|node| node.finish == FinishRule::All);
        all_finished(first).or_else(|| all_finished(all))
    }
}

fn all_finished<'a>(nodes: impl Iterator<Item = &'a Node<'a>>) -> Option<bool> {
    nodes.map(Node::has_finished).reduce(|all, one| all && one)
}

impl Node<'_> {
    pub(crate) fn id(&self) -> NodeId {
        NodeId::new(&self.role.name, self.index)
    }

    /// Who is started again with it.
    pub(crate) fn recovery(&self) -> RecoveryScope {
        self.recovery
    }

    /// It has a machine and ports; one that has finished may have lost them.
    pub(crate) fn has_place(&self) -> bool {
        !matches!(self.view.phase, NodePhase::Absent | NodePhase::Waiting)
    }

    /// A process of it exists.
    pub(crate) fn is_live(&self) -> bool {
        matches!(
            self.view.phase,
            NodePhase::Starting | NodePhase::Ready | NodePhase::Stopping
        )
    }

    /// It has a place where nothing has been started yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.view.phase == NodePhase::Placed && self.view.attempt == 0
    }

    /// All its input has been read, as far as its role is.
    pub(crate) fn has_read_all(&self) -> bool {
        self.role.has_input && self.input_ended
    }

    /// It has done its work: it said so, or its process ended well, or it was ended after it had read all its input.
    pub(crate) fn has_finished(&self) -> bool {
        let has_done_it = self.view.done
            || match self.ended_as() {
                Some(VerdictKind::Finished) => true,
                Some(VerdictKind::Stopped) => self.has_read_all(),
                _ => false,
            };
        has_done_it && !self.has_to_begin_again()
    }

    /// It is gone with the engine that fed it, and the dataflow begins again in the next engine: for this node too.
    fn has_to_begin_again(&self) -> bool {
        self.role.has_input && self.dataflow_runs && self.view.phase == NodePhase::Absent
    }

    fn ended_as(&self) -> Option<VerdictKind> {
        let ended = matches!(self.view.phase, NodePhase::Exited | NodePhase::Absent);
        self.view.last.filter(|_| ended)
    }

    /// Why it cannot do its part any more. Asked once the cluster is published: before that nobody has a part.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.has_finished() {
            let leaves = self.finish == FinishRule::Service && !self.view.done;
            return leaves.then_some(Failure::ServiceEnded);
        }
        match self.view.phase {
            NodePhase::Absent => Some(Failure::Lost),
            NodePhase::Exited => self.view.last.and_then(failure_of),
            _ => None,
        }
    }
}

fn failure_of(verdict: VerdictKind) -> Option<Failure> {
    match verdict {
        VerdictKind::Finished => None,
        VerdictKind::Retry | VerdictKind::RetryElsewhere => Some(Failure::Transient),
        VerdictKind::Fatal => Some(Failure::Certain),
        VerdictKind::Stopped => Some(Failure::StoppedByOthers),
    }
}
