//! Events and summary of a run, as `--format json` writes them.

use std::path::PathBuf;

use serde_json::Value;

/// The JSON object in a line.
pub(crate) fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(Value::is_object)
}

/// An event of this kind.
pub fn of_kind(kind: &str) -> impl Fn(&Value) -> bool {
    move |event| event["kind"] == kind
}

/// A node that came into this phase.
pub fn node_in_phase(node: &str, phase: &str) -> impl Fn(&Value) -> bool {
    move |event| event["kind"] == "node" && event["node"] == node && event["phase"] == phase
}

/// A line of a node's log that contains `text`.
pub fn log_line(node: &str, text: &str) -> impl Fn(&Value) -> bool {
    move |event| {
        let line = event["line"].as_str().unwrap_or_default();
        event["kind"] == "log" && event["node"] == node && line.contains(text)
    }
}

/// A report of a node at this step or a later one.
pub fn reported_step(node: &str, step: u64) -> impl Fn(&Value) -> bool {
    move |event| {
        event["kind"] == "report" && event["node"] == node && event["step"].as_u64() >= Some(step)
    }
}

/// The last line of a run.
#[derive(Clone, Debug)]
pub struct Summary(Value);

impl Summary {
    pub(crate) fn new(event: Value) -> Option<Self> {
        of_kind("summary")(&event).then_some(Self(event))
    }

    /// The whole of it.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// `succeeded`, `failed`, `stopped`.
    pub fn outcome(&self) -> &str {
        self.text("outcome")
    }

    /// The first cause.
    pub fn reason(&self) -> &str {
        self.text("reason")
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.text("run_dir").into()
    }

    /// Process of the last application manager.
    #[track_caller]
    pub fn manager_pid(&self) -> u64 {
        let terms = self.0["terms"].as_array();
        let last = terms
            .and_then(|terms| terms.last())
            .and_then(|term| term["pid"].as_u64());
        last.unwrap_or_else(|| panic!("no application manager in {}", self.0))
    }

    /// All nodes, by name, in the summary's order.
    pub fn nodes(&self) -> Vec<&str> {
        let nodes = self.0["nodes"].as_array().into_iter().flatten();
        nodes.filter_map(|node| node["node"].as_str()).collect()
    }

    /// What the summary says of one node.
    #[track_caller]
    pub fn node(&self, name: &str) -> &Value {
        let mut nodes = self.0["nodes"].as_array().into_iter().flatten();
        let found = nodes.find(|node| node["node"] == name);
        found.unwrap_or_else(|| panic!("no node `{name}` in {}", self.0))
    }

    /// The last attempt of a node: pid, ending, verdict.
    #[track_caller]
    pub fn attempt(&self, name: &str) -> &Value {
        let attempts = self.node(name)["attempts"].as_array();
        let last = attempts.and_then(|attempts| attempts.last());
        last.unwrap_or_else(|| panic!("no attempt of `{name}` in {}", self.0))
    }

    /// Last value that a node reported under this key.
    #[track_caller]
    pub fn reported(&self, name: &str, key: &str) -> &Value {
        let value = &self.node(name)["last_report"][key];
        assert!(
            !value.is_null(),
            "`{name}` has not reported `{key}`: {}",
            self.0
        );
        value
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }
}
