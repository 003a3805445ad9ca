use super::*;
use crate::check::CheckedRunner;

fn runner(verdict: Option<Verdict>) -> CheckedRunner {
    let manifest = Manifest::parse("id = 'mill'\nversion = '1.0.0'").unwrap();
    let fake = Fake {
        verdict,
        ..Fake::default()
    };
    CheckedRunner::new(
        Box::new(fake),
        manifest,
        Grants::default(),
        Limits::default(),
    )
}

fn report(message: &str) -> ExitReport {
    ExitReport {
        node: node("worker:0"),
        attempt: 1,
        ending: Ending::Code(1),
        cause: KnownCause::None,
        error: Some(ScriptError {
            kind: "ValueError".to_owned(),
            message: message.to_owned(),
            traceback: String::new(),
        }),
        hint: None,
        last_lines: vec![],
        was_ready: true,
        input_left: false,
        ran_ms: 5,
    }
}

fn check(kind: VerdictKind, reason: &str, hint: Option<&str>) -> String {
    let verdict = Verdict {
        kind,
        reason: reason.to_owned(),
        hint: hint.map(str::to_owned),
    };
    outcome(runner(Some(verdict)).interpret_exit(&job(), &report("")))
}

#[test]
fn verdicts_have_a_reason_and_are_not_the_hosts() {
    insta::assert_snapshot!(table([
        ("right", check(VerdictKind::Retry, "it lost its peer", Some("look at the other node"))),
        ("the host's", check(VerdictKind::Stopped, "told to", None)),
        ("no reason", check(VerdictKind::Fatal, "", None)),
        ("empty hint", check(VerdictKind::Fatal, "no", Some(""))),
    ]), @r"
    right: valid
    the host's: the verdict is not valid: only the host may say `stopped`
    no reason: the verdict is not valid: its reason is empty
    empty hint: the verdict is not valid: its hint is empty
    ");
}

#[test]
fn a_plugin_may_quote_what_the_script_said() {
    let said = format!("\u{1b}[31mno file `{}`\u{1b}[0m", "é".repeat(5_000));
    let verdict = runner(None).interpret_exit(&job(), &report(&said)).unwrap();
    assert!(
        verdict.reason.starts_with("[31mno file `é"),
        "{}",
        verdict.reason
    );
    assert!(verdict.reason.len() <= 1024, "{}", verdict.reason.len());
}
