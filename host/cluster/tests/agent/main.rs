//! A real agent with real processes, driven by an application manager that the test plays.
//!
//! Without libtest's harness: the agent needs an executable with the verb `node-exec`, and this one is it.

#![expect(clippy::unwrap_used, reason = "a test stops where it surprises")]

mod control;
mod dataflow;
mod death;
mod executor;
mod feeding;
mod harness;
mod life;
mod link;
mod manager;
mod output;
mod ports;
mod programs;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("node-exec") => {
            forebay_cluster::exec::run().unwrap();
            ExitCode::SUCCESS
        }
        Some("agent") => death::agent_process(&arguments[1]),
        _ => harness::run(&arguments, &all()),
    }
}

fn all() -> Vec<harness::Test> {
    [
        life::tests(),
        death::tests(),
        link::tests(),
        output::tests(),
        programs::tests(),
        ports::tests(),
        control::tests(),
        dataflow::tests(),
        feeding::tests(),
    ]
    .concat()
}
