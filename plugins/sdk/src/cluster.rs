use crate::{ClusterSpec, JobSpec, LaunchRequest, Machine, Member, NodeId, PluginError};

/// Where everybody is: a [`ClusterSpec`] read by names. A spec that does not hold together gives errors, never a trap.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    job: &'a JobSpec,
    spec: &'a ClusterSpec,
}

impl<'a> Cluster<'a> {
    /// Port names come from the policies in `job`.
    pub fn new(job: &'a JobSpec, spec: &'a ClusterSpec) -> Self {
        Self { job, spec }
    }

    /// The members of a role, by index; empty where the generation has none.
    pub fn members(&self, role: &str) -> &'a [Member] {
        self.spec
            .roles
            .iter()
            .find(|members| members.role == role)
            .map_or(&[], |members| &members.members)
    }

    /// The entry of one node.
    pub fn member(&self, node: &NodeId) -> Result<&'a Member, PluginError> {
        self.members(&node.role)
            .iter()
            .find(|member| member.index == node.index)
            .ok_or_else(|| {
                PluginError::new(
                    "not-in-cluster",
                    format!("the cluster has no place for `{node}`"),
                )
            })
    }

    /// The machine of a member of the cluster.
    pub fn machine(&self, node: &NodeId) -> Result<&'a Machine, PluginError> {
        self.machine_at(node, self.member(node)?)
    }

    /// The machine of the node that is to be started, member or not.
    pub fn own_machine(&self, request: &LaunchRequest) -> Result<&'a Machine, PluginError> {
        self.machine_at(&request.node, &request.place)
    }

    /// The leased port of this name of a member of the cluster.
    pub fn port(&self, node: &NodeId, name: &str) -> Result<u16, PluginError> {
        self.port_at(node, self.member(node)?, name)
    }

    /// The leased port of this name of the node that is to be started, member or not.
    pub fn own_port(&self, request: &LaunchRequest, name: &str) -> Result<u16, PluginError> {
        self.port_at(&request.node, &request.place, name)
    }

    /// `address:port` of a member of the cluster, with brackets around an IPv6 address.
    pub fn endpoint(&self, node: &NodeId, port: &str) -> Result<String, PluginError> {
        let address = &self.machine(node)?.address;
        let port = self.port(node, port)?;
        Ok(if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        })
    }

    fn machine_at(&self, node: &NodeId, place: &Member) -> Result<&'a Machine, PluginError> {
        let position = usize::try_from(place.machine).unwrap_or(usize::MAX);
        self.spec.machines.get(position).ok_or_else(|| {
            PluginError::new(
                "not-in-cluster",
                format!("`{node}` is on machine {position}, which is not listed"),
            )
        })
    }

    fn port_at(&self, node: &NodeId, place: &Member, name: &str) -> Result<u16, PluginError> {
        let policy = self
            .job
            .role(&node.role)
            .and_then(|role| role.policy.as_ref());
        let mut needs = policy.into_iter().flat_map(|policy| &policy.ports);
        let mut ports = place.ports.iter();
        needs
            .find_map(|need| {
                let port = if node.index == 0 || !need.first_only {
                    ports.next()
                } else {
                    None
                };
                (need.name == name).then_some(port)
            })
            .flatten()
            .copied()
            .ok_or_else(|| {
                PluginError::new("no-such-port", format!("`{node}` has no port `{name}`"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FinishRule, Guarantee, PortNeed, RoleMembers, RolePolicy, RoleSpec};

    fn job() -> JobSpec {
        let policy = RolePolicy {
            ports: vec![PortNeed::first("meeting"), PortNeed::each("data")],
            ..RolePolicy::new("worker", FinishRule::All)
        };
        let role = RoleSpec {
            policy: Some(policy),
            ..RoleSpec::new("worker", 2)
        };
        JobSpec {
            name: "j".into(),
            guarantee: Guarantee::None,
            roles: vec![role],
            properties: vec![],
        }
    }

    fn spec(address: &str) -> ClusterSpec {
        let member = |index, ports: &[u16]| Member {
            index,
            machine: 0,
            local_index: index,
            ports: ports.to_vec(),
        };
        ClusterSpec {
            generation: 1,
            machines: vec![Machine {
                name: "m".into(),
                address: address.into(),
                device: "eth0".into(),
            }],
            roles: vec![RoleMembers {
                role: "worker".into(),
                members: vec![member(0, &[1, 2]), member(1, &[3])],
            }],
        }
    }

    #[track_caller]
    fn check(address: &str, index: u32, port: &str, expected: Result<&str, &str>) {
        let (job, spec) = (job(), spec(address));
        let endpoint = Cluster::new(&job, &spec).endpoint(&NodeId::new("worker", index), port);
        assert_eq!(
            endpoint.map_err(|error| error.message),
            expected.map(Into::into).map_err(Into::into)
        );
    }

    #[test]
    fn ports_are_found_by_name_also_where_node_0_alone_has_one() {
        check("10.0.0.1", 0, "meeting", Ok("10.0.0.1:1"));
        check("10.0.0.1", 0, "data", Ok("10.0.0.1:2"));
        check("fe80::1", 1, "data", Ok("[fe80::1]:3"));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        check(
            "10.0.0.1",
            1,
            "meeting",
            Err("`worker:1` has no port `meeting`"),
        );
        check(
            "10.0.0.1",
            1,
            "other",
            Err("`worker:1` has no port `other`"),
        );
        check(
            "10.0.0.1",
            2,
            "data",
            Err("the cluster has no place for `worker:2`"),
        );
    }
}
