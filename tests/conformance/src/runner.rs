use forebay_plugin::{
    CheckedRunner, ClusterSpec, Ending, ExitReport, Fault, Grants, JobSpec, KnownCause,
    LaunchRequest, Limits, Machine, Member, NodeId, RoleMembers, RolePolicy, ScriptError, Severity,
    StartFailure,
};

use crate::{Failures, Subject, chain, with_policies};

/// Checks the node runner, if there is one. Gives the policies of the roles of the subject's job.
pub(crate) fn check(subject: &Subject<'_>, failures: &mut Failures) -> Vec<RolePolicy> {
    let Some(runner) = (subject.runner)() else {
        return Vec::new();
    };
    failures.expect(
        *runner.describe() == subject.manifest.description(),
        "`describe` differs from `plugin.toml`",
    );
    let runner = CheckedRunner::new(
        runner,
        subject.manifest.clone(),
        Grants::default(),
        Limits::default(),
    );
    check_odd_jobs(&runner, &subject.job, failures);
    let Some(job) = prepare(&runner, &subject.job, failures) else {
        return Vec::new();
    };
    check_plans(&runner, &job, failures);
    check_exits(&runner, &job, failures);
    job.roles
        .into_iter()
        .filter_map(|role| role.policy)
        .collect()
}

/// The job with implied roles and policies.
fn prepare(runner: &CheckedRunner, job: &JobSpec, failures: &mut Failures) -> Option<JobSpec> {
    let preparation = failures.value("`prepare` of a good job", runner.prepare(job))?;
    failures.expect(
        runner
            .prepare(job)
            .is_ok_and(|second| second == preparation),
        "`prepare` is not deterministic",
    );
    for problem in preparation
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
    {
        failures.expect(
            false,
            format!(
                "`prepare` refuses a good job at `{}`: {}",
                problem.key, problem.message
            ),
        );
    }
    let preparation = preparation.into_inner();
    let mut job = job.clone();
    job.roles.extend(preparation.implied);
    Some(with_policies(&job, &preparation.policies))
}

/// Whatever a job says, the answer is problems and never a trap.
fn check_odd_jobs(runner: &CheckedRunner, job: &JobSpec, failures: &mut Failures) {
    let mut check = |what: &str, edit: &dyn Fn(&mut JobSpec)| {
        let mut odd = job.clone();
        edit(&mut odd);
        failures.value(&format!("`prepare` of {what}"), runner.prepare(&odd));
    };
    check("a job without roles", &|job| job.roles.clear());
    check("a job with an unknown role", &|job| {
        "stranger".clone_into(&mut job.roles[0].name);
    });
    check("a job with many nodes", &|job| {
        for role in &mut job.roles {
            (role.nodes, role.nodes_max) = (1_000, 1_000);
        }
    });
    check("a job with strange properties", &|job| {
        let strange = ("no-such-property".to_owned(), "\u{0} [ü".to_owned());
        job.properties.push(strange.clone());
        job.roles[0].properties.push(strange);
    });
    check("a fed job", &|job| {
        job.roles.iter_mut().for_each(|role| role.has_input = true);
    });
}

fn check_plans(runner: &CheckedRunner, job: &JobSpec, failures: &mut Failures) {
    let (cluster, requests) = cluster(job);
    let plans = failures.value(
        "`plan` of a whole cluster",
        runner.plan(job, &cluster, &requests),
    );
    let second = runner.plan(job, &cluster, &requests).ok();
    failures.expect(plans == second, "`plan` is not deterministic");
    failures.value("`plan` of nobody", runner.plan(job, &cluster, &[]));
    for request in requests {
        let alone = runner
            .plan(job, &cluster, std::slice::from_ref(&request))
            .ok();
        let among = plans
            .as_ref()
            .and_then(|plans| plans.iter().find(|plan| plan.node == request.node));
        let same = alone.as_ref().and_then(|plans| plans.first()) == among;
        failures.expect(
            same,
            format!(
                "the plan of `{}` depends on who is asked for with it",
                request.node
            ),
        );
    }
    let strange = LaunchRequest {
        node: NodeId::new("stranger", 3),
        attempt: 1,
        place: Member {
            index: 3,
            machine: 9,
            local_index: 0,
            ports: Vec::new(),
        },
    };
    let answer = runner.plan(job, &ClusterSpec::default(), &[strange]);
    let total = answer
        .as_ref()
        .err()
        .is_none_or(|error| matches!(error.fault, Fault::Plugin(_)));
    failures.expect(total, "`plan` of a strange node traps instead of an error");
}

/// Everybody on one machine, with ports of their own, and a request for each.
fn cluster(job: &JobSpec) -> (ClusterSpec, Vec<LaunchRequest>) {
    let (mut roles, mut requests, mut port) = (Vec::new(), Vec::new(), 20_000);
    for role in &job.roles {
        let needs = role.policy.as_ref().map_or(&[][..], |policy| &policy.ports);
        let mut members = Vec::new();
        for index in 0..role.nodes {
            let ports = needs
                .iter()
                .filter(|need| index == 0 || !need.first_only)
                .map(|_| {
                    port += 1;
                    port
                });
            let place = Member {
                index,
                machine: 0,
                local_index: index,
                ports: ports.collect(),
            };
            members.push(place.clone());
            requests.push(LaunchRequest {
                node: NodeId::new(&role.name, index),
                attempt: 1,
                place,
            });
        }
        roles.push(RoleMembers {
            role: role.name.clone(),
            members,
        });
    }
    let machine = Machine {
        name: "one".to_owned(),
        address: "192.0.2.1".to_owned(),
        device: "eth0".to_owned(),
    };
    (
        ClusterSpec {
            generation: 1,
            machines: vec![machine],
            roles,
        },
        requests,
    )
}

/// Every way to end has a verdict.
fn check_exits(runner: &CheckedRunner, job: &JobSpec, failures: &mut Failures) {
    for role in &job.roles {
        for report in exits(&NodeId::new(&role.name, 0)) {
            if let Err(failure) = runner.interpret_exit(job, &report) {
                let (node, ending, cause) = (&report.node, &report.ending, &report.cause);
                let why = chain(&failure);
                failures.expect(
                    false,
                    format!("`{node}` ended with {ending:?}, {cause:?}: {why}"),
                );
            }
        }
    }
}

fn exits(node: &NodeId) -> Vec<ExitReport> {
    let plain = |ending| ExitReport {
        node: node.clone(),
        attempt: 1,
        ending,
        cause: KnownCause::None,
        error: None,
        hint: None,
        last_lines: vec!["last words".to_owned(), "\u{7}é\r50%".repeat(5_000)],
        was_ready: true,
        input_left: false,
        ran_ms: 1,
    };
    let endings = [
        Ending::Code(0),
        Ending::Code(1),
        Ending::Code(-1),
        Ending::Signal(9),
        Ending::Signal(64),
        Ending::NotStarted(StartFailure {
            code: "script-missing".to_owned(),
            message: "no such\0 file".to_owned(),
        }),
    ];
    let causes = [
        KnownCause::OutOfMemory,
        KnownCause::Stalled,
        KnownCause::StartTimeout,
        KnownCause::Refused("another \u{7}version".to_owned()),
    ];
    let messages = ["", "\u{1b}[31mno\0", &"long ".repeat(20_000)];
    let killed = causes.map(|cause| ExitReport {
        cause,
        ..plain(Ending::Signal(9))
    });
    let raised = messages.map(|message| ExitReport {
        error: Some(ScriptError {
            kind: "ValueError".to_owned(),
            message: message.to_owned(),
            traceback: "Traceback (most recent call last):\n".to_owned(),
        }),
        ..plain(Ending::Code(1))
    });
    endings
        .map(plain)
        .into_iter()
        .chain(killed)
        .chain(raised)
        .collect()
}
