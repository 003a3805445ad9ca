use forebay_plugin_sdk::{FinishRule, Guarantee, Machine, Member, RoleMembers};

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

/// The plan of every node of the prepared job, all on one machine.
fn planned(mut job: JobSpec) -> Vec<LaunchPlan> {
    let preparation = MxNet::prepare(&job);
    job.roles.extend(preparation.implied);
    for (role, policy) in job.roles.iter_mut().zip(preparation.policies) {
        role.policy = Some(policy);
    }
    let members = |role: &RoleSpec, base: u16| RoleMembers {
        role: role.name.clone(),
        members: (0..role.nodes)
            .zip(base..)
            .map(|(index, port)| Member {
                index,
                machine: 0,
                local_index: index,
                ports: vec![port],
            })
            .collect(),
    };
    let spec = ClusterSpec {
        generation: 1,
        machines: vec![Machine {
            name: "a".into(),
            address: "10.0.0.1".into(),
            device: "eth0".into(),
        }],
        roles: job
            .roles
            .iter()
            .zip([100, 200, 300])
            .map(|(role, base)| members(role, base))
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
            attempt: 1,
            place,
        })
        .collect();
    MxNet::plan(&job, &spec, &requests).unwrap()
}

#[test]
fn the_scheduler_is_implied_unless_the_job_names_it() {
    let preparation = MxNet::prepare(&job(&[("server", 1), ("worker", 2)]));
    assert_eq!(preparation.implied, [RoleSpec::new("scheduler", 1)]);
    let rules: Vec<_> = preparation
        .policies
        .iter()
        .map(|policy| (policy.role.as_str(), policy.finish))
        .collect();
    assert_eq!(
        rules,
        [
            ("server", FinishRule::Service),
            ("worker", FinishRule::All),
            ("scheduler", FinishRule::Service)
        ]
    );
    let named = MxNet::prepare(&job(&[("scheduler", 1), ("server", 1), ("worker", 2)]));
    assert_eq!((named.implied, named.problems), (vec![], vec![]));
}

#[test]
fn everybody_finds_the_scheduler_and_listens_on_its_own_lease() {
    let plans = planned(job(&[("worker", 2), ("server", 1)]));
    let shown = |plan: &LaunchPlan| {
        let variables: Vec<_> = plan
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{} {:?} {}", plan.node, plan.program, variables.join(" "))
    };
    let common = "DMLC_PS_ROOT_URI=10.0.0.1 DMLC_PS_ROOT_PORT=300 DMLC_NUM_SERVER=1 DMLC_NUM_WORKER=2 DMLC_NODE_HOST=10.0.0.1";
    assert_eq!(
        plans.iter().map(shown).collect::<Vec<_>>(),
        [
            format!("worker:0 Program::RoleCommand DMLC_ROLE=worker {common} PORT=100"),
            format!("worker:1 Program::RoleCommand DMLC_ROLE=worker {common} PORT=101"),
            format!("server:0 Program::Interpreter DMLC_ROLE=server {common} PORT=200"),
            format!("scheduler:0 Program::Interpreter DMLC_ROLE=scheduler {common} PORT=300"),
        ]
    );
    assert_eq!(plans[3].arguments, ["-c", "import mxnet"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut job = job(&[("scheduler", 2), ("ps", 1), ("server", 1)]);
    job.roles[2].has_input = true;
    let problems = MxNet::prepare(&job).problems;
    let texts: Vec<_> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect();
    assert_eq!(
        texts,
        [
            "roles.scheduler.nodes: MXNet takes one `scheduler`, the job asks for 2",
            "roles.ps: MXNet knows no role `ps`",
            "roles.server.input: `server` does not train and takes no input",
            "roles: MXNet needs a role `worker`, which trains; the job has none",
        ]
    );
}
