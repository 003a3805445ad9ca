//! What is held for nodes: ports and GPUs, over all of their attempts, until the AM releases them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay_plugin::NodeId;

use super::ports::{PortLease, PortRange};
use crate::wire::cluster::{HeldPlace, PlaceNode};
use crate::wire::{node, to_wire};

/// What one node holds. A running attempt has a share of it, so nothing is given to others while a process lives.
#[derive(Debug, Default)]
pub(super) struct Place {
    ports: Vec<(String, PortLease)>,
    gpus: Vec<String>,
}

impl Place {
    /// Number of the port of this name.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.ports
            .iter()
            .find(|(port, _)| port == name)
            .map(|(_, lease)| lease.number())
    }

    /// Name and number of a port that something else listens on.
    pub(super) fn taken_port(&self) -> Option<(&str, u16)> {
        let taken = self.ports.iter().find(|(_, lease)| !lease.is_usable());
        taken.map(|(name, lease)| (name.as_str(), lease.number()))
    }

    pub(super) fn gpus(&self) -> &[String] {
        &self.gpus
    }

    fn describe(&self, node: &NodeId) -> HeldPlace {
        let port = |(name, lease): &(String, PortLease)| node::Port {
            name: name.clone(),
            number: u32::from(lease.number()),
        };
        HeldPlace {
            node: Some(to_wire(node)),
            ports: self.ports.iter().map(port).collect(),
            gpus: self.gpus.clone(),
        }
    }

    fn suits(&self, wanted: &PlaceNode) -> bool {
        let names = self.ports.iter().map(|(name, _)| name);
        names.eq(&wanted.ports) && u32::try_from(self.gpus.len()) == Ok(wanted.gpus)
    }
}

/// Why nodes cannot be placed here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("a node without a valid role was named")]
    NotANode,
    #[error("{wanted} more nodes do not fit: {held} of {slots} slots are held")]
    Slots {
        wanted: usize,
        held: usize,
        slots: u32,
    },
    #[error("node `{0}` holds a place with other ports or GPUs")]
    HeldOtherwise(NodeId),
    #[error("node `{node}` needs {wanted} GPUs and {free} are free")]
    Gpus {
        node: NodeId,
        wanted: u32,
        free: usize,
    },
    #[error("no port is free for `{port}` of node `{node}`")]
    Ports { node: NodeId, port: String },
}

#[derive(Debug)]
pub(super) struct Places {
    slots: u32,
    gpus: Vec<String>,
    range: PortRange,
    held: BTreeMap<NodeId, Arc<Place>>,
}

impl Places {
    pub(super) fn new(slots: u32, gpus: Vec<String>, range: PortRange) -> Self {
        Self {
            slots,
            gpus,
            range,
            held: BTreeMap::new(),
        }
    }

    /// Holds places for all of these nodes or for none. A node that holds such a place already keeps it.
    pub(super) fn hold(&mut self, wanted: &[PlaceNode]) -> Result<Vec<HeldPlace>, PlaceError> {
        let nodes: Vec<NodeId> = wanted
            .iter()
            .map(|place| from_wire(place.node.as_ref()))
            .collect::<Option<_>>()
            .ok_or(PlaceError::NotANode)?;
        self.check_slots(&nodes)?;
        let mut made: BTreeMap<NodeId, Arc<Place>> = BTreeMap::new();
        for (node, wanted) in nodes.iter().zip(wanted) {
            match self.held.get(node).or_else(|| made.get(node)) {
                Some(place) if place.suits(wanted) => {}
                Some(_) => return Err(PlaceError::HeldOtherwise(node.clone())),
                None => {
                    let place = self.make(node, wanted, &made)?;
                    made.insert(node.clone(), Arc::new(place));
                }
            }
        }
        self.held.append(&mut made);
        Ok(nodes
            .iter()
            .filter_map(|node| Some(self.held.get(node)?.describe(node)))
            .collect())
    }

    fn check_slots(&self, nodes: &[NodeId]) -> Result<(), PlaceError> {
        let new: BTreeSet<&NodeId> = nodes
            .iter()
            .filter(|node| !self.held.contains_key(node))
            .collect();
        let (wanted, held) = (new.len(), self.held.len());
        let slots = usize::try_from(self.slots).unwrap_or(usize::MAX);
        if wanted > slots.saturating_sub(held) {
            return Err(PlaceError::Slots {
                wanted,
                held,
                slots: self.slots,
            });
        }
        Ok(())
    }

    fn make(
        &self,
        node: &NodeId,
        wanted: &PlaceNode,
        made: &BTreeMap<NodeId, Arc<Place>>,
    ) -> Result<Place, PlaceError> {
        let places = self.held.values().chain(made.values());
        let used: BTreeSet<&String> = places.flat_map(|place| &place.gpus).collect();
        let free: Vec<&String> = self.gpus.iter().filter(|gpu| !used.contains(gpu)).collect();
        let count = usize::try_from(wanted.gpus).unwrap_or(usize::MAX);
        if count > free.len() {
            return Err(PlaceError::Gpus {
                node: node.clone(),
                wanted: wanted.gpus,
                free: free.len(),
            });
        }
        let lease = |port: &String| {
            let lease = PortLease::any(&self.range);
            let lease = lease.ok_or_else(|| PlaceError::Ports {
                node: node.clone(),
                port: port.clone(),
            })?;
            Ok((port.clone(), lease))
        };
        Ok(Place {
            ports: wanted.ports.iter().map(lease).collect::<Result<_, _>>()?,
            gpus: free.into_iter().take(count).cloned().collect(),
        })
    }

    /// What a running attempt still shares is free once that is gone.
    pub(super) fn release(&mut self, node: &NodeId) {
        self.held.remove(node);
    }

    pub(super) fn release_all(&mut self) {
        self.held.clear();
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<Arc<Place>> {
        self.held.get(node).cloned()
    }

    pub(super) fn describe(&self) -> Vec<HeldPlace> {
        self.held
            .iter()
            .map(|(node, place)| place.describe(node))
            .collect()
    }
}

/// Longest name of a role; it becomes part of file names.
const ROLE_LENGTH_MAX: usize = 63;

/// The node that a message names; `None` when its role could not be part of a file name.
pub(super) fn from_wire(node: Option<&node::NodeId>) -> Option<NodeId> {
    let node = node?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let valid =
        !node.role.is_empty() && node.role.len() <= ROLE_LENGTH_MAX && node.role.bytes().all(fits);
    valid.then(|| NodeId::new(node.role.clone(), node.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(role: &str, index: u32, ports: &[&str], gpus: u32) -> PlaceNode {
        PlaceNode {
            node: Some(node::NodeId {
                role: role.into(),
                index,
            }),
            ports: ports.iter().map(ToString::to_string).collect(),
            gpus,
        }
    }

    fn places(slots: u32, gpus: &[&str]) -> Places {
        Places::new(
            slots,
            gpus.iter().map(ToString::to_string).collect(),
            PortRange::of_this_machine(),
        )
    }

    #[test]
    fn an_order_is_held_as_a_whole_or_not_at_all() {
        let mut places = places(4, &["0"]);
        let error = places
            .hold(&[
                wanted("worker", 0, &["grpc"], 1),
                wanted("worker", 1, &["grpc"], 1),
            ])
            .unwrap_err();
        assert_eq!(
            error,
            PlaceError::Gpus {
                node: NodeId::new("worker", 1),
                wanted: 1,
                free: 0
            }
        );
        assert!(places.describe().is_empty());
        let held = places.hold(&[wanted("worker", 0, &["grpc"], 1)]).unwrap();
        assert_eq!(held[0].gpus, ["0"]);
        assert_eq!(held[0].ports[0].name, "grpc");
    }

    #[test]
    fn a_node_keeps_its_place_when_it_is_asked_for_again() {
        let mut places = places(1, &[]);
        let first = places.hold(&[wanted("worker", 0, &["grpc"], 0)]).unwrap();
        assert_eq!(
            places.hold(&[wanted("worker", 0, &["grpc"], 0)]).unwrap(),
            first
        );
        assert!(matches!(
            places.hold(&[wanted("worker", 0, &["http"], 0)]),
            Err(PlaceError::HeldOtherwise(_))
        ));
    }

    #[test]
    fn slots_are_a_limit() {
        let mut places = places(1, &[]);
        let error = places
            .hold(&[wanted("worker", 0, &[], 0), wanted("worker", 1, &[], 0)])
            .unwrap_err();
        assert_eq!(
            error,
            PlaceError::Slots {
                wanted: 2,
                held: 0,
                slots: 1
            }
        );
        places.hold(&[wanted("worker", 0, &[], 0)]).unwrap();
        places.release(&NodeId::new("worker", 0));
        places.hold(&[wanted("worker", 1, &[], 0)]).unwrap();
    }

    #[test]
    fn a_role_that_is_no_file_name_is_no_node() {
        for role in ["", "../x", "a/b", "a b", "ä"] {
            assert_eq!(
                places(1, &[]).hold(&[wanted(role, 0, &[], 0)]),
                Err(PlaceError::NotANode),
                "{role}"
            );
        }
    }
}
