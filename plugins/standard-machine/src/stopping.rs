//! How a job comes down before it is done: drained where it has input, else stopped.

use forebay_plugin_sdk::{Action, DataflowPhase, JobEnd};

use crate::machine::{Step, Turn, ids};
use crate::situation::{Node, Situation};
use crate::state::Stop;

impl Turn<'_> {
    pub(crate) fn stop_job(&mut self, stop: Stop) -> Step {
        match stop {
            Stop::Asked { deadline_ms } => self.begin_stop(deadline_ms),
            // A stop in order promises that what had been read is where it belongs.
            Stop::Draining if self.situation.view.dataflow == DataflowPhase::Failed => {
                let reason = self.job_failure().unwrap_or_default();
                self.fail(None, &reason)
            }
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

    /// Something that is on its way can still arrive, or is still made use of: who has read all of it may be saving a model.
    pub(crate) fn is_draining(&self) -> bool {
        let dataflow_runs = self.situation.view.dataflow == DataflowPhase::Running;
        let reading = self.situation.fed().any(Node::is_live);
        let all_read = self.situation.fed().all(Node::has_finished);
        self.state.stop == Some(Stop::Draining) && (reading || dataflow_runs && all_read)
    }
}

fn fed_roles(situation: &Situation<'_>) -> Vec<String> {
    let mut roles: Vec<_> = situation.fed().map(|node| node.role.name.clone()).collect();
    roles.dedup();
    roles
}
