//! `grants.toml`: what the operator of a machine lets plugins ask for.

use std::path::Path;

use serde::Deserialize;

use crate::error::Denied;
use crate::manifest::{self, Manifest, ManifestError};
use crate::pattern::Pattern;

/// What the operator grants to all plugins: the second lock. The first is [`Manifest::requests`].
///
/// ```toml
/// programs = ["mpirun"]                              # default: none
/// environment = ["*"]                                # default: every variable ...
/// environment-denied = ["LD_*", "PATH", "PYTHON*"]   # ... but these
/// ports = 16                                         # of one node
/// nodes = 16                                         # of all implied roles of a plugin together
/// ```
///
/// The role's own command and interpreter need no grant: the job's author named them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grants {
    /// Programs that launch plans may run.
    pub programs: Vec<String>,
    /// Variables that launch plans may set.
    pub environment: Vec<Pattern>,
    /// Variables that they may not set all the same.
    pub environment_denied: Vec<Pattern>,
    /// Most ports of one node.
    pub ports: u32,
    /// Most nodes of all implied roles together.
    pub nodes: u32,
}

impl Default for Grants {
    fn default() -> Self {
        let patterns = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| Pattern::try_from((*name).to_owned()).ok())
                .collect()
        };
        Self {
            programs: Vec::new(),
            environment: patterns(&["*"]),
            environment_denied: patterns(&["LD_*", "PATH", "PYTHON*"]),
            ports: 16,
            nodes: 16,
        }
    }
}

impl Grants {
    /// Reads the text of a `grants.toml`; what it leaves out has its default.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        manifest::parse("grants.toml", text)
    }

    /// Reads a `grants.toml`.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        manifest::read(path)
    }
}

/// Both locks.
pub(crate) struct Locks {
    pub(crate) manifest: Manifest,
    pub(crate) grants: Grants,
}

impl Locks {
    pub(crate) fn program(&self, program: &str) -> Result<(), Denied> {
        let in_list = |list: &[String]| list.iter().any(|listed| listed == program);
        let what = || format!("the program `{program}`");
        let requests = &self.manifest.requests;
        open(
            in_list(&requests.programs),
            in_list(&self.grants.programs),
            what,
        )
    }

    pub(crate) fn variable(&self, name: &str) -> Result<(), Denied> {
        let in_list = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(name));
        let what = || format!("the environment variable `{name}`");
        let granted =
            in_list(&self.grants.environment) && !in_list(&self.grants.environment_denied);
        open(in_list(&self.manifest.requests.environment), granted, what)
    }

    pub(crate) fn ports(&self, role: &str, count: usize) -> Result<(), Denied> {
        let within = |most: u32| count as u64 <= u64::from(most);
        let what = || format!("{count} ports on each node of role `{role}`");
        open(
            within(self.manifest.requests.ports),
            within(self.grants.ports),
            what,
        )
    }

    pub(crate) fn nodes(&self, count: u64) -> Result<(), Denied> {
        let within = |most: u32| count <= u64::from(most);
        let what = || format!("{count} nodes in implied roles");
        open(
            within(self.manifest.requests.nodes),
            within(self.grants.nodes),
            what,
        )
    }
}

fn open(listed: bool, granted: bool, what: impl Fn() -> String) -> Result<(), Denied> {
    match (listed, granted) {
        (true, true) => Ok(()),
        (false, _) => Err(Denied::NotListed(what())),
        (true, false) => Err(Denied::NotGranted(what())),
    }
}
