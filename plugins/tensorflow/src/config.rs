//! The text of `TF_CONFIG`.

use std::collections::BTreeMap;

use forebay_plugin_sdk::{Cluster, NodeId, PluginError};
use serde_json::json;

use crate::roles::{GRPC, IN_CLUSTER};

/// Addresses of the nodes of each role, by index.
pub(crate) type Addresses = BTreeMap<&'static str, Vec<String>>;

pub(crate) fn addresses(cluster: &Cluster<'_>) -> Result<Addresses, PluginError> {
    let mut addresses = Addresses::new();
    for role in IN_CLUSTER {
        let members = cluster.members(role).iter();
        let of_role: Vec<_> = members
            .map(|member| cluster.endpoint(&NodeId::new(role, member.index), GRPC))
            .collect::<Result<_, _>>()?;
        if !of_role.is_empty() {
            addresses.insert(role, of_role);
        }
    }
    Ok(addresses)
}

/// Everybody's addresses and one's own place among them.
pub(crate) fn text(addresses: &Addresses, node: &NodeId) -> Result<String, PluginError> {
    let config =
        json!({ "cluster": addresses, "task": { "type": node.role, "index": node.index } });
    serde_json::to_string(&config)
        .map_err(|error| PluginError::new("tf-config", format!("`TF_CONFIG` of `{node}`: {error}")))
}
