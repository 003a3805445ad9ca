//! Just enough of libtest: names as filters, `--list`, every test on a runtime of its own under a watchdog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

/// Ten times what the slowest test needs on a busy machine.
const WATCHDOG: Duration = Duration::from_mins(2);

pub(crate) type Body = fn() -> Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
}

/// `tests![a, b]`: a function `tests()` with these.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) fn tests() -> Vec<crate::harness::Test> {
            vec![$(crate::harness::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                body: || Box::pin($name()),
            }),+]
        }
    };
}
pub(crate) use tests;

pub(crate) fn run(arguments: &[String], all: &[Test]) -> ExitCode {
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |test: &&Test| {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| test.name.contains(filter.as_str()))
    };
    let chosen: Vec<&Test> = all.iter().filter(wanted).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for test in chosen {
            say(&format!("{}: test", test.name));
        }
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", chosen.len()));
    let failed: Vec<&str> = chosen
        .iter()
        .filter(|test| !passes(test))
        .map(|test| test.name)
        .collect();
    let (passed, word) = (
        chosen.len() - failed.len(),
        if failed.is_empty() { "ok" } else { "FAILED" },
    );
    say(&format!(
        "\ntest result: {word}. {passed} passed; {} failed; {}\n",
        failed.len(),
        failed.join(", ")
    ));
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

fn passes(test: &Test) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let watched = async {
        tokio::time::timeout(WATCHDOG, (test.body)())
            .await
            .expect("the watchdog barked");
    };
    let passed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(watched))).is_ok();
    runtime.shutdown_background();
    say(&format!(
        "test {} ... {}",
        test.name,
        if passed { "ok" } else { "FAILED" }
    ));
    passed
}

#[expect(clippy::print_stdout, reason = "it is a test's standard output")]
fn say(line: &str) {
    println!("{line}");
}
