//! The helpers of the tests find what they are there to find.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay_test_support::{Machine, Output, Sandbox, Signal, WATCHDOG, wait_until};

/// Long enough for a shell to end, short enough to wait for where it does not.
const HANGS: Duration = Duration::from_secs(10);

fn shell(machine: &Machine, script: &str) -> Output {
    let output = machine.command("sh").args(["-c", script]).run();
    output.assert_code(0);
    output
}

/// What the guard says when the sandbox ends.
fn complaint(sandbox: Sandbox) -> String {
    let panic =
        catch_unwind(AssertUnwindSafe(|| drop(sandbox))).expect_err("the guard found nothing");
    *panic
        .downcast::<String>()
        .expect("the guard says what it found")
}

#[test]
fn a_program_has_folders_and_network_of_its_own() {
    let sandbox = Sandbox::new();
    let output = shell(
        &sandbox,
        "pwd; echo $HOME; echo $TMPDIR; ip -brief link show up; env | grep -c CARGO || true",
    );
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines[0], sandbox.work().to_str().unwrap());
    assert_eq!(lines[1], sandbox.home().to_str().unwrap());
    assert_eq!(lines[2], sandbox.tmp().to_str().unwrap());
    assert!(lines[3].starts_with("lo "), "{output}");
    assert_eq!(lines[4..], ["0"]);
}

#[test]
fn a_program_hears_the_signals_that_the_caller_of_the_tests_ignores() {
    const CALLED: &str = "FOREBAY_TEST_CALLED";
    if std::env::var_os(CALLED).is_none() {
        let mut caller = Command::new("env");
        caller
            .arg("--ignore-signal=INT")
            .arg(std::env::current_exe().unwrap());
        let name = "a_program_hears_the_signals_that_the_caller_of_the_tests_ignores";
        let output = caller
            .args(["--exact", name])
            .env(CALLED, "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let sandbox = Sandbox::new();
    let hears = "trap 'exit 7' INT; echo ready; while :; do sleep 0.02; done";
    let hears = sandbox
        .command("sh")
        .args(["-c", hears])
        .within(HANGS)
        .start();
    hears.wait_stdout("ready");
    hears.signal(Signal::INT);
    hears.finish().assert_code(7);
}

#[test]
fn two_machines_reach_each_other() {
    let sandbox = Sandbox::pair();
    let [first, _] = Sandbox::ADDRESSES;
    let server = "import socket; s = socket.create_server(('10.77.0.1', 4711)); print('up', flush=True); s.accept()";
    let server = sandbox.command("python3").args(["-c", server]).start();
    server.wait_stdout("up");
    let client = format!(
        "import socket; print(socket.create_connection(('{first}', 4711)).getsockname()[0])"
    );
    let output = sandbox
        .second()
        .command("python3")
        .args(["-c", &client])
        .run();
    assert_eq!(output.stdout, "10.77.0.2\n", "{output}");
    server.finish().assert_code(0);
}

#[test]
fn the_guard_finds_a_process_that_left_its_session_and_environment() {
    let sandbox = Sandbox::new();
    shell(
        &sandbox,
        "(env -i setsid -f /bin/sleep 4711 <&- >/dev/null 2>&1 &)",
    );
    let complaint = complaint(sandbox);
    assert!(complaint.contains("sleep 4711"), "{complaint}");
    let pid: i32 = complaint
        .split("process ")
        .nth(1)
        .unwrap()
        .split(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    wait_until("the guard ends what it finds", WATCHDOG, || !alive(pid));
}

#[test]
fn the_guard_finds_files_listeners_and_leases() {
    let sandbox = Sandbox::new();
    let listener = "import socket, os, time
s = socket.create_server(('127.0.0.1', 4711))
a = socket.socket(socket.AF_UNIX); a.bind('\\0forebay/port/20001'); a.listen()
if os.fork() == 0:
    os.close(0); os.close(1); os.close(2); os.setsid(); time.sleep(4711)";
    shell(&sandbox, "touch $TMPDIR/forgotten");
    sandbox
        .command("python3")
        .args(["-c", listener])
        .run()
        .assert_code(0);
    let complaint = complaint(sandbox);
    for expected in [
        "TMPDIR",
        "forgotten",
        "listens on port 4711",
        "@forebay/port/20001",
    ] {
        assert!(complaint.contains(expected), "no `{expected}`: {complaint}");
    }
}

#[test]
fn a_killed_test_leaves_nothing() {
    const VICTIM: &str = "FOREBAY_TEST_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        let sandbox = Sandbox::new();
        let script = "echo $$; readlink /proc/$$/ns/net; exec sleep 4711";
        let told = sandbox.command("sh").args(["-c", script]).start();
        told.wait_stdout("net:");
        fs::write(std::env::var_os(VICTIM).unwrap(), told.written().0).unwrap();
        told.finish();
    }
    let note = tempfile::NamedTempFile::new().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim
        .args(["--exact", "a_killed_test_leaves_nothing"])
        .env(VICTIM, note.path());
    let mut victim = victim
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the victim has a sandbox", WATCHDOG, || {
        fs::metadata(note.path()).unwrap().size() > 0
    });
    let text = fs::read_to_string(note.path()).unwrap();
    let (pid, namespace) = text.trim().split_once('\n').unwrap();
    assert!(alive(pid.parse().unwrap()));
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until("all of the sandbox is gone", WATCHDOG, || {
        lives_in(namespace).is_empty()
    });
}

#[test]
fn a_watchdog_ends_what_hangs_and_shows_what_it_wrote() {
    let sandbox = Sandbox::new();
    let hangs = sandbox
        .command("sh")
        .args(["-c", "echo begun; exec sleep 4711"])
        .within(Duration::from_millis(300));
    let panic = catch_unwind(AssertUnwindSafe(|| hangs.run())).expect_err("it does not end");
    let panic = panic.downcast::<String>().unwrap();
    assert!(
        panic.contains("still runs") && panic.contains("begun"),
        "{panic}"
    );
}

#[test]
fn a_wait_fails_at_once_when_the_program_has_ended() {
    let sandbox = Sandbox::new();
    let ended = sandbox.command("echo").args(["{}"]).start();
    let waits = AssertUnwindSafe(|| ended.wait_event("a node", |event| event["kind"] == "node"));
    let panic = catch_unwind(waits)
        .expect_err("there is no such event")
        .downcast::<String>()
        .unwrap();
    assert!(panic.contains("never came: a node"), "{panic}");
}

#[test]
fn a_terminal_has_keys_and_can_be_closed() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo interrupted' INT; trap 'echo gone > hung-up; exit 3' HUP; tty; while :; do sleep 0.05; done";
    let (running, mut terminal) = sandbox
        .command("sh")
        .args(["-c", script])
        .start_in_terminal();
    running.wait_stdout("/dev/pts/");
    terminal.press_interrupt();
    running.wait_stdout("interrupted");
    drop(terminal);
    running.finish().assert_code(3);
    assert_eq!(
        fs::read_to_string(sandbox.work().join("hung-up")).unwrap(),
        "gone\n"
    );
}

fn alive(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/net")).is_ok()
}

fn lives_in(namespace: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("proc is mounted").flatten();
    let inside = entries.filter(|entry| {
        let link = fs::read_link(entry.path().join("ns/net"));
        link.is_ok_and(|link| link.to_str() == Some(namespace))
    });
    inside
        .map(|entry| entry.path().display().to_string())
        .collect()
}
