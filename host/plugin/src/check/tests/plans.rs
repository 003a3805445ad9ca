use super::*;
use crate::check::CheckedRunner;

const MANIFEST: &str = "id = 'mill'\nversion = '1.0.0'\n[requests]\nprograms = ['mpirun', 'ssh']\nenvironment = ['MILL_*', 'PATH', 'FOREBAY_*']";

fn plans_of(plans: Vec<LaunchPlan>, limits: Limits) -> String {
    let fake = Fake {
        plans,
        ..Fake::default()
    };
    let grants = Grants::parse("programs = ['mpirun', 'rsh']").unwrap();
    let runner = CheckedRunner::new(
        Box::new(fake),
        Manifest::parse(MANIFEST).unwrap(),
        grants,
        limits,
    );
    let place = Member {
        index: 0,
        machine: 0,
        local_index: 0,
        ports: vec![],
    };
    let requests = nodes(&["worker:0", "server:0"])
        .into_iter()
        .map(|node| LaunchRequest {
            node,
            attempt: 1,
            place: place.clone(),
        })
        .collect::<Vec<_>>();
    outcome(runner.plan(&job(), &ClusterSpec::default(), &requests))
}

fn plan(node: &str) -> LaunchPlan {
    LaunchPlan {
        node: super::node(node),
        program: Program::RoleCommand,
        arguments: vec![],
        environment: vec![],
        unset: vec![],
        files: vec![],
    }
}

/// What becomes of this plan for `worker:0` beside an empty one.
fn check(edit: impl FnOnce(&mut LaunchPlan)) -> String {
    check_within(Limits::default(), edit)
}

fn check_within(limits: Limits, edit: impl FnOnce(&mut LaunchPlan)) -> String {
    let mut first = plan("worker:0");
    edit(&mut first);
    plans_of(vec![first, plan("server:0")], limits)
}

fn variable(name: &str, value: &str) -> String {
    check(|plan| plan.environment.push((name.to_owned(), value.to_owned())))
}

fn file(path: &str) -> String {
    files(&[path])
}

fn files(paths: &[&str]) -> String {
    let made = paths.iter().map(|path| LaunchFile {
        path: (*path).to_owned(),
        content: vec![1],
    });
    check(|plan| plan.files.extend(made))
}

#[test]
fn one_for_each_request_in_order() {
    let of = |nodes: &[&str]| {
        plans_of(
            nodes.iter().map(|node| plan(node)).collect(),
            Limits::default(),
        )
    };
    insta::assert_snapshot!(table([
        ("as asked", of(&["worker:0", "server:0"])),
        ("too few", of(&["worker:0"])),
        ("none", of(&[])),
        ("out of order", of(&["server:0", "worker:0"])),
    ]), @r"
    as asked: valid
    too few: the list of plans is not valid: 1 plans answer 2 requests
    none: the list of plans is not valid: 0 plans answer 2 requests
    out of order: the plan at position 0 is not valid: it is for `server:0`; `worker:0` was asked for
    ");
}

#[test]
fn programs_have_two_locks() {
    let program = |name: &str| check(|plan| plan.program = Program::Executable(name.to_owned()));
    insta::assert_snapshot!(table([
        ("interpreter", check(|plan| plan.program = Program::Interpreter)),
        ("listed and granted", program("mpirun")),
        ("listed", program("ssh")),
        ("granted", program("rsh")),
        ("neither", program("")),
        ("NUL", program("mpi\0run")),
    ]), @r"
    interpreter: valid
    listed and granted: valid
    listed: the plugin asks for the program `ssh`; its `plugin.toml` lists it, but this host does not grant it
    granted: the plugin asks for the program `rsh`, which its `plugin.toml` does not list
    neither: the plugin asks for the program ``, which its `plugin.toml` does not list
    NUL: the plan for `worker:0` is not valid: its program has a NUL character
    ");
}

#[test]
fn variables() {
    let twice = check(|plan| {
        plan.environment = vec![("MILL_A".into(), "1".into()), ("MILL_A".into(), "1".into())];
    });
    let hidden = |name: &str| check(|plan| plan.unset.push(name.to_owned()));
    insta::assert_snapshot!(table([
        ("listed", variable("MILL_A", "stone\nand\twheel")),
        ("not listed", variable("LD_PRELOAD", "x.so")),
        ("not granted", variable("PATH", "/")),
        ("the host's", variable("FOREBAY_ROLE", "worker")),
        ("no name", variable("", "1")),
        ("not a name", variable("MILL-A", "1")),
        ("NUL in name", variable("MILL_\0", "1")),
        ("NUL", variable("MILL_A", "a\0b")),
        ("twice", twice),
        ("hidden", hidden("MILL_OLD")),
        ("hidden, not listed", hidden("HOME")),
        ("hidden, the host's", hidden("FOREBAY_ROLE")),
        ("hidden, no name", hidden("MILL=")),
        ("longest", variable("MILL_A", &"x".repeat((128 << 10) - 8))),
        ("longer", variable("MILL_A", &"x".repeat((128 << 10) - 7))),
    ]), @r#"
    listed: valid
    not listed: the plugin asks for the environment variable `LD_PRELOAD`, which its `plugin.toml` does not list
    not granted: the plugin asks for the environment variable `PATH`; its `plugin.toml` lists it, but this host does not grant it
    the host's: the plan for `worker:0` is not valid: `FOREBAY_ROLE` belongs to the host: a plugin may not touch it
    no name: the plan for `worker:0` is not valid: `` is not the name of an environment variable
    not a name: the plan for `worker:0` is not valid: `MILL-A` is not the name of an environment variable
    NUL in name: the plan for `worker:0` is not valid: `MILL_\0` is not the name of an environment variable
    NUL: the plan for `worker:0` is not valid: its variable `MILL_A` has a NUL character
    twice: the plan for `worker:0` is not valid: it sets `MILL_A` twice
    hidden: valid
    hidden, not listed: the plugin asks for the environment variable `HOME`, which its `plugin.toml` does not list
    hidden, the host's: the plan for `worker:0` is not valid: `FOREBAY_ROLE` belongs to the host: a plugin may not touch it
    hidden, no name: the plan for `worker:0` is not valid: `MILL=` is not the name of an environment variable
    longest: valid
    longer: the plan for `worker:0` is not valid: its variable `MILL_A` has 131072 bytes; the system takes less than 131072: use a file
    "#);
}

#[test]
fn arguments() {
    let argument = |text: String| check(|plan| plan.arguments = vec!["first".to_owned(), text]);
    insta::assert_snapshot!(table([
        ("empty", argument(String::new())),
        ("NUL", argument("a\0".to_owned())),
        ("longest", argument("x".repeat((128 << 10) - 1))),
        ("longer", argument("x".repeat(128 << 10))),
    ]), @r"
    empty: valid
    NUL: the plan for `worker:0` is not valid: its argument at position 1 has a NUL character
    longest: valid
    longer: the plan for `worker:0` is not valid: its argument at position 1 has 131072 bytes; the system takes less than 131072: use a file
    ");
}

#[test]
fn files_stay_below_the_folder() {
    insta::assert_snapshot!(table([
        ("plain", file("hosts")),
        ("deeper", file("etc/mill/hosts")),
        ("hidden", file(".mill")),
        ("absolute", file("/etc/passwd")),
        ("up", file("../hosts")),
        ("up within", file("a/../b")),
        ("here", file("./a")),
        ("empty", file("")),
        ("folder", file("a/")),
        ("NUL", file("a\0")),
        ("longest part", file(&"x".repeat(255))),
        ("longer part", file(&"x".repeat(256)).replace(&"x".repeat(256), "x...")),
        ("twice", files(&["a", "a"])),
        ("a file that is a folder", files(&["a/b", "a"])),
        ("names alike", files(&["a", "ab/c", "a.b"])),
    ]), @r#"
    plain: valid
    deeper: valid
    hidden: valid
    absolute: the plan for `worker:0` is not valid: its file `/etc/passwd` is not a plain path below the node's folder
    up: the plan for `worker:0` is not valid: its file `../hosts` is not a plain path below the node's folder
    up within: the plan for `worker:0` is not valid: its file `a/../b` is not a plain path below the node's folder
    here: the plan for `worker:0` is not valid: its file `./a` is not a plain path below the node's folder
    empty: the plan for `worker:0` is not valid: its file `` is not a plain path below the node's folder
    folder: the plan for `worker:0` is not valid: its file `a/` is not a plain path below the node's folder
    NUL: the plan for `worker:0` is not valid: its file `a\0` has control characters
    longest part: valid
    longer part: the plan for `worker:0` is not valid: its file `x...` is not a plain path below the node's folder
    twice: the plan for `worker:0` is not valid: it has the file `a` twice
    a file that is a folder: the plan for `worker:0` is not valid: its file `a` is a folder of its file `a/b`
    names alike: valid
    "#);
}

#[test]
fn all_bytes_are_counted() {
    let within = |bytes| Limits {
        plan_bytes: bytes,
        ..Limits::default()
    };
    let edit = |plan: &mut LaunchPlan| {
        plan.arguments = vec!["12345".to_owned()];
        plan.environment = vec![("MILL_A".to_owned(), "1".to_owned())];
        plan.files = vec![LaunchFile {
            path: "a".to_owned(),
            content: vec![0; 10],
        }];
    };
    insta::assert_snapshot!(table([
        ("26", check_within(within(26), edit)),
        ("25", check_within(within(25), edit)),
    ]), @r"
    26: valid
    25: it exceeds the limit `plan-bytes` of 25: it asks for 26
    ");
}
