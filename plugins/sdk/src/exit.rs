use crate::{Ending, ExitReport, JobSpec, KnownCause, ScriptError, StartFailure, Verdict};

/// How one framework shows itself in the exits of its nodes. The default knows none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framework {
    /// Its Python modules: where one cannot be imported, [`install`](Self::install) is the hint.
    pub modules: &'static [&'static str],
    /// What installs it, such as `pip install torch`.
    pub install: &'static str,
    /// Texts that tell of a lost peer and not of a mistake in the script; upper and lower case are the same.
    pub lost_peer: &'static [&'static str],
}

/// What any program says when the other end of a connection has gone away.
const LOST_PEER: &[&str] = &[
    "connection reset by peer",
    "connection closed by peer",
    "broken pipe",
];
const PORT_TAKEN: &str = "address already in use";
/// How many of the last lines are searched where there is no exception to look at.
const LINES_SEARCHED: usize = 10;

/// The usual meaning of an exit: what the host knows comes first, then the exception, then signal and exit code. A hint of
/// the host's own is passed on.
///
/// An exception that has left the script comes before a signal: the process may have been ended because it stayed.
///
/// A lost peer, a signal, a lack of memory, a stall and an unexplained exit code may be tried again; an exception is the
/// script's own and is not.
pub fn verdict_of_exit(job: &JobSpec, report: &ExitReport, framework: &Framework) -> Verdict {
    let verdict = verdict_without_hint_of_host(job, report, framework);
    match &report.hint {
        Some(hint) => verdict.hint(hint),
        None => verdict,
    }
}

fn verdict_without_hint_of_host(
    job: &JobSpec,
    report: &ExitReport,
    framework: &Framework,
) -> Verdict {
    if let Some(verdict) = verdict_of_cause(report) {
        return verdict;
    }
    match (&report.ending, &report.error) {
        (Ending::NotStarted(failure), _) => verdict_of_start(failure),
        (Ending::Code(0), _) => verdict_of_success(job, report),
        (Ending::Signal(_) | Ending::Code(_), Some(error)) => {
            verdict_of_error(report, error, framework)
        }
        (Ending::Signal(number), None) => verdict_of_signal(*number),
        (Ending::Code(code), None) => verdict_of_code(*code, report, framework),
    }
}

fn verdict_of_cause(report: &ExitReport) -> Option<Verdict> {
    match &report.cause {
        KnownCause::None => None,
        KnownCause::OutOfMemory => Some(Verdict::retry("it was killed for lack of memory").hint(
            format!(
                "give role `{}` more memory, or place fewer nodes on a machine",
                report.node.role
            ),
        )),
        KnownCause::Stalled => Some(Verdict::retry("it made no progress and was ended")),
        KnownCause::StartTimeout => Some(Verdict::retry("it was not ready in time and was ended")),
        KnownCause::Refused(why) => Some(Verdict::fatal(why)),
    }
}

/// Files that do not come and processes that the system does not make may come in a while; nothing else does.
fn verdict_of_start(failure: &StartFailure) -> Verdict {
    let reason = format!("could not be started: {}", failure.message);
    match failure.code.as_str() {
        "port-taken" => Verdict::retry_elsewhere(reason),
        "staging-failed" | "spawn-failed" => Verdict::retry(reason),
        _ => Verdict::fatal(reason),
    }
}

fn verdict_of_success(job: &JobSpec, report: &ExitReport) -> Verdict {
    let fed = job
        .role(&report.node.role)
        .is_some_and(|role| role.has_input);
    if fed && report.input_left {
        return Verdict::fatal("it ended with exit code 0 before it had read its input").hint(
            "read to the end of the feed, or close the feed to say that the rest is not wanted",
        );
    }
    Verdict::finished("exit code 0")
}

fn verdict_of_signal(number: u32) -> Verdict {
    let verdict = Verdict::retry(format!("killed by {}", signal_name(number)));
    match number {
        4 | 6 | 7 | 8 | 11 => {
            verdict.hint("it crashed in native code: its last lines may say where")
        }
        9 => verdict.hint("not sent by the engine: a person, or the kernel when memory ran out"),
        _ => verdict,
    }
}

fn verdict_of_error(report: &ExitReport, error: &ScriptError, framework: &Framework) -> Verdict {
    let reason = match error.message.trim() {
        "" => error.kind.clone(),
        message => format!("{}: {message}", error.kind),
    };
    if let Some(module) = missing_module(error) {
        return Verdict::fatal(reason).hint(install_hint(report, module, framework));
    }
    verdict_of_texts(std::slice::from_ref(&reason), &reason, framework)
        .unwrap_or_else(|| Verdict::fatal(reason))
}

fn verdict_of_code(code: i32, report: &ExitReport, framework: &Framework) -> Verdict {
    let reason = format!("exit code {code}");
    let skipped = report.last_lines.len().saturating_sub(LINES_SEARCHED);
    let last = report.last_lines.get(skipped..).unwrap_or_default();
    verdict_of_texts(last, &reason, framework).unwrap_or_else(|| match code {
        126 | 127 => {
            Verdict::fatal(reason).hint("a program that it runs is missing or not executable")
        }
        _ => Verdict::retry(reason),
    })
}

fn verdict_of_texts(texts: &[String], reason: &str, framework: &Framework) -> Option<Verdict> {
    let say = |sign: &str| texts.iter().any(|text| contains(text, sign));
    if say(PORT_TAKEN) {
        return Some(Verdict::retry_elsewhere(format!(
            "a port is taken ({reason})"
        )));
    }
    let mut signs = LOST_PEER.iter().chain(framework.lost_peer);
    let lost = signs.any(|sign| say(sign));
    lost.then(|| Verdict::retry(format!("lost a peer ({reason})")))
}

/// Upper and lower case are the same.
fn contains(text: &str, sign: &str) -> bool {
    // An empty one stands nowhere.
    let mut parts = text.as_bytes().windows(sign.len().max(1));
    parts.any(|part| part.eq_ignore_ascii_case(sign.as_bytes()))
}

/// The module that is not there, if that is what the exception says.
fn missing_module(error: &ScriptError) -> Option<&str> {
    let kind = error.kind.rsplit('.').next()?;
    if kind != "ModuleNotFoundError" {
        return None;
    }
    error.message.split(['\'', '"', '`']).nth(1)
}

fn install_hint(report: &ExitReport, module: &str, framework: &Framework) -> String {
    let package = module.split('.').next().unwrap_or(module);
    let role = &report.node.role;
    if framework.modules.contains(&package) {
        return format!(
            "install it in the Python environment of role `{role}`: `{}`",
            framework.install
        );
    }
    format!(
        "install `{package}` in the Python environment of role `{role}`, or name another one with `python =`"
    )
}

/// `SIGKILL` for 9; `signal 34` where a number has no common name.
pub fn signal_name(number: u32) -> String {
    const NAMES: [&str; 16] = [
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM",
    ];
    match usize::try_from(number)
        .ok()
        .and_then(|number| NAMES.get(number))
    {
        Some(name) if !name.is_empty() => format!("SIG{name}"),
        _ => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, VerdictKind};

    const FRAMEWORK: Framework = Framework {
        modules: &["frame"],
        install: "pip install frame",
        lost_peer: &["unavailable"],
    };

    fn report(ending: Ending) -> ExitReport {
        ExitReport {
            node: NodeId::new("worker", 1),
            attempt: 1,
            ending,
            cause: KnownCause::None,
            error: None,
            hint: None,
            last_lines: Vec::new(),
            was_ready: true,
            input_left: false,
            ran_ms: 1000,
        }
    }

    fn raised(kind: &str, message: &str) -> ExitReport {
        let error = ScriptError {
            kind: kind.into(),
            message: message.into(),
            traceback: String::new(),
        };
        ExitReport {
            error: Some(error),
            ..report(Ending::Code(1))
        }
    }

    fn printed(line: &str) -> ExitReport {
        ExitReport {
            last_lines: vec![line.into()],
            ..report(Ending::Code(1))
        }
    }

    #[track_caller]
    fn check(report: &ExitReport, kind: VerdictKind, reason: &str) -> Verdict {
        let job = JobSpec {
            name: "j".into(),
            guarantee: crate::Guarantee::None,
            roles: vec![],
            properties: vec![],
        };
        let verdict = verdict_of_exit(&job, report, &FRAMEWORK);
        assert_eq!((verdict.kind, verdict.reason.as_str()), (kind, reason));
        verdict
    }

    #[test]
    fn the_kinds_of_exits() {
        check(
            &report(Ending::Code(0)),
            VerdictKind::Finished,
            "exit code 0",
        );
        check(&report(Ending::Code(3)), VerdictKind::Retry, "exit code 3");
        check(
            &report(Ending::Code(127)),
            VerdictKind::Fatal,
            "exit code 127",
        );
        check(
            &report(Ending::Signal(9)),
            VerdictKind::Retry,
            "killed by SIGKILL",
        );
        check(
            &report(Ending::Signal(34)),
            VerdictKind::Retry,
            "killed by signal 34",
        );
        let not_started = |code: &str| {
            report(Ending::NotStarted(StartFailure {
                code: code.into(),
                message: "no such file".into(),
            }))
        };
        for (code, kind) in [
            ("script-missing", VerdictKind::Fatal),
            ("unheard-of", VerdictKind::Fatal),
            ("staging-failed", VerdictKind::Retry),
            ("port-taken", VerdictKind::RetryElsewhere),
        ] {
            check(
                &not_started(code),
                kind,
                "could not be started: no such file",
            );
        }
        let refused = ExitReport {
            cause: KnownCause::Refused("another version".into()),
            hint: Some("install it".into()),
            ..report(Ending::Code(3))
        };
        let verdict = check(&refused, VerdictKind::Fatal, "another version");
        assert_eq!(verdict.hint.as_deref(), Some("install it"));
        let memory = ExitReport {
            cause: KnownCause::OutOfMemory,
            ..report(Ending::Signal(9))
        };
        check(
            &memory,
            VerdictKind::Retry,
            "it was killed for lack of memory",
        );
    }

    #[test]
    fn an_exception_is_the_scripts_own_unless_it_tells_of_a_peer_or_a_port() {
        check(
            &raised("ValueError", "bad shape"),
            VerdictKind::Fatal,
            "ValueError: bad shape",
        );
        check(&raised("KeyError", ""), VerdictKind::Fatal, "KeyError");
        check(
            &raised("RuntimeError", "[x] Connection reset by peer"),
            VerdictKind::Retry,
            "lost a peer (RuntimeError: [x] Connection reset by peer)",
        );
        check(
            &raised("Bad", "UNAVAILABLE: gone"),
            VerdictKind::Retry,
            "lost a peer (Bad: UNAVAILABLE: gone)",
        );
        check(
            &raised("OSError", "Address already in use"),
            VerdictKind::RetryElsewhere,
            "a port is taken (OSError: Address already in use)",
        );
        check(
            &printed("x: Broken pipe"),
            VerdictKind::Retry,
            "lost a peer (exit code 1)",
        );
    }

    #[test]
    fn a_missing_module_says_how_to_install_it() {
        let verdict = check(
            &raised("ModuleNotFoundError", "No module named 'frame.core'"),
            VerdictKind::Fatal,
            "ModuleNotFoundError: No module named 'frame.core'",
        );
        assert_eq!(
            verdict.hint.as_deref(),
            Some("install it in the Python environment of role `worker`: `pip install frame`")
        );
        let other = check(
            &raised("ModuleNotFoundError", "No module named 'pandas'"),
            VerdictKind::Fatal,
            "ModuleNotFoundError: No module named 'pandas'",
        );
        assert!(
            other
                .hint
                .is_some_and(|hint| hint.contains("install `pandas`"))
        );
    }
}
