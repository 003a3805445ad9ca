//! The `forebay` command: from words on a command line to calls of the other crates, and back to words for people.
//!
//! Here, and only here, text for terminals is made. What a job is, how plugins are called, who decides and who starts
//! processes is said in the other crates. Start from [`verbs`] (one file each), [`engine`] (what `run` is) and [`view`]
//! (what people see of it).

mod checking;
mod control;
mod dataflow;
#[cfg(test)]
mod documentation;
mod engine;
mod exit;
mod failure;
mod folders;
mod grants;
mod logging;
mod machine;
mod output;
mod plugins;
mod problems;
mod runs;
mod text;
mod verbs;
mod view;

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

use crate::exit::Exit;
use crate::verbs::Command;

/// Batches live as long as it takes to send them on; the system's allocator asks the kernel for the memory of most anew.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(usage) => return explain(&usage),
    };
    let exit = command.execute().unwrap_or_else(|failure| {
        // Nobody may be there to read it; the exit code says it too.
        let _ = output::tell(&failure.to_string());
        failure.exit
    });
    exit.into()
}

/// Help and version are answers; everything else is a mistake of the user's, not of the engine's.
fn explain(usage: &clap::Error) -> ExitCode {
    let exit = if usage.use_stderr() {
        Exit::JobFailed
    } else {
        Exit::Done
    };
    let _ = usage.print();
    exit.into()
}
