use super::*;
use crate::check::CheckedRunner;

const MANIFEST: &str = "id = 'mill'\nversion = '1.0.0'\n[requests]\nports = 20\nnodes = 2";

/// What becomes of a preparation that was right before `edit`.
fn check(edit: impl FnOnce(&mut Preparation)) -> String {
    let mut preparation = Preparation {
        policies: vec![policy("worker"), policy("server")],
        ..Preparation::default()
    };
    edit(&mut preparation);
    let fake = Fake {
        preparation,
        ..Fake::default()
    };
    let limits = Limits {
        problems: 2,
        ..Limits::default()
    };
    let grants = Grants {
        nodes: 1,
        ..Grants::default()
    };
    let runner = CheckedRunner::new(
        Box::new(fake),
        Manifest::parse(MANIFEST).unwrap(),
        grants,
        limits,
    );
    outcome(runner.prepare(&job()))
}

fn policy(role: &str) -> RolePolicy {
    RolePolicy {
        role: role.to_owned(),
        finish: FinishRule::All,
        recovery: RecoveryScope::Node,
        adapts: false,
        ready_when: Readiness::Started,
        checkpoint: CheckpointDuty::None,
        ports: vec![],
    }
}

fn problem(severity: Severity, message: &str) -> Problem {
    Problem {
        severity,
        key: "roles.worker".to_owned(),
        message: message.to_owned(),
        hint: None,
    }
}

/// Adds this implied role, and its policy.
fn imply(role: RoleSpec) -> String {
    check(|preparation| {
        preparation.policies.push(policy(&role.name));
        preparation.implied.push(role);
    })
}

fn ports(names: &[&str], ready_when: Readiness) -> String {
    let port = |name: &&str| match name.strip_suffix('!') {
        Some(name) => PortNeed {
            name: name.to_owned(),
            first_only: true,
        },
        None => PortNeed {
            name: (*name).to_owned(),
            first_only: false,
        },
    };
    let ports = names.iter().map(port).collect();
    check(|preparation| {
        preparation.policies[0].ports = ports;
        preparation.policies[0].ready_when = ready_when;
    })
}

#[test]
fn every_role_has_one_policy() {
    let error = problem(Severity::Error, "there is no role for this");
    insta::assert_snapshot!(table([
        ("right", check(|_| ())),
        ("missing", check(|preparation| drop(preparation.policies.pop()))),
        ("missing beside an error", check(|preparation| {
            preparation.policies.clear();
            preparation.problems.push(error);
        })),
        ("missing beside a warning", check(|preparation| {
            preparation.policies.clear();
            preparation.problems.push(problem(Severity::Warning, "one worker is slow"));
        })),
        ("twice", check(|preparation| preparation.policies.push(policy("server")))),
        ("unknown", check(|preparation| preparation.policies.push(policy("miller")))),
    ]), @r"
    right: valid
    missing: the preparation is not valid: role `server` has no policy
    missing beside an error: valid
    missing beside a warning: the preparation is not valid: role `server` has no policy
    twice: the policy of role `server` is not valid: it comes twice
    unknown: the policy of role `miller` is not valid: there is no such role
    ");
}

#[test]
fn ports_of_a_policy() {
    let listening = |name: &str| Readiness::Listening(name.to_owned());
    let many = (0..17)
        .map(|number| format!("port-{number}"))
        .collect::<Vec<_>>();
    let many = many.iter().map(String::as_str).collect::<Vec<_>>();
    insta::assert_snapshot!(table([
        ("ready by port", ports(&["serving"], listening("serving"))),
        ("ready by another", ports(&["serving"], listening("control"))),
        ("ready by the first's", ports(&["serving!"], listening("serving"))),
        ("twice", ports(&["serving", "serving!"], Readiness::Attached)),
        ("no name", ports(&[""], Readiness::Attached)),
        ("as many as granted", ports(&many[..16], Readiness::Attached)),
        ("more than granted", ports(&many, Readiness::Attached)),
    ]), @r"
    ready by port: valid
    ready by another: the policy of role `worker` is not valid: it is ready when it listens on the port `control`, which it does not ask for
    ready by the first's: the policy of role `worker` is not valid: it is ready when it listens on the port `serving`, which only its first node has
    twice: the policy of role `worker` is not valid: it has the port `serving` twice
    no name: the policy of role `worker` is not valid: `` is not the name of a port: expected a small letter, then small letters, digits and dashes, 63 in all, no dash at the end
    as many as granted: valid
    more than granted: the plugin asks for 17 ports on each node of role `worker`; its `plugin.toml` lists it, but this host does not grant it
    ");
}

#[test]
fn implied_roles() {
    let one = |name: &str| RoleSpec {
        nodes_max: 1,
        ..role(name, 1)
    };
    insta::assert_snapshot!(table([
        ("right", imply(one("scheduler"))),
        ("two of one", imply(RoleSpec { nodes_max: 2, ..role("scheduler", 2) })),
        ("three of one", imply(RoleSpec { nodes_max: 3, ..role("scheduler", 3) })),
        ("there already", imply(one("server"))),
        ("not a name", imply(one("Scheduler"))),
        ("no nodes", imply(RoleSpec { nodes: 0, ..one("scheduler") })),
        ("out of bounds", imply(RoleSpec { nodes: 2, ..one("scheduler") })),
        ("fed", imply(RoleSpec { has_input: true, ..one("scheduler") })),
        ("own policy", imply(RoleSpec { policy: Some(policy("scheduler")), ..one("scheduler") })),
        ("without policy", check(|preparation| preparation.implied.push(one("scheduler")))),
    ]), @r"
    right: valid
    two of one: the plugin asks for 2 nodes in implied roles; its `plugin.toml` lists it, but this host does not grant it
    three of one: the plugin asks for 3 nodes in implied roles, which its `plugin.toml` does not list
    there already: the implied role `server` is not valid: the job has a role of this name already
    not a name: the implied role `Scheduler` is not valid: its name is not one: expected a small letter, then small letters, digits and dashes, 63 in all, no dash at the end
    no nodes: the implied role `scheduler` is not valid: 0 nodes are outside the bounds 1 to 1, or the least is 0
    out of bounds: the implied role `scheduler` is not valid: 2 nodes are outside the bounds 1 to 1, or the least is 0
    fed: the implied role `scheduler` is not valid: an implied role has no input or output
    own policy: the implied role `scheduler` is not valid: its policy belongs into `policies`
    without policy: the preparation is not valid: role `scheduler` has no policy
    ");
}

#[test]
fn problems_are_texts_within_bounds() {
    let warnings = |count: usize, text: &str| {
        let problems = vec![problem(Severity::Warning, text); count];
        check(|preparation| preparation.problems = problems)
    };
    insta::assert_snapshot!(table([
        ("two", warnings(2, "slow")),
        ("three", warnings(3, "slow")),
        ("empty", warnings(1, "")),
        ("escape", warnings(1, "\u{1b}[31mred")),
    ]), @r#"
    two: valid
    three: it exceeds the limit `problems` of 2: it asks for 3
    empty: the problem at position 0 is not valid: its message is empty
    escape: the problem at position 0 is not valid: its message has control characters: "\u{1b}[31mred"
    "#);
}
