use forebay_plugin_sdk::{Guarantee, Machine, Member, NodeId, RoleMembers, RoleSpec};

use super::*;

fn job(roles: &[(&str, u32)]) -> JobSpec {
    JobSpec {
        name: "digits".into(),
        guarantee: Guarantee::None,
        roles: roles
            .iter()
            .map(|(name, nodes)| RoleSpec {
                has_program: true,
                ..RoleSpec::new(*name, *nodes)
            })
            .collect(),
        properties: vec![],
    }
}

/// The plan of every training node; even indices are on machine 0, odd ones on machine 1.
fn planned(mut job: JobSpec) -> Vec<LaunchPlan> {
    let preparation = PyTorch::prepare(&job);
    for (role, policy) in job.roles.iter_mut().zip(preparation.policies) {
        role.policy = Some(policy);
    }
    let leader = trainers(&job).next().unwrap().name.clone();
    let ports = |role: &str, index| {
        if role == leader && index == 0 {
            vec![4000]
        } else {
            vec![]
        }
    };
    let member = |role: &str, index| Member {
        index,
        machine: index % 2,
        local_index: index / 2,
        ports: ports(role, index),
    };
    let members = |role: &RoleSpec| {
        (0..role.nodes)
            .map(|index| member(&role.name, index))
            .collect::<Vec<_>>()
    };
    let machine = |name: &str, address: &str, device: &str| Machine {
        name: name.into(),
        address: address.into(),
        device: device.into(),
    };
    let spec = ClusterSpec {
        generation: 1,
        machines: vec![
            machine("a", "10.0.0.1", "eth0"),
            machine("b", "10.0.0.2", "eth1"),
        ],
        roles: trainers(&job)
            .map(|role| RoleMembers {
                role: role.name.clone(),
                members: members(role),
            })
            .collect(),
    };
    let requests: Vec<_> = spec
        .roles
        .iter()
        .flat_map(|role| {
            role.members
                .iter()
                .map(|place| (NodeId::new(&role.role, place.index), place.clone()))
        })
        .map(|(node, place)| LaunchRequest {
            node,
            attempt: 3,
            place,
        })
        .collect();
    PyTorch::plan(&job, &spec, &requests).unwrap()
}

/// The values of some variables, one line a node.
fn table(plans: &[LaunchPlan], names: &[&str]) -> Vec<String> {
    let value = |plan: &LaunchPlan, name: &&str| {
        plan.environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .unwrap()
    };
    plans
        .iter()
        .map(|plan| {
            names
                .iter()
                .map(|name| value(plan, name))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn ranks_follow_roles_and_indices_and_local_ranks_the_machines() {
    let plans = planned(job(&[("lead", 1), ("worker", 3), ("tensorboard", 1)]));
    assert_eq!(
        table(
            &plans,
            &[
                "RANK",
                "WORLD_SIZE",
                "LOCAL_RANK",
                "LOCAL_WORLD_SIZE",
                "GROUP_RANK",
                "GROUP_WORLD_SIZE"
            ]
        ),
        ["0 4 0 3 0 2", "1 4 1 3 0 2", "2 4 0 1 1 2", "3 4 2 3 0 2"]
    );
    assert_eq!(
        table(&plans, &["ROLE_NAME", "ROLE_RANK", "ROLE_WORLD_SIZE"]),
        ["lead 0 1", "worker 0 3", "worker 1 3", "worker 2 3"]
    );
}

#[test]
fn everybody_meets_at_the_first_node_and_speaks_through_its_own_interface() {
    let plans = planned(job(&[("worker", 2)]));
    assert_eq!(
        table(
            &plans,
            &[
                "MASTER_ADDR",
                "MASTER_PORT",
                "GLOO_SOCKET_IFNAME",
                "TORCHELASTIC_RESTART_COUNT"
            ]
        ),
        ["10.0.0.1 4000 eth0 2", "10.0.0.1 4000 eth1 2"]
    );
}

#[test]
fn a_node_with_gpus_of_its_own_finds_device_0() {
    let mut job = job(&[("worker", 3)]);
    job.roles[0].gpus_per_node = 1;
    assert_eq!(
        table(
            &planned(job),
            &["RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK"]
        ),
        ["0 0 1 0", "1 0 1 1", "2 0 1 2"]
    );
}

#[test]
fn all_must_finish_and_the_loss_of_one_is_the_loss_of_all() {
    let preparation = PyTorch::prepare(&job(&[("worker", 2), ("tensorboard", 1)]));
    let rules: Vec<_> = preparation
        .policies
        .iter()
        .map(|policy| (policy.finish, policy.recovery))
        .collect();
    assert_eq!(
        rules,
        [
            (FinishRule::All, RecoveryScope::Cluster),
            (FinishRule::Observer, RecoveryScope::Node)
        ]
    );
    assert_eq!(preparation.policies[0].ports, [PortNeed::first("master")]);
    assert_eq!(preparation.problems, []);
}

#[test]
fn a_job_that_does_not_train_is_refused() {
    let problems = PyTorch::prepare(&job(&[("tensorboard", 2)])).problems;
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["roles.tensorboard.nodes", "roles"]);
}
