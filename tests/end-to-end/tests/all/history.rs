//! What a run has decided can be read, and decided again.

use std::fs;
use std::path::PathBuf;

use forebay_test_support::{Output, Sandbox};
use serde_json::Value;

use crate::command_line::snapshot;
use crate::failover::manager_of;
use crate::jobs::{UNTIL_GO, job_with_go, ready, run, shell_job, start};
use crate::processes::kill;

/// Changes one entry of a journal so that its checksum still fits.
const TAMPER: &str = "
import hashlib, json, sys
path, phase = sys.argv[1:]
header, body = open(path).read().split('\\n', 1)
entry = json.loads(body)
entry['decision']['phase'] = phase
body = json.dumps(entry)
word, format, _ = header.split(' ')
open(path, 'w').write(f'{word} {format} {hashlib.sha256(body.encode()).hexdigest()}\\n{body}')
";

fn entries(output: &Output) -> PathBuf {
    output.summary().run_dir().join("journal/entries")
}

fn verify(sandbox: &Sandbox) -> Output {
    sandbox
        .forebay(["replay", "--verify", "--format", "json"])
        .run()
}

#[track_caller]
fn assert_verified(sandbox: &Sandbox) {
    let replay = verify(sandbox);
    replay.assert_code(0);
    let answer = replay.events().remove(0);
    assert!(answer["decisions"].as_u64() > Some(2), "{replay}");
    assert_eq!(answer["difference"], Value::Null, "{replay}");
}

#[test]
fn the_decisions_of_a_run_tell_its_story() {
    let sandbox = Sandbox::new();
    run(&sandbox, &shell_job(2, "sleep 0.1")).assert_code(0);
    let events = sandbox.forebay(["events", "--format", "json"]).run();
    events.assert_code(0);
    let decisions = events.events();
    assert_eq!(decisions[0]["events"][0], "submitted", "{events}");
    let place = &decisions[0]["actions"][0]["place"]["nodes"];
    assert_eq!(place.as_array().map(Vec::len), Some(2), "{events}");
    let last = decisions.last().expect("something was decided");
    assert_eq!(last["actions"][0]["finish"], "succeeded", "{events}");
    let numbers: Vec<_> = decisions
        .iter()
        .map(|line| line["entry"].as_u64())
        .collect();
    assert!(numbers.is_sorted(), "{events}");

    let text = sandbox.forebay(["events"]).run();
    text.assert_code(0);
    for told in [
        "submitted",
        "    place worker:0 worker:1",
        "    finish: succeeded",
    ] {
        assert!(text.stdout.contains(told), "no `{told}`: {text}");
    }
}

#[test]
fn decisions_that_are_made_again_are_the_same() {
    let sandbox = Sandbox::new();
    run(&sandbox, &shell_job(2, "sleep 0.1; exit $FOREBAY_INDEX")).assert_code(1);
    assert_verified(&sandbox);
    let text = sandbox.forebay(["replay", "--verify"]).run();
    text.assert_code(0);
    assert!(text.stderr.contains("all as recorded"), "{text}");
}

#[test]
fn decisions_of_several_terms_are_the_same_too() {
    let sandbox = Sandbox::new();
    let run = start(&sandbox, &job_with_go(&sandbox, 1, UNTIL_GO));
    ready(&run, "worker:0");
    kill(manager_of(&run, 1));
    manager_of(&run, 2);
    sandbox.write("go", "");
    run.finish().assert_code(0);
    assert_verified(&sandbox);
    let events = sandbox.forebay(["events"]).run();
    assert!(
        events
            .stdout
            .contains("a new application manager took over"),
        "{events}"
    );
}

#[test]
fn the_first_decision_that_differs_is_named() {
    let sandbox = Sandbox::new();
    let output = run(&sandbox, &shell_job(1, "true"));
    let second = entries(&output).join("0000000002.json");
    let tamper = sandbox.command("python3").args(["-c", TAMPER]);
    let tamper = tamper.args([second.as_os_str(), "elsewhere".as_ref()]);
    tamper.run().assert_code(0);
    let replay = verify(&sandbox);
    replay.assert_code(1);
    let answer = replay.events().remove(0);
    assert_eq!(answer["difference"]["entry"], 2, "{replay}");
    assert_eq!(answer["difference"]["field"], "phase");
    assert_eq!(answer["difference"]["recorded"], "elsewhere");
    let text = sandbox.forebay(["replay", "--verify"]).run();
    text.assert_code(1);
    assert!(
        text.stderr.contains("is decided otherwise: its phase"),
        "{text}"
    );
}

#[test]
fn a_journal_that_is_cut_or_lacks_an_entry_is_named() {
    let sandbox = Sandbox::new();
    let output = run(&sandbox, &shell_job(1, "true"));
    let second = entries(&output).join("0000000002.json");
    let whole = fs::read(&second).expect("it was written");
    fs::write(&second, &whole[..whole.len() / 2]).expect("it is ours");
    let cut = sandbox.forebay(["replay", "--verify"]).run();
    cut.assert_code(1);
    snapshot(&sandbox, "journal_cut", &cut);
    fs::remove_file(&second).expect("it is ours");
    let gap = sandbox.forebay(["events"]).run();
    gap.assert_code(1);
    assert!(gap.stderr.contains("entry 2 is missing"), "{gap}");
}
