//! `cargo xtask test`: runs the checks, all of them even when one fails, counts what they say and sums up.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::checks::{self, Check, Needs};
use crate::progress::{Progress, explained, seconds};
use crate::setup::{self, Environment};
use crate::workspace::{Workspace, output, shown};

/// The packages whose versions the summary names, each in its environment.
const FRAMEWORKS: [(Environment, &str); 3] = [
    (Environment::Tensorflow, "tensorflow-cpu"),
    (Environment::Pytorch, "torch"),
    (Environment::Mxnet, "mxnet"),
];

/// How the output of a check is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// The check is one test.
    Whole,
    /// The lines `test result:` of `cargo test`.
    Cargo,
    /// The last lines of Python's `unittest`.
    Unittest,
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

/// Runs the checks that are named, or all; the last line says how many tests passed and failed.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<ExitCode> {
    let mut chosen = Vec::from(checks::ALL);
    chosen.retain(|check| only.is_empty() || only.iter().any(|name| name == check.name));
    let started = Instant::now();
    let frameworks = prepare(workspace, &chosen);
    let failed = u64::from(frameworks.is_err());
    let mut outcomes = vec![Outcome {
        name: "set-up",
        tally: Tally { passed: 0, failed },
        took: started.elapsed(),
    }];
    match &frameworks {
        Ok(_) => run_checks(workspace, &chosen, &mut outcomes)?,
        Err(error) => println!("\nset-up failed: {}", explained(error)),
    }
    Ok(sum_up(&outcomes, &frameworks.unwrap_or_default()))
}

/// Makes what the checks need and returns the versions of the frameworks that are then there.
fn prepare(workspace: &Workspace, chosen: &[Check]) -> Result<Vec<String>> {
    let needs = |needs| chosen.iter().any(|check| check.needs == needs);
    let environments = if needs(Needs::Environments) {
        setup::steps(&Environment::OF_TESTS)
    } else {
        0
    };
    let mut progress = Progress::new(environments + usize::from(needs(Needs::CargoDeny)));
    let mut frameworks = Vec::new();
    if needs(Needs::Environments) {
        setup::make(workspace, &mut progress, &Environment::OF_TESTS)?;
        for (environment, package) in FRAMEWORKS {
            frameworks.push(version(workspace, environment, package)?);
        }
    }
    if needs(Needs::CargoDeny) {
        progress.step("cargo-deny", |step| {
            checks::install_cargo_deny(workspace, step)
        })?;
    }
    Ok(frameworks)
}

fn version(workspace: &Workspace, environment: Environment, package: &str) -> Result<String> {
    let mut python = workspace.command(environment.program(workspace, "python"));
    let script =
        format!("import importlib.metadata as m; print('{package}', m.version('{package}'))");
    let missing = || {
        format!(
            "the framework `{package}` is not in the environment `{}`",
            environment.name()
        )
    };
    Ok(output(python.args(["-c", &script]))
        .with_context(missing)?
        .trim()
        .to_owned())
}

fn run_checks(workspace: &Workspace, chosen: &[Check], outcomes: &mut Vec<Outcome>) -> Result<()> {
    for check in chosen {
        println!("\n== {}", check.name);
        let started = Instant::now();
        let tally = run_check(workspace, check)?;
        outcomes.push(Outcome {
            name: check.name,
            tally,
            took: started.elapsed(),
        });
    }
    Ok(())
}

fn run_check(workspace: &Workspace, check: &Check) -> Result<Tally> {
    let mut command = check.command(workspace);
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut tally = Tally::default();
    let succeeded = stream(command, &mut io::stdout(), |line| {
        tally.add(check.counting, line);
    })?;
    Ok(tally.closed(check.counting, succeeded))
}

/// Passes the output of a command on to `out`, line by line, and shows each line to `look`; returns whether it succeeded.
fn stream(mut command: Command, out: &mut impl Write, mut look: impl FnMut(&str)) -> Result<bool> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    // It holds the writing end: with it the pipe would never end.
    drop(command);
    let (mut reader, mut line) = (BufReader::new(reader), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        look(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?.success())
}

impl Tally {
    fn add(&mut self, counting: Counting, line: &str) {
        let (passed, failed) = match counting {
            Counting::Cargo if line.starts_with("test result:") => (
                number_before(line, " passed"),
                number_before(line, " failed"),
            ),
            Counting::Cargo | Counting::Whole => (0, 0),
            Counting::Unittest => unittest_counts(line),
        };
        self.passed += passed;
        self.failed += failed;
    }

    /// The tally when the check is over. One that failed has at least one failure, one that found no test has failed.
    fn closed(mut self, counting: Counting, succeeded: bool) -> Self {
        if counting == Counting::Whole {
            return Self {
                passed: u64::from(succeeded),
                failed: u64::from(!succeeded),
            };
        }
        self.passed = self
            .passed
            .saturating_sub(if counting == Counting::Unittest {
                self.failed
            } else {
                0
            });
        if self.failed == 0 && (!succeeded || self.passed == 0) {
            self.failed = 1;
        }
        self
    }
}

/// `Ran 12 tests in 0.5s`, then `FAILED (failures=1, errors=2)`: all that ran, and those of them that failed. A test
/// that was skipped has failed: nothing is switched off here.
fn unittest_counts(line: &str) -> (u64, u64) {
    if line.starts_with("Ran ") {
        return (number_before(line, " test"), 0);
    }
    let after = |key| {
        line.split_once(key)
            .map_or(0, |(_, rest)| leading_number(rest))
    };
    if line.starts_with("FAILED (") || line.starts_with("OK (") {
        (0, after("failures=") + after("errors=") + after("skipped="))
    } else {
        (0, 0)
    }
}

fn number_before(line: &str, word: &str) -> u64 {
    let before = line
        .split(word)
        .next()
        .filter(|before| before.len() < line.len())
        .unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn leading_number(text: &str) -> u64 {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

fn sum_up(outcomes: &[Outcome], frameworks: &[String]) -> ExitCode {
    println!("\n== summary");
    for Outcome { name, tally, took } in outcomes {
        println!(
            "{name:8} {:>12}  {:5} passed {:4} failed",
            seconds(*took),
            tally.passed,
            tally.failed
        );
    }
    if !frameworks.is_empty() {
        println!("frameworks: {}", frameworks.join(", "));
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.tally.failed > 0)
        .map(|outcome| outcome.name)
        .collect();
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    let sum = |count: fn(&Tally) -> u64| {
        outcomes
            .iter()
            .map(|outcome| count(&outcome.tally))
            .sum::<u64>()
    };
    println!(
        "{} passed, {} failed",
        sum(|tally| tally.passed),
        sum(|tally| tally.failed)
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(counting: Counting, text: &str, succeeded: bool) -> (u64, u64) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.add(counting, line));
        let Tally { passed, failed } = tally.closed(counting, succeeded);
        (passed, failed)
    }

    #[test]
    fn cargo_test_is_summed_over_its_result_lines() {
        let text = "test a ... ok\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(count(Counting::Cargo, text, false), (15, 2));
    }

    #[test]
    fn a_run_that_does_not_compile_or_finds_no_test_has_failed() {
        assert_eq!(
            count(Counting::Cargo, "error: could not compile", false),
            (0, 1)
        );
        assert_eq!(
            count(Counting::Unittest, "Ran 0 tests in 0.000s\nOK", true),
            (0, 1)
        );
    }

    #[test]
    fn unittest_says_how_many_ran_and_how_many_of_them_failed() {
        assert_eq!(
            count(Counting::Unittest, "Ran 9 tests in 0.1s\n\nOK", true),
            (9, 0)
        );
        assert_eq!(
            count(
                Counting::Unittest,
                "Ran 2 tests in 0.1s\n\nOK (skipped=1)",
                true
            ),
            (1, 1)
        );
        assert_eq!(
            count(
                Counting::Unittest,
                "Ran 9 tests in 0.1s\n\nFAILED (failures=1, errors=2)",
                false
            ),
            (6, 3)
        );
    }

    #[test]
    fn any_other_check_is_one_test() {
        assert_eq!(count(Counting::Whole, "Diff in a.rs", false), (0, 1));
        assert_eq!(count(Counting::Whole, "", true), (1, 0));
    }

    #[test]
    fn a_stream_shows_both_outputs_in_order_and_the_end() -> Result<()> {
        let (mut shown, mut lines) = (Vec::new(), Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 1"]);
        let succeeded = stream(command, &mut shown, |line| {
            lines.push(line.trim_end().to_owned());
        })?;
        assert_eq!(
            (lines.join(" ").as_str(), succeeded),
            ("one two three", false)
        );
        Ok(())
    }
}
