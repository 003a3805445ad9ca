//! What goes wrong on an ordinary day, and what the user reads then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forebay_test_support::{Sandbox, environment};

use crate::command_line::{last_screen, snapshot};
use crate::jobs::{run, shell_job};

/// What a job file gives that has a mistake.
#[track_caller]
fn checked(name: &str, job: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", job);
    let output = sandbox.forebay(["check", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, name, &output);
}

/// What a run gives that fails; only its last screen is of interest.
#[track_caller]
fn ran(sandbox: &Sandbox, name: &str, job: &str) {
    sandbox.write("job.toml", job);
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    snapshot(sandbox, name, &last_screen(&output));
}

#[test]
fn a_role_of_a_framework_without_a_program() {
    checked(
        "nothing_to_run",
        "name = \"a\"\nframework = \"pytorch\"\n[roles.worker]\nnodes = 2\n[roles.extra]\nplugin = \"standard-machine\"\n",
    );
}

#[test]
fn a_property_of_the_standard_machine_that_is_wrong() {
    checked(
        "wrong_property",
        "name = \"a\"\nframework = \"pytorch\"\n[roles.worker]\ncommand = [\"true\"]\n[am.properties]\nsettle-ms = \"soon\"\n",
    );
}

#[test]
fn an_unknown_key() {
    checked(
        "unknown_key",
        "name = \"a\"\n[roles.worker]\ncommand = [\"true\"]\nreplicas = 2\n",
    );
}

#[test]
fn a_wrong_type() {
    checked(
        "wrong_type",
        "name = \"a\"\n[roles.worker]\ncommand = [\"true\"]\nnodes = \"two\"\n",
    );
}

#[test]
fn a_missing_name() {
    checked("missing_name", "[roles.worker]\ncommand = [\"true\"]\n");
}

#[test]
fn two_roles_of_one_name() {
    let role = "[roles.worker]\ncommand = [\"true\"]\n";
    checked(
        "two_roles_of_one_name",
        &format!("name = \"a\"\n{role}{role}"),
    );
}

#[test]
fn a_missing_script() {
    checked(
        "missing_script",
        "name = \"a\"\n[roles.worker]\nscript = \"train.py\"\n",
    );
}

#[test]
fn a_missing_job_file() {
    let sandbox = Sandbox::new();
    let output = sandbox.forebay(["run", "job.toml"]).run();
    output.assert_code(1);
    snapshot(&sandbox, "missing_job_file", &output);
}

#[test]
fn a_missing_plugin() {
    checked(
        "missing_plugin",
        "name = \"a\"\n[roles.worker]\ncommand = [\"true\"]\nplugin = \"torch\"\n",
    );
}

#[test]
fn a_plugin_that_is_no_component() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.wasm", b"\0asm\x01\0\0\0");
    sandbox.write("text.wasm", "just text");
    for (name, file) in [("plugin_core_module", "mine"), ("plugin_text", "text")] {
        let manifest = format!("id = \"{file}\"\nversion = \"1.0.0\"\nstate-format = \"\"\n");
        sandbox.write(format!("{file}.toml"), manifest);
        let role = format!("[roles.worker]\ncommand = [\"true\"]\nplugin = \"./{file}.wasm\"\n");
        sandbox.write("job.toml", format!("name = \"a\"\n{role}"));
        let output = sandbox.forebay(["check", "job.toml"]).run();
        output.assert_code(1);
        snapshot(&sandbox, name, &output);
    }
}

#[test]
fn a_missing_environment() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "");
    ran(
        &sandbox,
        "missing_environment",
        "name = \"a\"\n[roles.worker]\nscript = \"train.py\"\npython = \"jax\"\n",
    );
}

#[test]
fn a_missing_interpreter() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/opt/python/bin/python\"\n";
    ran(
        &sandbox,
        "missing_interpreter",
        &format!("name = \"a\"\n{role}"),
    );
}

#[test]
fn a_missing_program() {
    let sandbox = Sandbox::new();
    ran(
        &sandbox,
        "missing_program",
        "name = \"a\"\n[roles.worker]\ncommand = [\"no-such-program\"]\n",
    );
}

#[test]
fn a_framework_that_cannot_be_imported() {
    let sandbox = Sandbox::new();
    environment("plain");
    sandbox.write("train.py", "import torch\n");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n";
    ran(
        &sandbox,
        "framework_not_importable",
        &format!("name = \"a\"\nframework = \"pytorch\"\n{role}"),
    );
}

#[test]
fn a_script_that_raises() {
    let sandbox = Sandbox::new();
    environment("plain");
    sandbox.write("train.py", "def train():\n    print('about to raise')\n    raise ValueError('no such column')\n\ntrain()\n");
    ran(
        &sandbox,
        "script_raises",
        "name = \"a\"\n[roles.worker]\nscript = \"train.py\"\npython = \"plain\"\n",
    );
}

#[test]
fn a_script_that_raises_without_our_wheel() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "train.py",
        "print('about to raise')\nraise ValueError('no such column')\n",
    );
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    ran(
        &sandbox,
        "script_raises_without_wheel",
        &format!("name = \"a\"\n{role}"),
    );
}

#[test]
fn a_script_that_needs_our_wheel_where_it_is_not_installed() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "import forebay\n");
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    ran(&sandbox, "wheel_missing", &format!("name = \"a\"\n{role}"));
}

#[test]
fn a_node_killed_by_a_signal() {
    let sandbox = Sandbox::new();
    ran(
        &sandbox,
        "killed_by_a_signal",
        &shell_job(1, "echo before; kill -SEGV $$"),
    );
}

#[test]
fn not_enough_slots() {
    let sandbox = Sandbox::new();
    ran(&sandbox, "not_enough_slots", &shell_job(65, "true"));
}

#[test]
fn more_cores_than_there_are() {
    let sandbox = Sandbox::new();
    ran(
        &sandbox,
        "not_enough_cores",
        &(shell_job(1, "true") + "cores = 4000\n"),
    );
}

#[test]
fn a_gpu_where_there_is_none() {
    let sandbox = Sandbox::new();
    ran(
        &sandbox,
        "not_enough_gpus",
        &(shell_job(1, "true") + "gpus = 1\n"),
    );
}

/// A Python environment whose package says that it is of another version.
fn environment_with_other_wheel(sandbox: &Sandbox) -> PathBuf {
    let plain = environment("plain");
    let folder = sandbox.work().join("old-environment");
    let venv = ["-m", "venv", "--without-pip"];
    let made = sandbox
        .command(plain.join("bin/python"))
        .args(venv)
        .args([&folder]);
    made.run().assert_code(0);
    let packages = |environment: &Path| {
        let library = environment.join("lib");
        let mut versions = library.read_dir().expect("a library folder").flatten();
        let version = versions.next().expect("a Python version");
        version.path().join("site-packages")
    };
    let copied = sandbox.command("cp").args([
        Path::new("-R"),
        &packages(&plain).join("."),
        &packages(&folder),
    ]);
    copied.run().assert_code(0);
    let info = format!("forebay-{}.dist-info", env!("CARGO_PKG_VERSION"));
    let metadata = packages(&folder).join(info).join("METADATA");
    let text = fs::read_to_string(&metadata).expect("the package has metadata");
    let version = format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{text}");
    fs::write(&metadata, text.replace(&version, "\nVersion: 9.9.9\n")).expect("it is ours");
    folder
}

#[test]
fn an_environment_with_a_wheel_of_another_version() {
    let sandbox = Sandbox::new();
    let python = environment_with_other_wheel(&sandbox);
    sandbox.write("train.py", "import forebay\nforebay.node()\n");
    let role = format!(
        "[roles.worker]\nscript = \"train.py\"\npython = \"{}\"\n",
        python.display()
    );
    ran(
        &sandbox,
        "environment_with_other_wheel",
        &format!("name = \"a\"\n{role}"),
    );
}

/// Says hello as a wheel of another version would, and prints what it is told.
const OTHER_WHEEL: &str = r#"
import os, re, socket, struct, sys

def field(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload

hello = bytes([8, 1, 16, 1]) + field(3, b"3.11.0") + field(4, b"9.9.9") + field(5, b"/usr/bin/python3")
frame = field(1, hello)
agent = socket.socket(fileno=int(os.environ["FOREBAY_NODE_FD"]))
agent.sendall(struct.pack("<I", len(frame)) + frame)
answer = agent.recv(65536)
print(re.search(rb"the package [ -~]*", answer)[0].decode())
sys.exit(1)
"#;

#[test]
fn a_wheel_of_another_version() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", OTHER_WHEEL);
    let role = "[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    ran(
        &sandbox,
        "wheel_of_another_version",
        &format!("name = \"a\"\n{role}"),
    );
}

#[test]
fn a_port_that_is_taken() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "sleep 4711"));
    let listen = ["--listen", "127.0.0.1:4711"];
    let first = crate::jobs::run_json(&sandbox).args(listen).start();
    crate::jobs::ready(&first, "worker:0");
    let second = crate::jobs::run_json(&sandbox).args(listen).run();
    second.assert_code(1);
    assert!(
        second.summary().run_dir().join("summary.json").is_file(),
        "{second}"
    );
    let text = sandbox.forebay(["run", "job.toml"]).args(listen).run();
    text.assert_code(1);
    snapshot(&sandbox, "listen_taken", &text);
    first.signal(forebay_test_support::Signal::INT);
    first.finish().assert_code(130);
}

#[test]
fn a_run_directory_that_cannot_be_made() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "true"));
    let read_only = "mount --bind \"$PWD\" \"$PWD\" && mount -o remount,ro,bind \"$PWD\" && cd \"$PWD\" && exec \"$@\"";
    let run = sandbox
        .forebay(["run", "job.toml"])
        .through(&["unshare", "--mount", "sh", "-c", read_only, "sh"]);
    let output = run.run();
    output.assert_code(1);
    snapshot(&sandbox, "run_directory_read_only", &output);
}

#[test]
fn a_run_directory_of_somebody_else() {
    let sandbox = Sandbox::new();
    sandbox.write("job.toml", shell_job(1, "true"));
    fs::set_permissions(sandbox.work(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = sandbox.work().join("forebay");
    fs::copy(forebay_test_support::forebay_binary(), &binary).unwrap();
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
    let output = sandbox
        .command(&binary)
        .args(["run", "job.toml"])
        .through(&nobody)
        .run();
    output.assert_code(1);
    snapshot(&sandbox, "run_directory_of_somebody_else", &output);
}

#[test]
fn a_role_whose_files_are_not_there_any_more_when_it_runs_again() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "print('ran')");
    let job =
        "name = \"a\"\n[roles.worker]\nscript = \"train.py\"\npython = \"/usr/bin/python3\"\n";
    run(&sandbox, job).assert_code(0);
    fs::remove_file(sandbox.work().join("train.py")).unwrap();
    run(&sandbox, job).assert_code(1);
}
