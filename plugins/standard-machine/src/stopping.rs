//! How a job comes down before it is done: drained where it has input, else stopped.

use forebay_plugin_sdk::{Action, DataflowPhase, JobEnd};

use crate::machine::{Step, Turn, ids};
use crate::situation::{Node, Situation};
use crate::state::Stop;

impl Turn<'_> {
    pub(crate) fn stop_job(&mut self, stop: Stop) -> Step {
        match stop {
            Stop::Asked { deadline_ms } => self.begin_stop(deadline_ms),
            Stop::Draining if self.is_draining() => Step::new("draining"),
            Stop::Stopping if self.situation.finishers().any(Node::is_live) => {
                Step::new("stopping")
            }
            Stop::Draining | Stop::Stopping => self.finish("stopped", JobEnd::Stopped),
        }
    }

    fn begin_stop(&mut self, deadline_ms: u64) -> Step {
        if self.situation.view.dataflow == DataflowPhase::Running
            && self.situation.fed().any(Node::is_live)
        {
            self.state.stop = Some(Stop::Draining);
            self.actions
                .push(Action::EndInput(fed_roles(&self.situation)));
            return Step::new("draining");
        }
        // Services stay until the end of the job: the others may still save their work through them.
        let live = ids(self.situation.finishers().filter(|node| node.is_live()));
        if live.is_empty() {
            return self.finish("stopped", JobEnd::Stopped);
        }
        self.state.stop = Some(Stop::Stopping);
        self.stop(live, deadline_ms);
        Step::new("stopping")
    }

    /// Something that is on its way can still arrive.
    fn is_draining(&self) -> bool {
        let dataflow_runs = self.situation.view.dataflow == DataflowPhase::Running;
        let reading = self.situation.fed().any(Node::is_live);
        let all_read = self.situation.fed().all(Node::has_finished);
        dataflow_runs && (reading || all_read)
    }
}

fn fed_roles(situation: &Situation<'_>) -> Vec<String> {
    let mut roles: Vec<_> = situation.fed().map(|node| node.role.name.clone()).collect();
    roles.dedup();
    roles
}
