//! `forebay-bench`: measures how long the `forebay` binary takes and what it costs, and prints a row of samples for each
//! figure, one JSON object a line. `cargo xtask bench` builds it, runs it, and makes `docs/performance.md` of its rows.
//!
//! It is *not* a test: no figure fails it. Statistics and the page are xtask's.
//!
//! Start from [`ALL`] (the measurements) and [`row::Row`]. Each measurement runs in a sandbox of its own, which wants nothing
//! left in the end: this program starts itself again inside of it, so that nothing stands between what is measured and the
//! one who measures.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

mod agents;
mod asking;
mod engine;
mod measures;
mod node;
mod process;
mod row;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use forebay_test_support::{Sandbox, repository};

use crate::measures::{
    channel, check, cluster, dataflow, failover, fed, flights, idle, killed, plugin, submit,
    training, trivial,
};
use crate::row::Row;

/// No measurement takes longer.
const WATCHDOG: Duration = Duration::from_mins(30);

/// How often each thing is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Full,
    /// To see that it works: the figures are worth little.
    Quick,
}

impl Effort {
    pub(crate) fn times<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// One measurement: its name, and what gives its rows.
struct Measurement {
    name: &'static str,
    measure: fn(Effort) -> Result<Vec<Row>>,
}

/// In the order of the page.
const ALL: [Measurement; 13] = [
    Measurement {
        name: "submit",
        measure: submit::measure,
    },
    Measurement {
        name: "trivial",
        measure: trivial::measure,
    },
    Measurement {
        name: "check",
        measure: check::measure,
    },
    Measurement {
        name: "plugin",
        measure: plugin::measure,
    },
    Measurement {
        name: "cluster",
        measure: cluster::measure,
    },
    Measurement {
        name: "killed",
        measure: killed::measure,
    },
    Measurement {
        name: "failover",
        measure: failover::measure,
    },
    Measurement {
        name: "idle",
        measure: idle::measure,
    },
    Measurement {
        name: "dataflow",
        measure: dataflow::measure,
    },
    Measurement {
        name: "channel",
        measure: channel::measure,
    },
    Measurement {
        name: "fed",
        measure: fed::measure,
    },
    Measurement {
        name: "flights",
        measure: flights::measure,
    },
    Measurement {
        name: "training",
        measure: training::measure,
    },
];

/// Prints a row of samples for each figure, one JSON object a line.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Fewer repetitions: to see that it works
    #[arg(long)]
    quick: bool,
    /// Measure this alone (may be given more than once; default: all)
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Vec<String>,
    /// Measure here and now; this program says it to itself, in a sandbox
    #[arg(long, value_name = "NAME", hide = true, value_parser = names())]
    inside: Option<String>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.each_ref().map(|measurement| measurement.name))
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let effort = if arguments.quick {
        Effort::Quick
    } else {
        Effort::Full
    };
    if let Some(name) = &arguments.inside {
        return measure_here(name, effort);
    }
    let chosen =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut failed = Vec::new();
    for measurement in ALL.iter().filter(|measurement| chosen(measurement.name)) {
        eprintln!("measuring {}", measurement.name);
        match in_sandbox(measurement.name, effort) {
            Ok(rows) => print!("{rows}"),
            Err(error) => {
                eprintln!("{} failed: {error:#}", measurement.name);
                failed.push(measurement.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("these measurements failed: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn measure_here(name: &str, effort: Effort) -> Result<ExitCode> {
    let wanted = ALL.iter().find(|measurement| measurement.name == name);
    let wanted = wanted.context("clap knows the names")?;
    for row in (wanted.measure)(effort)? {
        println!("{}", serde_json::to_string(&row)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of one measurement. The helpers of tests panic where they cannot go on, and so does the guard of the sandbox: on
/// a thread of their own, so that the other measurements go on.
fn in_sandbox(name: &'static str, effort: Effort) -> Result<String> {
    let measuring = thread::spawn(move || -> Result<String> {
        let program = std::env::current_exe().context("this program has a path")?;
        let sandbox = Sandbox::new();
        let itself = sandbox
            .command(program)
            .args(["--inside", name])
            .args(effort.times(None, Some("--quick")))
            .env("CARGO_MANIFEST_DIR", repository());
        let output = itself.within(WATCHDOG).run();
        if output.code != Some(0) {
            bail!("{output}");
        }
        Ok(output.stdout)
    });
    let measured = measuring.join();
    measured.unwrap_or_else(|_| bail!("see above"))
}
