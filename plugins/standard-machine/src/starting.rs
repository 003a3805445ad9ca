//! How the cluster comes up: placed as a whole, published, started; observers last.

use forebay_plugin_sdk::{Action, NodeId, NodePhase, PlaceRequest};

use crate::machine::{Step, Turn, ids};

impl Turn<'_> {
    pub(crate) fn place_cluster(&mut self) -> Step {
        let absent = ids(self
            .situation
            .core()
            .filter(|node| node.view.phase == NodePhase::Absent));
        let waiting = self
            .situation
            .core()
            .filter(|node| node.view.phase == NodePhase::Waiting)
            .count();
        if !absent.is_empty() {
            self.place(absent);
        } else if waiting == 0 {
            let core = ids(self.situation.core());
            self.actions.push(Action::Publish(core.clone()));
            self.actions.push(Action::Start(core));
            return Step::new("starting");
        }
        Step::new("placing")
    }

    pub(crate) fn place(&mut self, nodes: Vec<NodeId>) {
        let deadline_ms = self.limits.place_within_ms;
        self.actions.push(Action::Place(PlaceRequest {
            nodes,
            avoid: Vec::new(),
            deadline_ms,
        }));
    }

    pub(crate) fn start_cluster(&mut self) -> Step {
        self.start_fresh(ids(self.situation.core().filter(|node| node.is_fresh())));
        let all = self.situation.core().count();
        let up = self
            .situation
            .core()
            .filter(|node| node.view.phase == NodePhase::Ready || node.has_finished())
            .count();
        if up < all {
            return Step::because("starting", format!("{up} of {all} nodes are ready"));
        }
        self.run_observers();
        Step::new("running")
    }

    /// Observers come last and each for itself, so that none can hold anything up, and outside the generation, so that
    /// nothing changes for the others.
    fn run_observers(&mut self) {
        if !self.state.observers_asked {
            self.state.observers_asked = true;
            for node in ids(self.situation.observers()) {
                self.place(vec![node]);
            }
        }
        self.start_fresh(ids(self
            .situation
            .observers()
            .filter(|node| node.is_fresh())));
    }

    fn start_fresh(&mut self, nodes: Vec<NodeId>) {
        if !nodes.is_empty() {
            self.actions.push(Action::Start(nodes));
        }
    }
}
