//! Generated messages and services: `cluster` (AM and agents) and `job` (control).

/// cluster/v1: between the application manager and its agents.
#[expect(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated from proto/forebay/cluster/v1"
)]
pub mod cluster {
    tonic::include_proto!("forebay.cluster.v1");
}

/// job/v1: control of one job.
#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from proto/forebay/job/v1"
)]
pub mod job {
    tonic::include_proto!("forebay.job.v1");
}

/// node/v1: shared with the Python package.
pub use forebay_protocol::node::v1 as node;

/// A node of a message; an absent one becomes a node that no job has.
pub(crate) fn node_id(id: Option<&node::NodeId>) -> forebay_plugin::NodeId {
    id.map_or_else(
        || forebay_plugin::NodeId::new("", 0),
        |id| forebay_plugin::NodeId::new(id.role.clone(), id.index),
    )
}

/// A node for a message.
pub fn to_wire(id: &forebay_plugin::NodeId) -> node::NodeId {
    node::NodeId {
        role: id.role.clone(),
        index: id.index,
    }
}
