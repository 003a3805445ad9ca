//! The verbs of the command line, one file each.

mod agent;
mod am;
mod check;
mod events;
mod list;
mod logs;
mod node_exec;
mod plan;
mod plugin;
mod replay;
mod resume;
mod run;
mod sql;
mod status;
mod stop;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;

/// One engine for the machine-learning workflow: runs the roles of a job as one cluster.
#[derive(Debug, Parser)]
#[command(
    name = "forebay",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Example:\n  forebay run job.toml\n\nExit codes: 0 done, 1 the job or its input failed, 2 the engine or a plugin failed, 130 stopped."
)]
pub(crate) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Plan(plan::Plan),
    Run(run::Run),
    List(list::List),
    Status(status::Status),
    Logs(logs::Logs),
    Events(events::Events),
    Replay(replay::Replay),
    Resume(resume::Resume),
    Stop(stop::Stop),
    Sql(sql::Sql),
    Agent(agent::Agent),
    Plugin(plugin::Plugin),
    Am(am::Am),
    #[command(name = "node-exec", hide = true)]
    NodeExec,
}

impl Command {
    /// Does what the command line says.
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Check(verb) => asynchronously(verb.execute()),
            Verb::Plan(verb) => asynchronously(verb.execute()),
            Verb::Run(verb) => asynchronously(verb.execute()),
            Verb::List(verb) => verb.execute(),
            Verb::Status(verb) => asynchronously(verb.execute()),
            Verb::Logs(verb) => verb.execute(),
            Verb::Events(verb) => verb.execute(),
            Verb::Replay(verb) => verb.execute(),
            Verb::Resume(verb) => asynchronously(verb.execute()),
            Verb::Stop(verb) => asynchronously(verb.execute()),
            Verb::Sql(verb) => asynchronously(verb.execute()),
            Verb::Agent(verb) => asynchronously(verb.execute()),
            Verb::Plugin(verb) => verb.execute(),
            Verb::Am(verb) => asynchronously(verb.execute()),
            Verb::NodeExec => node_exec::execute(),
        }
    }
}

/// Drives `verb` on this thread, which lives as long as the process: children may be tied to it.
fn asynchronously(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::engine("cannot start the runtime").caused_by(Some(&error)))?;
    let result = runtime.block_on(verb);
    // A thread that waits for a reader who does not read is not waited for.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_verb_has_an_example() {
        for verb in Command::command()
            .get_subcommands_mut()
            .filter(|verb| !verb.is_hide_set())
        {
            let help = verb.render_long_help().to_string();
            assert!(
                help.contains("Example:\n  forebay "),
                "{}: {help}",
                verb.get_name()
            );
        }
    }
}
