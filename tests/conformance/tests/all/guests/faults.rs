//! Each limit of a call, and each way in which a plugin fails, by its name.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_plugin::{
    Fault, LaunchRequest, LimitKind, Limits, Manifest, Member, NodeId, PluginHost,
};
use forebay_test_conformance::{FAULTS, chain};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{self, Subject};

fn faults(limits: Limits) -> Subject {
    Subject::load(FAULTS, limits)
}

/// The largest size of a fault that passes, between two sizes of which the first passes and the second does not.
#[track_caller]
fn last_that_passes(subject: &Subject, fault: &str, mut passes: usize, mut fails: usize) -> usize {
    while fails - passes > 1 {
        let middle = passes.midpoint(fails);
        if subject.fault(fault, middle) == "valid" {
            passes = middle;
        } else {
            fails = middle;
        }
    }
    assert_eq!(subject.fault(fault, passes), "valid");
    passes
}

/// One more than the last that passes fails by this limit, again and again.
#[track_caller]
fn check_edge(limits: Limits, fault: &str, sizes: (usize, usize), limit: LimitKind) {
    let subject = faults(limits);
    let last = last_that_passes(&subject, fault, sizes.0, sizes.1);
    for _ in 0..2 {
        let size = (last + 1).to_string();
        let error = subject
            .decide(&[("fault", fault), ("size", &size)])
            .unwrap_err();
        let Fault::Limit(exceeded) = &error.fault else {
            panic!("{} instead of the limit `{limit}`", chain(&error));
        };
        assert_eq!(exceeded.limit, limit);
        assert_eq!(subject.fault(fault, last), "valid");
    }
}

#[test]
fn it_behaves_without_a_fault() {
    let subject = faults(Limits::default());
    assert_eq!(subject.decide(&[]).unwrap().phase, "waiting");
}

#[test]
fn a_loop_runs_out_of_fuel() {
    let subject = faults(Limits {
        fuel: 5_000_000,
        ..Limits::default()
    });
    insta::assert_snapshot!(subject.fault("loop", 0), @"`decide` of plugin `faults` failed: it exceeds the limit `fuel` of 5000000");
    check_edge(
        Limits {
            fuel: 1_000_000,
            ..Limits::default()
        },
        "spin",
        (1, 2_000_000),
        LimitKind::Fuel,
    );
}

#[test]
fn a_loop_with_much_fuel_meets_the_deadline() {
    let limits = Limits {
        fuel: 20_000_000_000,
        deadline_ms: 200,
        ..Limits::default()
    };
    let subject = faults(limits);
    insta::assert_snapshot!(subject.fault("loop", 0), @"`decide` of plugin `faults` failed: it exceeds the limit `deadline-ms` of 200");
    assert_eq!(
        subject.fault("", 0),
        "valid",
        "the next call has its own deadline"
    );
}

#[test]
fn a_memory_bomb_is_named() {
    let limits = Limits {
        memory_bytes: 8 << 20,
        ..Limits::default()
    };
    insta::assert_snapshot!(faults(limits.clone()).fault("memory", 1 << 30), @"`decide` of plugin `faults` failed: it exceeds the limit `memory-bytes` of 8388608: it asks for 1074987008");
    check_edge(
        limits,
        "memory",
        (1 << 20, 16 << 20),
        LimitKind::MemoryBytes,
    );
}

#[test]
fn endless_recursion_ends_the_call_and_not_the_process() {
    let limits = |stack_bytes| Limits {
        stack_bytes,
        ..Limits::default()
    };
    insta::assert_snapshot!(faults(limits(512 << 10)).fault("recursion", usize::MAX >> 33), @"`decide` of plugin `faults` failed: it exceeds the limit `stack-bytes` of 524288");
    check_edge(
        limits(64 << 10),
        "recursion",
        (1, 1 << 20),
        LimitKind::StackBytes,
    );
}

#[test]
fn answers_are_limited_where_they_cross_and_where_they_are_kept() {
    let crossing = Limits {
        answer_bytes: 10_000,
        ..Limits::default()
    };
    insta::assert_snapshot!(faults(crossing.clone()).fault("state", 20_000), @"`decide` of plugin `faults` failed: it exceeds the limit `answer-bytes` of 10000");
    check_edge(crossing, "state", (1, 10_000), LimitKind::AnswerBytes);
    let kept = faults(Limits {
        state_bytes: 10_000,
        ..Limits::default()
    });
    insta::assert_snapshot!(kept.fault("state", 10_001), @"`decide` of plugin `faults` failed: it exceeds the limit `state-bytes` of 10000: it asks for 10001");
    assert_eq!(kept.fault("state", 10_000), "valid");
    let actions = faults(Limits {
        actions: 3,
        ..Limits::default()
    });
    insta::assert_snapshot!(actions.fault("actions", 4), @"`decide` of plugin `faults` failed: it exceeds the limit `actions` of 3: it asks for 4");
    assert_eq!(actions.fault("actions", 3), "valid");
}

/// At whatever line.
#[track_caller]
fn assert_panicked(call: &str, said: &str) {
    let begin = format!(
        "`{call}` of plugin `faults` failed: it panicked at tests/guests/faults/src/lib.rs:"
    );
    assert!(said.starts_with(&begin), "{said}");
    assert!(said.ends_with(": the mill has no water"), "{said}");
}

#[test]
fn a_panic_is_told_with_its_message() {
    let subject = faults(Limits::default());
    assert_panicked("decide", &subject.fault("panic", 0));
}

#[test]
fn a_refusal_is_no_bug_and_keeps_its_hint() {
    let error = faults(Limits::default())
        .decide(&[("fault", "refusal")])
        .unwrap_err();
    insta::assert_snapshot!(chain(&error), @"`decide` of plugin `faults` failed: the mill has no water (`no-water`)");
    assert_eq!(error.hint(), Some("wait for rain"));
}

#[test]
fn an_invalid_action_rejects_the_decision() {
    insta::assert_snapshot!(faults(Limits::default()).fault("invalid-action", 0), @"`decide` of plugin `faults` failed: the action at position 0 (`start`) is not valid: the job has no role `nobody`");
}

#[test]
fn calls_of_a_runner_fail_the_same_way() {
    let runner = faults(Limits::default()).runner();
    let mut job = support::job(&[("worker", 1)]);
    job.properties = vec![("fault".to_owned(), "panic".to_owned())];
    let place = Member {
        index: 0,
        machine: 0,
        local_index: 0,
        ports: Vec::new(),
    };
    let request = LaunchRequest {
        node: NodeId::new("worker", 0),
        attempt: 1,
        place,
    };
    let error = runner
        .plan(&job, &forebay_plugin::ClusterSpec::default(), &[request])
        .unwrap_err();
    assert_panicked("plan", &chain(&error));
}

#[test]
fn a_failed_call_harms_no_other() {
    let subject = faults(Limits {
        fuel: 5_000_000,
        ..Limits::default()
    });
    for fault in ["loop", "panic", "memory", "recursion", "refusal"] {
        subject.fault(fault, usize::MAX >> 33);
        assert_eq!(subject.fault("", 0), "valid", "after {fault}");
    }
}

#[test]
fn calls_from_many_threads_take_turns() {
    let subject = faults(Limits {
        fuel: 5_000_000,
        ..Limits::default()
    });
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let subject = &subject;
            scope.spawn(move || {
                let fault = if thread % 2 == 0 { "" } else { "panic" };
                for _ in 0..20 {
                    assert_eq!(subject.fault(fault, 0) == "valid", fault.is_empty());
                }
            });
        }
    });
}

/// What an instance needs to stand there is limited too.
#[test]
fn an_instance_that_is_too_large_is_not_loaded() {
    let refusal = |limits| {
        let host = PluginHost::with_limits(None, limits).unwrap();
        let manifest = Manifest::parse(FAULTS.manifest).unwrap();
        host.load(FAULTS.component, &manifest)
            .map_or_else(|error| chain(&error), |_| "loaded".to_owned())
    };
    insta::assert_snapshot!(refusal(Limits { memory_bytes: 64 << 10, ..Limits::default() }), @"it cannot be instantiated: it exceeds the limit `memory-bytes` of 65536: it asks for 1114112");
    insta::assert_snapshot!(refusal(Limits { table_elements: 2, ..Limits::default() }), @"it cannot be instantiated: it exceeds the limit `table-elements` of 2: it asks for 41");
    insta::assert_snapshot!(refusal(Limits { instances: 1, ..Limits::default() }), @"it cannot be instantiated: it exceeds the limit `instances` of 1");
    insta::assert_snapshot!(refusal(Limits { fuel: 10, ..Limits::default() }), @"it cannot be instantiated: it exceeds the limit `fuel` of 10");
    insta::assert_snapshot!(refusal(Limits { fuel: 5000, ..Limits::default() }), @"it does not say what it is: `describe` of plugin `faults` failed: it exceeds the limit `fuel` of 5000");
}

#[test]
fn compiled_plugins_are_kept_and_found() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let host = PluginHost::new(Some(folder.path().join("cache"))).unwrap();
        let manifest = Manifest::parse(FAULTS.manifest).unwrap();
        assert_eq!(
            host.load(FAULTS.component, &manifest)
                .unwrap()
                .description()
                .id,
            "faults"
        );
    }
    assert!(
        folder
            .path()
            .join("cache")
            .read_dir()
            .unwrap()
            .next()
            .is_some()
    );
}

/// Keeps what is logged by the plugin thread.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn log_lines_are_shown_and_a_flood_is_cut_and_counted() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(written.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let subject = faults(Limits {
        log_bytes: 1_000,
        ..Limits::default()
    });
    assert_eq!(subject.fault("log", 100), "valid");
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let flood = text
        .lines()
        .filter(|line| line.contains("of the flood"))
        .count();
    assert_eq!(flood, 1_000 / "line 10 of the flood".len(), "{text}");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| {
            line.contains("flood") && line.contains("line 0 ") || line.contains("dropped")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    INFO forebay_plugin::host::store: line 0 of the flood plugin="faults" call="decide"
    WARN forebay_plugin::host::store: log lines beyond the limit `log-bytes` were dropped plugin="faults" call="decide" dropped=50
    "#);
}

#[test]
fn a_log_line_is_an_answer_too() {
    let subject = faults(Limits {
        answer_bytes: 10_000,
        ..Limits::default()
    });
    insta::assert_snapshot!(subject.fault("log-at-once", 20_000), @"`decide` of plugin `faults` failed: it exceeds the limit `answer-bytes` of 10000");
}

/// The suite is not blind: this plugin never ends a job.
#[test]
fn the_suite_finds_that_it_places_nobody() {
    let subject = faults(Limits::default());
    let found = support::conformance_failures(&subject, support::job(&[("worker", 2)]));
    insta::assert_snapshot!(found.join("\n"), @r#"
    an unknown custom event: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a stale exit: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a ready node that was ready: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a placed stranger: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a lost stranger: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    an unknown timer: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a new machine: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a new application manager: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    a resumed job: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    all nodes finish: nothing more happens after 1 calls: worker:0 absent, worker:1 absent
    a node fails for good: Err(Unfinished("nothing more happens after 1 calls: worker:0 absent, worker:1 absent")) instead of a failed job
    a stop is asked for: nothing more happens after 2 calls: worker:0 absent, worker:1 absent
    "#);
}
