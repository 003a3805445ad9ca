use forebay_plugin::{
    CheckedMachine, CheckpointDuty, CustomEvent, Event, Fault, FinishRule, JobEnd, JobSpec, Limits,
    NodeExit, NodeId, Readiness, RecoveryScope, RolePolicy, StopRequest, Verdict, VerdictKind,
};

use crate::world::Stuck;
use crate::{Failures, Subject, World, chain, with_policies};

/// Checks the state machine, if there is one.
pub(crate) fn check(subject: &Subject<'_>, policies: &[RolePolicy], failures: &mut Failures) {
    let Some(machine) = (subject.machine)() else {
        return;
    };
    failures.expect(
        *machine.describe() == subject.manifest.description(),
        "`describe` differs from `plugin.toml`",
    );
    let machine = CheckedMachine::new(machine, Limits::default());
    let job = job(&subject.job, policies);
    check_same_answer(&machine, &job, failures);
    check_strange_states(&machine, &job, failures);
    check_strange_events(&machine, &job, failures);
    check_ends(&machine, &job, failures);
}

/// Every role has a policy; one without a runner of its own has a plain one.
fn job(job: &JobSpec, policies: &[RolePolicy]) -> JobSpec {
    let mut job = with_policies(job, policies);
    for role in &mut job.roles {
        role.policy.get_or_insert_with(|| RolePolicy {
            role: role.name.clone(),
            finish: FinishRule::All,
            recovery: RecoveryScope::Node,
            adapts: false,
            ready_when: Readiness::Started,
            checkpoint: CheckpointDuty::None,
            ports: Vec::new(),
        });
    }
    job
}

fn check_same_answer(machine: &CheckedMachine, job: &JobSpec, failures: &mut Failures) {
    let world = World::new(job.clone());
    let answer = || machine.decide(job, &world.moment(), &world.view, &[], &world.events);
    let first = failures.value("`decide` of a submitted job", answer());
    failures.expect(first == answer().ok(), "`decide` is not deterministic");
}

/// State bytes of any kind give a decision or the plugin's own error.
fn check_strange_states(machine: &CheckedMachine, job: &JobSpec, failures: &mut Failures) {
    let mut world = World::new(job.clone());
    failures.value("`decide` of a submitted job", world.step(machine));
    let good = world.state.clone();
    let cuts = (0..good.len()).map(|end| good[..end].to_vec());
    let flips = (0..good.len()).map(|at| {
        let mut flipped = good.clone();
        flipped[at] ^= 0x55;
        flipped
    });
    let foreign = [
        b"{}".to_vec(),
        b"[1, 2]".to_vec(),
        vec![0xff; 64],
        vec![0; 4096],
        b"null".to_vec(),
    ];
    for state in cuts.chain(flips).chain(foreign) {
        let answer = machine.decide(job, &world.moment(), &world.view, &state, &world.events);
        if let Err(error) = answer
            && !matches!(error.fault, Fault::Plugin(_))
        {
            failures.expect(false, format!("strange state {state:?}: {}", chain(&error)));
        }
    }
}

/// Events that the view contradicts, that nobody knows, or that come twice, break nothing and end nothing.
fn check_strange_events(machine: &CheckedMachine, job: &JobSpec, failures: &mut Failures) {
    let Some(role) = job.roles.first() else {
        return;
    };
    let node = NodeId::new(&role.name, 0);
    let verdict = Verdict {
        kind: VerdictKind::Retry,
        reason: "long ago".to_owned(),
        hint: None,
    };
    let stale = Event::NodeExited(NodeExit {
        node: node.clone(),
        attempt: 0,
        verdict,
    });
    let custom = CustomEvent {
        name: "no-such-event".to_owned(),
        node: Some(node.clone()),
        payload: "?".to_owned(),
    };
    let stranger = vec![NodeId::new("stranger", 7)];
    let strange = [
        ("an unknown custom event", Event::Custom(custom)),
        ("a stale exit", stale),
        ("a ready node that was ready", Event::NodesReady(vec![node])),
        ("a placed stranger", Event::NodesPlaced(stranger.clone())),
        ("a lost stranger", Event::NodesLost(stranger)),
        ("an unknown timer", Event::Timer("no-such-timer".to_owned())),
        (
            "a new machine",
            Event::MachinesJoined(vec!["two".to_owned()]),
        ),
        ("a new application manager", Event::Recovered(1_000)),
        ("a resumed job", Event::Resumed),
    ];
    for (what, event) in strange {
        let mut world = World::new(job.clone());
        if world.start(machine).is_err() {
            failures.expect(false, "the nodes of a job do not become ready");
            return;
        }
        world.events = vec![event.clone(), event];
        failures.value(&format!("`decide` with {what}"), world.step(machine));
        check_end(
            what,
            &world.finish(machine, VerdictKind::Finished),
            &JobEnd::Succeeded,
            failures,
        );
    }
}

fn check_ends(machine: &CheckedMachine, job: &JobSpec, failures: &mut Failures) {
    let succeeded = World::new(job.clone()).finish(machine, VerdictKind::Finished);
    check_end("all nodes finish", &succeeded, &JobEnd::Succeeded, failures);

    let failed = World::new(job.clone()).finish(machine, VerdictKind::Fatal);
    failures.expect(
        matches!(failed, Ok(JobEnd::Failed(_))),
        format!("a node fails for good: {failed:?} instead of a failed job"),
    );

    let mut world = World::new(job.clone());
    let started = world.start(machine);
    world.events.push(Event::StopRequested(StopRequest {
        request: 1,
        deadline_ms: 30_000,
    }));
    let stopped = started.and_then(|()| world.finish(machine, VerdictKind::Retry));
    check_end("a stop is asked for", &stopped, &JobEnd::Stopped, failures);
}

fn check_end(what: &str, end: &Result<JobEnd, Stuck>, expected: &JobEnd, failures: &mut Failures) {
    match end {
        Ok(end) if end == expected => {}
        Ok(end) => failures.expect(false, format!("{what}: the job ends as {end:?}")),
        Err(stuck) => failures.expect(false, format!("{what}: {}", chain(stuck))),
    }
}
