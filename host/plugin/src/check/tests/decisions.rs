use super::*;
use crate::check::CheckedMachine;

/// worker:0 is ready, worker:1 has exited, worker:2 is placed; server:0 was never asked for, and waits.
fn view() -> JobView {
    let seen = |phase| NodeView {
        phase,
        attempt: 1,
        ..NodeView::default()
    };
    let workers = vec![
        seen(NodePhase::Ready),
        seen(NodePhase::Exited),
        seen(NodePhase::Placed),
    ];
    let role = |name: &str, nodes| RoleView {
        role: name.to_owned(),
        nodes,
        input_ended: false,
    };
    JobView {
        dataflow: DataflowPhase::None,
        generation: 1,
        last_checkpoint: None,
        roles: vec![
            role("worker", workers),
            role("server", vec![NodeView::default()]),
        ],
        machines: vec!["one".to_owned()],
    }
}

fn decide(decision: Decision, view: &JobView, limits: Limits) -> String {
    let machine = CheckedMachine::new(
        Box::new(Fake {
            decision,
            ..Fake::default()
        }),
        limits,
    );
    let now = Moment {
        now_ms: 1,
        event_number: 1,
        seed: 1,
    };
    let asked = Event::StopRequested(StopRequest {
        request: 7,
        deadline_ms: 30_000,
    });
    outcome(machine.decide(&job(), &now, view, &[], &[asked]))
}

fn decision(actions: Vec<Action>) -> Decision {
    Decision {
        phase: "running".to_owned(),
        actions,
        ..Decision::default()
    }
}

/// What becomes of these actions.
fn check(actions: Vec<Action>) -> String {
    decide(decision(actions), &view(), Limits::default())
}

fn place(texts: &[&str]) -> Action {
    Action::Place(PlaceRequest {
        nodes: nodes(texts),
        avoid: Vec::new(),
        deadline_ms: 1_000,
    })
}

fn stop(texts: &[&str]) -> Action {
    Action::Stop(StopOrder {
        nodes: nodes(texts),
        grace_ms: 1_000,
    })
}

fn start(texts: &[&str]) -> Action {
    Action::Start(nodes(texts))
}

fn release(texts: &[&str]) -> Action {
    Action::Release(nodes(texts))
}

fn publish(texts: &[&str]) -> Action {
    Action::Publish(nodes(texts))
}

fn resize(role: &str, nodes: u32) -> Action {
    Action::Resize(ResizeOrder {
        role: role.to_owned(),
        nodes,
    })
}

fn timer(id: &str, after_ms: u64) -> Action {
    Action::SetTimer(TimerOrder {
        id: id.to_owned(),
        after_ms,
    })
}

fn refuse(request: u64, reason: &str) -> Action {
    Action::Refuse(Refusal {
        request,
        reason: reason.to_owned(),
    })
}

fn fail(reason: &str, node: Option<&str>) -> Action {
    let node = node.map(super::node);
    Action::Finish(JobEnd::Failed(JobFailure {
        reason: reason.to_owned(),
        node,
    }))
}

#[test]
fn lists_of_nodes() {
    insta::assert_snapshot!(table([
        ("none", check(vec![stop(&[])])),
        ("unknown role", check(vec![stop(&["mill:0"])])),
        ("unknown node", check(vec![stop(&["worker:3"])])),
        ("twice", check(vec![stop(&["worker:0", "worker:1", "worker:0"])])),
        ("second action", check(vec![timer("t", 1), start(&["mill:0"])])),
        ("no actions", check(vec![])),
    ]), @r"
    none: the action at position 0 (`stop`) is not valid: it names no node
    unknown role: the action at position 0 (`stop`) is not valid: the job has no role `mill`
    unknown node: the action at position 0 (`stop`) is not valid: the job has no node `worker:3`
    twice: the action at position 0 (`stop`) is not valid: it names `worker:0` twice
    second action: the action at position 1 (`start`) is not valid: the job has no role `mill`
    no actions: valid
    ");
}

#[test]
fn places_and_releases() {
    insta::assert_snapshot!(table([
        ("place", check(vec![place(&["server:0"])])),
        ("place one with a place", check(vec![place(&["worker:1"])])),
        ("place twice", check(vec![place(&["server:0"]), place(&["server:0"])])),
        ("release and place", check(vec![release(&["worker:1"]), place(&["worker:1"])])),
        ("cancel a place and ask again", check(vec![
            place(&["server:0"]), release(&["server:0"]), place(&["server:0"]),
        ])),
        ("release a live node", check(vec![release(&["worker:0"])])),
        ("stop and release", check(vec![stop(&["worker:0"]), release(&["worker:0"])])),
        ("release what has no place", check(vec![release(&["server:0"])])),
        ("deadline of a thousand years", check(vec![Action::Place(PlaceRequest {
            nodes: nodes(&["server:0"]), avoid: vec![], deadline_ms: 31_536_000_000_000,
        })])),
    ]), @r"
    place: valid
    place one with a place: the action at position 0 (`place`) is not valid: `worker:1` has a place already: release it first
    place twice: the action at position 1 (`place`) is not valid: a place for `server:0` has been asked for already
    release and place: valid
    cancel a place and ask again: valid
    release a live node: the action at position 0 (`release`) is not valid: `worker:0` is ready: stop it and wait for its end first
    stop and release: the action at position 1 (`release`) is not valid: `worker:0` is stopping: stop it and wait for its end first
    release what has no place: valid
    deadline of a thousand years: the action at position 0 (`place`) is not valid: its deadline of 31536000000000 ms is longer than the limit `wait-ms` of 31622400000
    ");
}

#[test]
fn starts_and_stops() {
    let unpublished = JobView {
        generation: 0,
        ..view()
    };
    let first = |actions| decide(decision(actions), &unpublished, Limits::default());
    insta::assert_snapshot!(table([
        ("start", check(vec![start(&["worker:1", "worker:2"])])),
        ("without a place", check(vec![start(&["server:0"])])),
        ("place and start", check(vec![place(&["server:0"]), start(&["server:0"])])),
        ("release and start", check(vec![release(&["worker:2"]), start(&["worker:2"])])),
        ("a live one", check(vec![start(&["worker:0"])])),
        ("twice", check(vec![start(&["worker:1"]), start(&["worker:1"])])),
        ("restart", check(vec![stop(&["worker:0"]), start(&["worker:0"])])),
        ("stop what does not run", check(vec![stop(&["worker:1", "server:0"])])),
        ("nothing published", first(vec![start(&["worker:2"])])),
        ("publish and start", first(vec![publish(&["worker:2"]), start(&["worker:2"])])),
    ]), @r"
    start: valid
    without a place: the action at position 0 (`start`) is not valid: `server:0` has no place: it is absent
    place and start: the action at position 1 (`start`) is not valid: `server:0` is only asked for in this decision: wait for `nodes-placed`
    release and start: the action at position 1 (`start`) is not valid: `worker:2` has no place: it is absent
    a live one: the action at position 0 (`start`) is not valid: an attempt of `worker:0` is ready already: stop it first
    twice: the action at position 1 (`start`) is not valid: an attempt of `worker:1` is starting already: stop it first
    restart: valid
    stop what does not run: valid
    nothing published: the action at position 0 (`start`) is not valid: no cluster is published that `worker:2` could start in
    publish and start: valid
    ");
}

#[test]
fn clusters() {
    insta::assert_snapshot!(table([
        ("publish", check(vec![publish(&["worker:0", "worker:1", "worker:2"])])),
        ("nobody", check(vec![publish(&[])])),
        ("without a place", check(vec![publish(&["worker:0", "server:0"])])),
        ("place and publish", check(vec![place(&["server:0"]), publish(&["server:0"])])),
        ("release and publish", check(vec![release(&["worker:1"]), publish(&["worker:1"])])),
    ]), @r"
    publish: valid
    nobody: the action at position 0 (`publish`) is not valid: it names no node
    without a place: the action at position 0 (`publish`) is not valid: `server:0` has no place: it is absent
    place and publish: the action at position 1 (`publish`) is not valid: `server:0` is only asked for in this decision: wait for `nodes-placed`
    release and publish: the action at position 1 (`publish`) is not valid: `worker:1` has no place: it is absent
    ");
}

#[test]
fn sizes_and_inputs() {
    insta::assert_snapshot!(table([
        ("resize", check(vec![resize("worker", 4)])),
        ("too large", check(vec![resize("worker", 5)])),
        ("too small", check(vec![resize("worker", 0)])),
        ("unknown role", check(vec![resize("mill", 1)])),
        ("grow and place", check(vec![resize("worker", 4), place(&["worker:3"])])),
        ("grow and place more", check(vec![resize("worker", 4), place(&["worker:4"])])),
        ("rewind", check(vec![Action::Rewind(nodes(&["worker:0"]))])),
        ("rewind past a live reader", check(vec![Action::Rewind(vec![])])),
        ("stop and rewind", check(vec![stop(&["worker:0"]), Action::Rewind(vec![])])),
        ("rewind a dead node", check(vec![Action::Rewind(nodes(&["worker:0", "worker:1"]))])),
        ("end input", check(vec![Action::EndInput(vec!["worker".to_owned()])])),
        ("end input of one without", check(vec![Action::EndInput(vec!["server".to_owned()])])),
        ("end input of nobody", check(vec![Action::EndInput(vec!["mill".to_owned()])])),
    ]), @r"
    resize: valid
    too large: the action at position 0 (`resize`) is not valid: 5 nodes are outside the bounds 1 to 4 of role `worker`
    too small: the action at position 0 (`resize`) is not valid: 0 nodes are outside the bounds 1 to 4 of role `worker`
    unknown role: the action at position 0 (`resize`) is not valid: the job has no role `mill`
    grow and place: valid
    grow and place more: the action at position 1 (`place`) is not valid: the job has no node `worker:4`
    rewind: valid
    rewind past a live reader: the action at position 0 (`rewind`) is not valid: `worker:0` has input and is live: name it, or stop it first
    stop and rewind: valid
    rewind a dead node: the action at position 0 (`rewind`) is not valid: `worker:1` is exited: only a live node can go back
    end input: valid
    end input of one without: the action at position 0 (`end-input`) is not valid: role `server` has no input
    end input of nobody: the action at position 0 (`end-input`) is not valid: the job has no role `mill`
    ");
}

#[test]
fn timers_refusals_and_custom_actions() {
    let custom = CustomAction {
        name: "spin".to_owned(),
        payload: String::new(),
    };
    insta::assert_snapshot!(table([
        ("timer", check(vec![timer("back-off", 500), Action::CancelTimer("never-set".to_owned())])),
        ("empty id", check(vec![timer("", 1)])),
        ("odd id", check(vec![timer("back off", 1)])),
        ("longest id", check(vec![timer(&"t".repeat(128), 1)])),
        ("longer id", check(vec![timer(&"t".repeat(129), 1)])),
        ("cancel nothing", check(vec![Action::CancelTimer(String::new())])),
        ("for ever", check(vec![timer("t", u64::MAX)])),
        ("refuse", check(vec![refuse(7, "nearly done")])),
        ("refuse twice", check(vec![refuse(7, "no"), refuse(7, "no")])),
        ("refuse nothing", check(vec![refuse(8, "no")])),
        ("refuse without a reason", check(vec![refuse(7, " ")])),
        ("custom", check(vec![Action::Custom(custom)])),
    ]), @r#"
    timer: valid
    empty id: the action at position 0 (`set-timer`) is not valid: its timer id is empty
    odd id: the action at position 0 (`set-timer`) is not valid: its timer id has spaces or control characters: "back off"
    longest id: valid
    longer id: the action at position 0 (`set-timer`) is not valid: its timer id has 129 bytes, more than 128
    cancel nothing: the action at position 0 (`cancel-timer`) is not valid: its timer id is empty
    for ever: the action at position 0 (`set-timer`) is not valid: its time of 18446744073709551615 ms is longer than the limit `wait-ms` of 31622400000
    refuse: valid
    refuse twice: the action at position 1 (`refuse`) is not valid: no event of this call carries the request 7, or it is refused already
    refuse nothing: the action at position 0 (`refuse`) is not valid: no event of this call carries the request 8, or it is refused already
    refuse without a reason: the action at position 0 (`refuse`) is not valid: its reason is empty
    custom: the action at position 0 (`custom`) is not valid: this host knows no custom action `spin`
    "#);
}

#[test]
fn ends() {
    let with = |dataflow, end| {
        let view = JobView { dataflow, ..view() };
        decide(
            decision(vec![Action::Finish(end)]),
            &view,
            Limits::default(),
        )
    };
    insta::assert_snapshot!(table([
        ("succeeded", with(DataflowPhase::Ended, JobEnd::Succeeded)),
        ("while it runs", with(DataflowPhase::Running, JobEnd::Succeeded)),
        ("after it failed", with(DataflowPhase::Failed, JobEnd::Succeeded)),
        ("stopped while it runs", with(DataflowPhase::Running, JobEnd::Stopped)),
        ("not last", check(vec![Action::Finish(JobEnd::Stopped), stop(&["worker:0"])])),
        ("last", check(vec![stop(&["worker:0"]), Action::Finish(JobEnd::Stopped)])),
        ("failed", check(vec![fail("worker:1 ran out of memory", Some("worker:1"))])),
        ("failed without a reason", check(vec![fail("", None)])),
        ("failed by a stranger", check(vec![fail("it is gone", Some("mill:0"))])),
    ]), @r"
    succeeded: valid
    while it runs: the action at position 0 (`finish`) is not valid: the job cannot have succeeded while its dataflow is running
    after it failed: the action at position 0 (`finish`) is not valid: the job cannot have succeeded while its dataflow is failed
    stopped while it runs: valid
    not last: the action at position 0 (`finish`) is not valid: other actions follow it: it has to be the last
    last: valid
    failed: valid
    failed without a reason: the action at position 0 (`finish`) is not valid: its reason is empty
    failed by a stranger: the action at position 0 (`finish`) is not valid: the job has no role `mill`
    ");
}

#[test]
fn texts_of_a_decision() {
    let with = |phase: &str, note: Option<&str>| {
        let (phase, note) = (phase.to_owned(), note.map(str::to_owned));
        decide(
            Decision {
                phase,
                note,
                ..Decision::default()
            },
            &view(),
            Limits::default(),
        )
    };
    insta::assert_snapshot!(table([
        ("no phase", with("", None)),
        ("two words", with("going on", None)),
        ("NUL", with("run\0ning", None)),
        ("note", with("running", Some("two of three\nare ready"))),
        ("empty note", with("running", Some(""))),
        ("bell", with("running", Some("ding \u{7}"))),
        ("longest", with("running", Some(&"x".repeat(4096)))),
        ("longer", with("running", Some(&"x".repeat(4097)))),
    ]), @r#"
    no phase: the decision is not valid: its phase is empty
    two words: the decision is not valid: its phase has spaces or control characters: "going on"
    NUL: the decision is not valid: its phase has spaces or control characters: "run\0ning"
    note: valid
    empty note: the decision is not valid: its note is empty
    bell: the decision is not valid: its note has control characters: "ding \u{7}"
    longest: valid
    longer: the decision is not valid: its note has 4097 bytes, more than the limit `text-bytes` of 4096
    "#);
}

#[test]
fn limits_hold_to_the_unit() {
    let limits = || Limits {
        state_bytes: 100,
        actions: 2,
        ..Limits::default()
    };
    let with_state = |bytes| {
        let state = vec![0; bytes];
        decide(
            Decision {
                state,
                ..decision(vec![])
            },
            &view(),
            limits(),
        )
    };
    let with_actions = |count| decide(decision(vec![timer("t", 1); count]), &view(), limits());
    insta::assert_snapshot!(table([
        ("state of 100", with_state(100)),
        ("state of 101", with_state(101)),
        ("2 actions", with_actions(2)),
        ("3 actions", with_actions(3)),
    ]), @r"
    state of 100: valid
    state of 101: it exceeds the limit `state-bytes` of 100: it asks for 101
    2 actions: valid
    3 actions: it exceeds the limit `actions` of 2: it asks for 3
    ");
}

#[test]
fn what_this_host_cannot_do_is_valid_and_refused_by_name() {
    let texts = [
        Action::Rewind(vec![]),
        Action::Rewind(nodes(&["worker:0"])),
        Action::EndInput(vec![]),
        resize("worker", 2),
        timer("t", 1),
    ]
    .iter()
    .map(|action| {
        (
            action.kind(),
            crate::unsupported(action).map_or("supported".to_owned(), |no| no.to_string()),
        )
    })
    .collect::<Vec<_>>();
    insta::assert_snapshot!(table(texts), @r"
    rewind: supported
    rewind: `rewind` is not supported by this host: live nodes cannot go back: stop them, name none, and start them again
    end-input: supported
    resize: `resize` is not supported by this host: a running job keeps its size
    set-timer: supported
    ");
}
