//! What a newcomer does on the first day, with a machine that is not as tidy as a test's.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use forebay_test_support::{Invocation, Machine, Sandbox, forebay_binary, log_line, repository};

use crate::command_line::last_screen;
use crate::jobs::{UNTIL_GO, job_with_go, ready, run, run_dir, run_json, shell_job, start};

/// `run` as the user `nobody`, with a copy of the binary that this user can reach.
fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> Invocation {
    let binary = sandbox.home().join("forebay");
    fs::copy(forebay_binary(), &binary).expect("the sandbox is writable");
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--pdeathsig",
        "KILL",
    ];
    sandbox.command(binary).args(arguments).through(&nobody)
}

#[test]
fn another_user_than_root_runs_a_job() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(2, "id -u"));
    let output = as_nobody(&sandbox, &["run", "--format", "json", "job.toml"]).run();
    output.assert_code(0);
    assert!(
        output.events().iter().any(log_line("worker:1", "65534")),
        "{output}"
    );
}

#[test]
fn a_path_may_have_spaces_and_more() {
    let sandbox = Sandbox::new();
    let folder = "my jobs/it's a \"job\" – ü";
    sandbox.write(
        format!("{folder}/my script.py"),
        "import sys; print('ran', sys.argv[1:])\n",
    );
    let role = "[roles.worker]\nscript = \"my script.py\"\npython = \"/usr/bin/python3\"\narguments = [\"a b\", \"$HOME\"]\n";
    sandbox.write(
        format!("{folder}/job.toml"),
        format!("name = \"spaces\"\n{role}"),
    );
    let output = run_json(&sandbox)
        .in_folder(sandbox.work().join(folder))
        .run();
    output.assert_code(0);
    assert!(
        output
            .events()
            .iter()
            .any(log_line("worker:0", "ran ['a b', '$HOME']")),
        "{output}"
    );
    assert!(
        output
            .summary()
            .run_dir()
            .starts_with(sandbox.work().join(folder))
    );
}

#[test]
fn a_job_is_run_from_another_folder() {
    let sandbox = Sandbox::new();
    sandbox.write("project/train.py", "import helper; print(helper.WORD)\n");
    sandbox.write("project/helper.py", "WORD = 'helped'\n");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    sandbox.write("project/job.toml", format!("name = \"elsewhere\"\n{role}"));
    fs::create_dir(sandbox.work().join("other")).unwrap();
    let other = sandbox.work().join("other");
    let output = sandbox
        .forebay(["run", "--format", "json", "../project/job.toml"])
        .in_folder(&other)
        .run();
    output.assert_code(0);
    assert!(
        output.events().iter().any(log_line("worker:0", "helped")),
        "{output}"
    );
    assert!(
        output
            .summary()
            .run_dir()
            .starts_with(other.join(".forebay/runs"))
    );
    assert!(!sandbox.work().join("project/.forebay").exists());
}

#[test]
fn a_deep_folder_is_no_obstacle_to_a_socket() {
    let sandbox = Sandbox::new();
    let deep = "deeper/".repeat(25);
    sandbox.write(format!("{deep}job.toml"), shell_job(1, "true"));
    run_json(&sandbox)
        .in_folder(sandbox.work().join(deep))
        .run()
        .assert_code(0);
}

#[test]
fn two_runs_of_one_job_at_once_do_not_meet() {
    let sandbox = Sandbox::new();
    let job = job_with_go(&sandbox, 2, &format!("echo at $MASTER_PORT; {UNTIL_GO}"));
    let job = job.replacen('\n', "\nframework = \"pytorch\"\n", 1);
    let runs = [start(&sandbox, &job), start(&sandbox, &job)];
    for run in &runs {
        ready(run, "worker:0");
        ready(run, "worker:1");
    }
    assert_ne!(run_dir(&runs[0]), run_dir(&runs[1]));
    sandbox.write("go", "");
    let ports = runs.map(|run| {
        let output = run.finish();
        output.assert_code(0);
        let line = output
            .events()
            .into_iter()
            .find(log_line("worker:0", "at "))
            .unwrap();
        line["line"].to_string()
    });
    assert_ne!(ports[0], ports[1], "each run leased a port of its own");
}

#[test]
fn output_may_go_to_a_reader_that_has_seen_enough() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "job.toml",
        shell_job(2, "while :; do echo line; sleep 0.01; done"),
    );
    let pipeline = "set -o pipefail; \"$0\" run --format json job.toml | head -n 1";
    let output = sandbox
        .command("bash")
        .args(["-c", pipeline])
        .args([forebay_binary()])
        .run();
    output.assert_code(130);
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    assert!(output.stdout.contains("\"kind\":\"job\""), "{output}");
    assert!(
        !output.stderr.contains("panicked") && !output.stderr.contains("roken pipe"),
        "{output}"
    );
    let help = sandbox
        .command("bash")
        .args(["-c", "\"$0\" run --help | head -n 1"])
        .args([forebay_binary()])
        .run();
    assert_eq!(help.stderr, "", "{help}");
}

#[test]
fn a_proxy_does_not_come_between_the_processes_of_a_job() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "job.toml",
        shell_job(1, "echo proxy $http_proxy; echo no proxy for $no_proxy"),
    );
    let proxied = |invocation: Invocation| {
        [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "all_proxy",
            "grpc_proxy",
        ]
        .into_iter()
        .fold(invocation, |invocation, name| {
            invocation.env(name, "http://127.0.0.1:9")
        })
    };
    let address = "127.0.0.1:4711";
    let run = run_json(&sandbox).args(["--listen", address, "--slots", "0", "--agents", "1"]);
    let run = proxied(run).start();
    let agent = proxied(crate::remote_agents::agent(&sandbox, &run)).start();
    let output = run.finish();
    output.assert_code(0);
    let events = output.events();
    assert!(
        events
            .iter()
            .any(log_line("worker:0", "proxy http://127.0.0.1:9")),
        "{output}"
    );
    let exempt = log_line("worker:0", "no proxy for ");
    let line = events
        .iter()
        .find(|event| exempt(event))
        .expect("the node said so")["line"]
        .to_string();
    assert!(line.contains("127.0.0.1"), "{line}");
    agent.finish().assert_code(0);
}

#[test]
fn a_progress_bar_of_megabytes_without_a_line_end_does_not_hide_the_failure() {
    let sandbox = Sandbox::new();
    let script = "import sys
for i in range(40000):
    sys.stderr.write('\\rprogress %06d ' % i + '#' * 100)
sys.stdout.buffer.write(b'\\n' + b'\\xff' * 10 + b'\\n')
sys.exit('the data is missing')
";
    sandbox.write("bar.py", script);
    sandbox.write(
        "job.toml",
        "name = \"bar\"\n[roles.worker]\nscript = \"bar.py\"\npython = \"/usr/bin/python3\"\n",
    );
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    assert!(output.stderr.contains("the data is missing"), "{output}");
    let screen = last_screen(&output);
    assert!(screen.stderr.len() < 4000, "more than one screen: {screen}");
    let output = run_json(&sandbox).run();
    let lines = output.summary().value()["cause"]["last_lines"].to_string();
    assert!(
        lines.contains("the data is missing") && lines.len() < 20_000,
        "{lines}"
    );
}

#[test]
fn a_node_that_writes_without_end_is_cut_off_and_counted() {
    let sandbox = Sandbox::new();
    let job = shell_job(1, "yes | head -c 3000000; echo last words; exit 1");
    let output = run(&sandbox, &(job + "limits = { log_bytes = \"1 MB\" }\n"));
    output.assert_code(1);
    let log = output.summary().run_dir().join("logs/worker-0.1.log");
    assert!(fs::metadata(log).unwrap().len() < 1_100_000);
    assert!(
        output.summary().value()["cause"]["last_lines"]
            .to_string()
            .contains("last words")
    );
}

/// Runs a program of the toolchain with the caller's own toolchain and crates, without network.
pub(crate) fn toolchain(machine: &Machine, program: impl AsRef<OsStr>) -> Invocation {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let folder = |variable: &str, name: &str| {
        std::env::var_os(variable).map_or_else(|| home.join(name), PathBuf::from)
    };
    machine
        .command(program)
        .env("CARGO_HOME", folder("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", folder("RUSTUP_HOME", ".rustup"))
        .in_folder(repository())
        .within(Duration::from_mins(20))
}

#[test]
fn an_installed_forebay_runs_a_job_with_the_users_own_environment() {
    let sandbox = Sandbox::new();
    let target = forebay_binary().ancestors().nth(2).unwrap().to_owned();
    let root = sandbox.home().join(".local");
    let install = toolchain(&sandbox, "cargo").args([
        "install",
        "--path",
        "host/cli",
        "--debug",
        "--offline",
        "--locked",
    ]);
    install
        .args(["--no-track", "--root"])
        .args([&root])
        .env("CARGO_TARGET_DIR", target)
        .run()
        .assert_code(0);

    let project = sandbox.work().join("project");
    sandbox.write(
        "project/train.py",
        "import sys, forebay\nprint(sys.prefix)\nforebay.node().report(step=1)\n",
    );
    sandbox.write(
        "project/job.toml",
        "name = \"mine\"\n[roles.worker]\nscript = \"train.py\"\n",
    );
    own_environment(&sandbox, &project);
    let run = sandbox
        .command(root.join("bin/forebay"))
        .args(["run", "--format", "json", "job.toml"]);
    let output = run
        .in_folder(&project)
        .without_env("FOREBAY_ENVIRONMENTS")
        .run();
    output.assert_code(0);
    let prefix = project.join(".venv").display().to_string();
    assert!(
        output.events().iter().any(log_line("worker:0", &prefix)),
        "{output}"
    );
    assert_eq!(output.summary().reported("worker:0", "step"), 1);
}

/// Makes `.venv` with our wheel, as the message about a missing wheel says.
fn own_environment(sandbox: &Sandbox, project: &std::path::Path) {
    let venv = sandbox
        .command("python3")
        .args(["-m", "venv", ".venv"])
        .in_folder(project);
    venv.within(Duration::from_mins(3)).run().assert_code(0);
    let folder = repository().join(".forebay/wheel");
    let wheels = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let wheel = wheels
        .filter(|path| path.extension().is_some_and(|end| end == "whl"))
        .max();
    let wheel = wheel.unwrap_or_else(|| {
        panic!(
            "no wheel in `{}`: `cargo xtask setup` makes it",
            folder.display()
        )
    });
    let pip = sandbox.command(project.join(".venv/bin/python")).args([
        "-m",
        "pip",
        "install",
        "--no-index",
    ]);
    pip.args([wheel])
        .within(Duration::from_mins(3))
        .run()
        .assert_code(0);
}
