//! What really happened on the simulated machines, told by the processes themselves: the judge of what an application
//! manager believes.

use std::fmt::Write;

use forebay_plugin::NodeId;

use crate::exec::Ending;
use crate::wire::node::up;

/// One process that existed.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) agent: String,
    pub(crate) node: NodeId,
    pub(crate) attempt: u32,
    /// The attempt of the dataflow that gives it its input.
    pub(crate) fed_by: Option<u64>,
    pub(crate) said_done: bool,
    pub(crate) said_finish: bool,
    /// How it ended, and whether somebody had told it to.
    pub(crate) ended: Option<(Ending, bool)>,
}

impl Process {
    pub(crate) fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// It did its work: it said so, or went well and by itself.
    pub(crate) fn has_finished(&self) -> bool {
        self.said_done || self.ended == Some((Ending::Code(0), false))
    }
}

/// One attempt of the dataflow that existed.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) agent: String,
    pub(crate) attempt: u64,
    pub(crate) ended: Option<FlowEnd>,
}

/// How it really ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowEnd {
    ByItself,
    Drained,
    Failed,
    Aborted,
    /// With its engine.
    Died,
}

/// Everything that happened so far.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) now_ms: u64,
    /// The agent that acts at the moment, and may not be heeded any more.
    pub(crate) agent: String,
    /// Agents that were given up: their processes may have successors elsewhere.
    pub(crate) given_up: Vec<String>,
    pub(crate) processes: Vec<Process>,
    pub(crate) flows: Vec<Flow>,
    /// Attempts that met a taken port: they use up no restart.
    pub(crate) ports_taken: u32,
    /// Something that makes a failed end plausible.
    pub(crate) troubles: usize,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: String,
}

impl Witness {
    pub(crate) fn note(&mut self, text: &str) {
        let (seconds, ms) = (self.now_ms / 1_000, self.now_ms % 1_000);
        let _always_fits = writeln!(self.trace, "{seconds:>6}.{ms:03}  {text}");
    }

    pub(crate) fn violated(&mut self, text: String) {
        self.note(&format!("VIOLATION: {text}"));
        self.violations.push(text);
    }

    /// A process begins; its number.
    pub(crate) fn started(&mut self, node: &NodeId, attempt: u32, fed_by: Option<u64>) -> u32 {
        let agent = self.agent.clone();
        let fed = fed_by.map_or_else(String::new, |fed_by| format!(", fed by {fed_by}"));
        self.note(&format!(
            "{agent}: process of {node}, attempt {attempt}{fed}"
        ));
        let of_node = |process: &&Process| process.node == *node;
        let newest = self.processes.iter().filter(of_node);
        let newest = newest.map(|process| process.attempt).max();
        // One that was given up, and has not heard of it, still does what it was told before.
        let is_heeded = !self.given_up.contains(&agent);
        if is_heeded && newest >= Some(attempt) {
            self.violated(format!("attempt {attempt} of {node} is not a new one"));
        }
        let rivals = self.live().filter(|process| process.node == *node);
        let rivals: Vec<String> = rivals
            .filter(|process| {
                let rival_is_heeded = !self.given_up.contains(&process.agent);
                process.agent == agent || is_heeded && rival_is_heeded
            })
            .map(|process| format!("attempt {} on {}", process.attempt, process.agent))
            .collect();
        if !rivals.is_empty() {
            self.violated(format!(
                "attempt {attempt} of {node} starts on {agent} beside {}",
                rivals.join(", ")
            ));
        }
        if let Some(fed_by) = fed_by.filter(|_| is_heeded) {
            self.look_at_feeding(node, fed_by);
        }
        self.processes.push(Process {
            agent,
            node: node.clone(),
            attempt,
            fed_by,
            said_done: false,
            said_finish: false,
            ended: None,
        });
        u32::try_from(self.processes.len()).unwrap_or(u32::MAX)
    }

    /// Each process is fed from the beginning, and all at once by the same attempt of the dataflow.
    fn look_at_feeding(&mut self, node: &NodeId, fed_by: u64) {
        let of_node = self
            .processes
            .iter()
            .filter(|process| process.node == *node);
        if of_node.filter_map(|process| process.fed_by).max() >= Some(fed_by) {
            self.violated(format!(
                "attempt {fed_by} of the dataflow has fed {node} already"
            ));
        }
        let agent = self.agent.clone();
        let beside = self.live().filter(|process| process.agent == agent);
        let otherwise = beside.filter(|process| process.fed_by.is_some_and(|by| by != fed_by));
        let other = otherwise.map(|process| process.node.clone()).last();
        if let Some(other) = other {
            self.violated(format!(
                "{node} is fed by attempt {fed_by} of the dataflow, {other} by another one"
            ));
        }
    }

    pub(crate) fn said(&mut self, node: &NodeId, attempt: u32, message: &up::Message) {
        let word = match message {
            up::Message::Done(_) => "done",
            up::Message::FinishJob(_) => "finish the job",
            up::Message::Signal(_) => "signal",
            _ => return,
        };
        self.note(&format!("{}: {node} says: {word}", self.agent));
        if let Some(process) = self.live_mut(node, attempt) {
            process.said_done |= matches!(message, up::Message::Done(_));
            process.said_finish |= matches!(message, up::Message::FinishJob(_));
        }
    }

    pub(crate) fn ended(&mut self, node: &NodeId, attempt: u32, ending: Ending, was_told: bool) {
        let by = if was_told {
            "as it was told"
        } else {
            "by itself"
        };
        self.note(&format!(
            "{}: end of {node}, attempt {attempt}, {by}: {ending:?}",
            self.agent
        ));
        if let Some(process) = self.live_mut(node, attempt) {
            process.ended = Some((ending, was_told));
        }
    }

    /// There is one at a time, and each is a new one.
    pub(crate) fn dataflow_began(&mut self, attempt: u64) {
        let agent = self.agent.clone();
        self.note(&format!("{agent}: dataflow, attempt {attempt}"));
        if self.flows.iter().any(|flow| flow.attempt >= attempt) {
            self.violated(format!(
                "attempt {attempt} of the dataflow is not a new one"
            ));
        }
        let rival = self.live_flows().next();
        if let Some(rival) = rival.map(|flow| format!("attempt {} on {}", flow.attempt, flow.agent))
        {
            self.violated(format!(
                "attempt {attempt} of the dataflow begins beside {rival}"
            ));
        }
        self.flows.push(Flow {
            agent,
            attempt,
            ended: None,
        });
    }

    pub(crate) fn dataflow_ended(&mut self, attempt: u64, end: FlowEnd) {
        let agent = self.agent.clone();
        self.note(&format!("{agent}: end of the dataflow: {end:?}"));
        let mut flows = self.flows.iter_mut();
        if let Some(flow) = flows.find(|flow| flow.agent == agent && flow.attempt == attempt) {
            flow.ended = Some(end);
        }
    }

    pub(crate) fn live_flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().filter(|flow| flow.ended.is_none())
    }

    pub(crate) fn newest_flow(&self) -> Option<&Flow> {
        self.flows.iter().max_by_key(|flow| flow.attempt)
    }

    pub(crate) fn flow_ended_as(&self, end: FlowEnd) -> bool {
        self.flows.iter().any(|flow| flow.ended == Some(end))
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.is_live())
    }

    fn live_mut(&mut self, node: &NodeId, attempt: u32) -> Option<&mut Process> {
        let agent = self.agent.clone();
        self.processes.iter_mut().find(|process| {
            process.is_live()
                && process.agent == agent
                && process.node == *node
                && process.attempt == attempt
        })
    }
}
