//! The cluster as plugins, nodes and people are told it.

use std::collections::BTreeMap;

use forebay_plugin::{ClusterSpec, Machine, Member, NodeId, RoleMembers};

use super::core::Core;
use super::tables::Place;
use crate::wire::node::{self, Cluster, Port};
use crate::wire::to_wire;

impl Core {
    /// The newest generation, with the roles of one runner alone.
    pub(super) fn cluster_of_runner(&self, runner: &str) -> ClusterSpec {
        let machine = |agent: &super::tables::AgentRecord| Machine {
            name: agent.name.clone(),
            address: agent.address.clone(),
            device: agent.interface.clone(),
        };
        let roles = self
            .prepared
            .job
            .roles
            .iter()
            .filter(|role| role.plugin == runner);
        ClusterSpec {
            generation: self.tables.generation,
            machines: self.tables.agents.iter().map(machine).collect(),
            roles: roles
                .map(|role| self.members_of(&role.name))
                .filter(|role| !role.members.is_empty())
                .collect(),
        }
    }

    fn members_of(&self, role: &str) -> RoleMembers {
        let ids = self.tables.members.iter().filter(|id| id.role == role);
        RoleMembers {
            role: role.into(),
            members: ids.filter_map(|id| self.member(id)).collect(),
        }
    }

    /// A node with its place, as plugins see it.
    pub(super) fn member(&self, id: &NodeId) -> Option<Member> {
        let place = self.place_of(id)?;
        Some(Member {
            index: id.index,
            machine: u32::try_from(place.agent).ok()?,
            local_index: self.local_index(id, place.agent),
            ports: place.ports.iter().map(|(_, number)| *number).collect(),
        })
    }

    /// Position among the placed nodes of its role on its machine.
    fn local_index(&self, id: &NodeId, agent: usize) -> u32 {
        (0..id.index)
            .filter(|index| {
                self.place_of(&NodeId::new(id.role.clone(), *index))
                    .is_some_and(|place| place.agent == agent)
            })
            .count()
            .try_into()
            .unwrap_or(u32::MAX)
    }

    fn place_of(&self, id: &NodeId) -> Option<&Place> {
        self.tables.node(id)?.place.as_ref()
    }

    /// `host:port` by name of the port.
    pub(super) fn endpoints(&self, id: &NodeId) -> BTreeMap<String, String> {
        let Some(place) = self.place_of(id) else {
            return BTreeMap::new();
        };
        let address = &self.tables.agents[place.agent].address;
        place
            .ports
            .iter()
            .map(|(name, number)| (name.clone(), endpoint(address, *number)))
            .collect()
    }

    /// As nodes are told.
    pub(super) fn wire_cluster(&self) -> Cluster {
        Cluster {
            generation: self.tables.generation,
            revision: self.tables.revision,
            members: self
                .tables
                .members
                .iter()
                .filter_map(|id| self.wire_member(id))
                .collect(),
        }
    }

    fn wire_member(&self, id: &NodeId) -> Option<node::Member> {
        let record = self.tables.node(id)?;
        let place = record.place.as_ref()?;
        let agent = &self.tables.agents[place.agent];
        let port = |(name, number): &(String, u16)| Port {
            name: name.clone(),
            number: u32::from(*number),
        };
        Some(node::Member {
            node: Some(to_wire(id)),
            machine: agent.name.clone(),
            address: agent.address.clone(),
            ports: place.ports.iter().map(port).collect(),
            finished: record.finished(),
        })
    }
}

fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}
