//! Who is who in the process group.

use std::collections::BTreeMap;

use forebay_plugin_sdk::{Cluster, JobSpec, NodeId, PluginError};

use crate::trainers;

/// All ranks of a cluster: the rank is the position.
pub(crate) struct Ranks {
    seats: Vec<Seat>,
    rank_of: BTreeMap<NodeId, usize>,
    /// How many seats each group has.
    group_sizes: Vec<u32>,
}

/// One rank. Ranks of one group share devices.
pub(crate) struct Seat {
    node: NodeId,
    pub(crate) group: usize,
    /// Position among the ranks of its group.
    pub(crate) local: u32,
}

/// Ranks on one machine share its devices, unless each node has GPUs of its own: then it sees these alone, and scripts
/// that take the local rank for a device number have to find 0.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Machine(u32),
    Rank(usize),
}

impl Ranks {
    /// In the order of the job's roles, and of the indices within each.
    pub(crate) fn new(job: &JobSpec, cluster: &Cluster<'_>) -> Self {
        let mut ranks = Self {
            seats: Vec::new(),
            rank_of: BTreeMap::new(),
            group_sizes: Vec::new(),
        };
        let mut groups = BTreeMap::new();
        for role in trainers(job) {
            for member in cluster.members(&role.name) {
                let group = match role.gpus_per_node {
                    0 => Group::Machine(member.machine),
                    _ => Group::Rank(ranks.seats.len()),
                };
                let next = groups.len();
                ranks.seat(
                    NodeId::new(&role.name, member.index),
                    *groups.entry(group).or_insert(next),
                );
            }
        }
        ranks
    }

    fn seat(&mut self, node: NodeId, group: usize) {
        if group == self.group_sizes.len() {
            self.group_sizes.push(0);
        }
        let local = self.group_sizes[group];
        self.group_sizes[group] += 1;
        self.rank_of.insert(node.clone(), self.seats.len());
        self.seats.push(Seat { node, group, local });
    }

    /// The node of rank 0.
    pub(crate) fn first(&self) -> Result<&NodeId, PluginError> {
        let seat = self.seats.first();
        seat.map(|seat| &seat.node).ok_or_else(|| {
            PluginError::new("not-in-cluster", "the cluster has no node that trains")
        })
    }

    pub(crate) fn of(&self, node: &NodeId) -> Result<(usize, &Seat), PluginError> {
        let rank = self.rank_of.get(node).copied();
        let rank = rank
            .ok_or_else(|| PluginError::new("not-in-cluster", format!("`{node}` has no rank")))?;
        Ok((rank, &self.seats[rank]))
    }

    pub(crate) fn count(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn group_sizes(&self) -> &[u32] {
        &self.group_sizes
    }
}
