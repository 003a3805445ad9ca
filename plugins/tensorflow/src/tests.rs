use forebay_plugin_sdk::{
    Ending, FinishRule, Guarantee, KnownCause, Machine, Member, NodeId, RecoveryScope, RoleMembers,
    RoleSpec, ScriptError, VerdictKind,
};

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

fn fed(mut job: JobSpec, fed: &str) -> JobSpec {
    for role in job.roles.iter_mut().filter(|role| role.name == fed) {
        role.has_input = true;
    }
    job
}

fn rules(job: &JobSpec) -> Vec<(String, FinishRule)> {
    TensorFlow::prepare(job)
        .policies
        .into_iter()
        .map(|policy| (policy.role, policy.finish))
        .collect()
}

#[track_caller]
fn check_rules(job: &JobSpec, expected: &[(&str, FinishRule)]) {
    assert_eq!(
        rules(job),
        expected
            .iter()
            .map(|(role, rule)| ((*role).to_owned(), *rule))
            .collect::<Vec<_>>()
    );
}

/// Role, index and ports; all on machine 0 but the last.
fn planned(job: &mut JobSpec, asked: &[(&str, u32)]) -> Vec<LaunchPlan> {
    let preparation = TensorFlow::prepare(job);
    for (role, policy) in job.roles.iter_mut().zip(preparation.policies) {
        role.policy = Some(policy);
    }
    let member = |index, port| Member {
        index,
        machine: index.min(1),
        local_index: 0,
        ports: vec![port],
    };
    let members = |role: &RoleSpec, base: u16| RoleMembers {
        role: role.name.clone(),
        members: (0..role.nodes)
            .zip(base..)
            .map(|(index, port)| member(index, port))
            .collect(),
    };
    let observes = |role: &&RoleSpec| !role.finishes(FinishRule::Observer);
    let machine = |name: &str, address: &str| Machine {
        name: name.into(),
        address: address.into(),
        device: "eth0".into(),
    };
    let spec = ClusterSpec {
        generation: 1,
        machines: vec![machine("a", "10.0.0.1"), machine("b", "10.0.0.2")],
        roles: job
            .roles
            .iter()
            .filter(observes)
            .zip([100, 200, 300])
            .map(|(role, base)| members(role, base))
            .collect(),
    };
    let request = |(role, index): &(&str, u32)| LaunchRequest {
        node: NodeId::new(*role, *index),
        attempt: 1,
        place: member(*index, 6006),
    };
    let requests: Vec<_> = asked.iter().map(request).collect();
    TensorFlow::plan(job, &spec, &requests).unwrap()
}

#[test]
fn without_input_the_chief_or_else_worker_0_decides() {
    use FinishRule::{All, First, Observer, Service};
    check_rules(
        &job(&[
            ("worker", 2),
            ("ps", 1),
            ("evaluator", 1),
            ("tensorboard", 1),
        ]),
        &[
            ("worker", First),
            ("ps", Service),
            ("evaluator", Observer),
            ("tensorboard", Observer),
        ],
    );
    check_rules(
        &job(&[("chief", 1), ("worker", 2), ("ps", 1)]),
        &[("chief", First), ("worker", All), ("ps", Service)],
    );
}

#[test]
fn with_input_all_workers_have_to_finish() {
    use FinishRule::{All, Service};
    check_rules(
        &fed(job(&[("worker", 2), ("ps", 1)]), "worker"),
        &[("worker", All), ("ps", Service)],
    );
    check_rules(
        &fed(job(&[("chief", 1), ("worker", 2)]), "worker"),
        &[("chief", All), ("worker", All)],
    );
}

#[test]
fn a_worker_restarts_alone_only_beside_parameter_servers() {
    let scope = |job: &JobSpec| TensorFlow::prepare(job).policies[0].recovery;
    assert_eq!(
        scope(&job(&[("worker", 2), ("ps", 1)])),
        RecoveryScope::Node
    );
    assert_eq!(scope(&job(&[("worker", 2)])), RecoveryScope::Cluster);
    assert!(TensorFlow::prepare(&job(&[("worker", 1), ("ps", 1)])).hold_at_barrier);
    assert!(!TensorFlow::prepare(&job(&[("worker", 1)])).hold_at_barrier);
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut job = fed(
        job(&[
            ("chief", 2),
            ("ps", 1),
            ("evaluator", 3),
            ("tensorboard", 2),
            ("master", 1),
        ]),
        "ps",
    );
    let problems = TensorFlow::prepare(&job).problems;
    let texts: Vec<_> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect();
    assert_eq!(
        texts,
        [
            "roles.chief.nodes: TensorFlow takes one `chief`, the job asks for 2",
            "roles.ps.input: `ps` does not train and takes no input",
            "roles.ps: parameter servers have nobody to serve: the job has no role `worker`",
            "roles.evaluator.nodes: TensorFlow takes one `evaluator`, the job asks for 3",
            "roles.tensorboard.nodes: one node of `tensorboard` shows the whole job",
            "roles.master: TensorFlow knows no role `master`",
        ]
    );
    job.roles.retain(|role| role.name == "tensorboard");
    assert!(
        TensorFlow::prepare(&job)
            .problems
            .iter()
            .any(|problem| problem.message.starts_with("no role trains"))
    );
}

#[test]
fn a_cluster_that_does_not_fit_a_variable_is_refused_before_it_is_placed() {
    let problems = TensorFlow::prepare(&job(&[("worker", 6_000), ("ps", 1)])).problems;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("6001 nodes"));
}

#[test]
fn tf_config_names_the_cluster_without_observers_and_ones_own_task() {
    let mut job = job(&[
        ("worker", 2),
        ("ps", 1),
        ("evaluator", 1),
        ("tensorboard", 1),
    ]);
    let plans = planned(&mut job, &[("worker", 1), ("evaluator", 0)]);
    let cluster = r#""cluster":{"ps":["10.0.0.1:200"],"worker":["10.0.0.1:100","10.0.0.2:101"]}"#;
    let expected = |task: &str| {
        vec![(
            "TF_CONFIG".to_owned(),
            format!("{{{cluster},\"task\":{task}}}"),
        )]
    };
    assert_eq!(
        plans[0].environment,
        expected(r#"{"index":1,"type":"worker"}"#)
    );
    assert_eq!(
        plans[1].environment,
        expected(r#"{"index":0,"type":"evaluator"}"#)
    );
    assert_eq!(plans[0].program, Program::RoleCommand);
}

#[test]
fn tensorboard_listens_on_its_own_lease_and_shows_the_folder_that_the_job_names() {
    let mut job = job(&[("worker", 1), ("tensorboard", 1)]);
    job.properties.push(("logdir".into(), "logs".into()));
    let plan = planned(&mut job, &[("tensorboard", 0)]).remove(0);
    assert_eq!(plan.program, Program::Interpreter);
    assert_eq!(
        plan.arguments[2..],
        [
            "--logdir",
            "logs",
            "--host",
            "10.0.0.1",
            "--port",
            "6006",
            "--load_fast=false"
        ]
    );
}

#[test]
fn a_node_that_lost_a_peer_may_try_again() {
    let report = |kind: &str, message: &str| ExitReport {
        node: NodeId::new("worker", 1),
        attempt: 1,
        ending: Ending::Code(1),
        cause: KnownCause::None,
        error: Some(ScriptError {
            kind: kind.into(),
            message: message.into(),
            traceback: String::new(),
        }),
        hint: None,
        last_lines: vec![],
        was_ready: true,
        input_left: false,
        ran_ms: 1,
    };
    let kind = |kind: &str, message: &str| {
        TensorFlow::interpret_exit(&job(&[]), &report(kind, message)).kind
    };
    let errors = "tensorflow.python.framework.errors_impl";
    assert_eq!(
        kind(&format!("{errors}.UnavailableError"), "Socket closed"),
        VerdictKind::Retry
    );
    assert_eq!(
        kind(&format!("{errors}.InvalidArgumentError"), "shapes differ"),
        VerdictKind::Fatal
    );
    let missing = TensorFlow::interpret_exit(
        &job(&[]),
        &report("ModuleNotFoundError", "No module named 'tensorflow'"),
    );
    assert!(
        missing
            .hint
            .is_some_and(|hint| hint.contains("pip install tensorflow-cpu"))
    );
}
