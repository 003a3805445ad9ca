//! From the `Program` of a start to a program of this machine with its arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::environment::Variables;
use super::interpreter::{is_program, resolve};
use super::preparation::Unstarted;
use super::probe::{Answer, Probes};
use super::staging::below;
use crate::submission::HOST_VERSION;
use crate::wire::cluster::program::Kind;
use crate::wire::cluster::{CommandProgram, Interpreter, ScriptProgram, Start};

/// Ready to be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NodeProgram {
    /// Absolute path.
    pub(super) path: PathBuf,
    /// What it is called by: its own first argument.
    pub(super) name: OsString,
    pub(super) arguments: Vec<OsString>,
}

/// Finds the program. `variables` are the node's (a command is looked up on its PATH), `own` the agent's (environments
/// are looked up by them).
pub(super) async fn find(
    start: &Start,
    folder: &Path,
    variables: &Variables,
    own: &Variables,
    probes: &Probes,
) -> Result<NodeProgram, Unstarted> {
    let kind = start
        .program
        .as_ref()
        .and_then(|program| program.kind.as_ref());
    let mut program = match kind {
        Some(Kind::Script(script)) => script_program(script, folder, own, probes).await?,
        Some(Kind::Command(command)) => command_program(command, folder, variables)?,
        Some(Kind::Interpreter(interpreter)) => {
            named_by_path(find_interpreter(interpreter, own, probes).await?)
        }
        None => return Err(Unstarted::NoProgram),
    };
    program
        .arguments
        .extend(start.arguments.iter().map(OsString::from));
    Ok(program)
}

fn named_by_path(path: PathBuf) -> NodeProgram {
    NodeProgram {
        name: path.clone().into(),
        path,
        arguments: Vec::new(),
    }
}

async fn script_program(
    script: &ScriptProgram,
    folder: &Path,
    own: &Variables,
    probes: &Probes,
) -> Result<NodeProgram, Unstarted> {
    let interpreter = script.interpreter.clone().unwrap_or_default();
    let path = find_interpreter(&interpreter, own, probes).await?;
    if !below(folder, &script.path)?.is_file() {
        return Err(Unstarted::NoScript {
            path: script.path.clone(),
        });
    }
    let mut program = named_by_path(path);
    program.arguments.push(OsString::from(&script.path));
    program
        .arguments
        .extend(script.arguments.iter().map(OsString::from));
    Ok(program)
}

async fn find_interpreter(
    wanted: &Interpreter,
    own: &Variables,
    probes: &Probes,
) -> Result<PathBuf, Unstarted> {
    let path = resolve(wanted, own)?;
    let answer = probes.ask(&path, own).await?;
    check_package(&path, &answer)?;
    Ok(path)
}

/// None at all is fine: a script that never imports it runs as well.
fn check_package(interpreter: &Path, answer: &Answer) -> Result<(), Unstarted> {
    match &answer.package {
        Some(package) if package != HOST_VERSION => Err(Unstarted::PackageVersion {
            interpreter: interpreter.to_owned(),
            package: package.clone(),
        }),
        _ => Ok(()),
    }
}

/// What puts the package of this host into an environment.
pub(super) fn install_hint(interpreter: &Path) -> String {
    format!(
        "install it with `cargo xtask setup --into {}`",
        interpreter.display()
    )
}

fn command_program(
    command: &CommandProgram,
    folder: &Path,
    variables: &Variables,
) -> Result<NodeProgram, Unstarted> {
    let (first, arguments) = command.words.split_first().ok_or(Unstarted::NoProgram)?;
    let places = command_places(first, folder, variables);
    let path = places.into_iter().find(|place| is_program(place));
    let path = path.ok_or_else(|| Unstarted::NoCommand {
        name: first.clone(),
        folder: folder.to_owned(),
    })?;
    Ok(NodeProgram {
        path,
        name: first.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
    })
}

fn command_places(name: &str, folder: &Path, variables: &Variables) -> Vec<PathBuf> {
    if name.contains('/') {
        return vec![folder.join(name)];
    }
    let path = variables.get(std::ffi::OsStr::new("PATH"));
    path.into_iter()
        .flat_map(std::env::split_paths)
        .map(|place| folder.join(place).join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cluster::Program;

    async fn command(words: &[&str], folder: &Path) -> Result<NodeProgram, Unstarted> {
        let words = words.iter().map(ToString::to_string).collect();
        let program = Some(Program {
            kind: Some(Kind::Command(CommandProgram { words })),
        });
        let start = Start {
            program,
            arguments: vec!["--last".into()],
            ..Start::default()
        };
        let variables = Variables::from([("PATH".into(), "/nowhere:/bin".into())]);
        find(
            &start,
            folder,
            &variables,
            &Variables::new(),
            &Probes::default(),
        )
        .await
    }

    #[tokio::test]
    async fn a_command_is_found_on_the_path_and_keeps_its_name() {
        let program = command(&["sh", "-c", "exit"], Path::new("/"))
            .await
            .unwrap();
        assert_eq!(
            (program.path.to_str(), program.name.to_str()),
            (Some("/bin/sh"), Some("sh"))
        );
        assert_eq!(program.arguments, ["-c", "exit", "--last"]);
    }

    #[tokio::test]
    async fn a_command_with_a_slash_is_below_the_working_folder() {
        let error = command(&["./tool"], Path::new("/bin")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no program `./tool` in the node's working folder `/bin`"
        );
        assert_eq!(
            command(&["./sh"], Path::new("/bin")).await.unwrap().path,
            Path::new("/bin/./sh")
        );
    }

    #[test]
    fn another_version_of_the_package_is_refused_and_none_is_fine() {
        let answer = |package: Option<&str>| Answer {
            python: "3.11.2".into(),
            package: package.map(str::to_owned),
        };
        let interpreter = Path::new("/env/bin/python");
        assert!(check_package(interpreter, &answer(None)).is_ok());
        assert!(check_package(interpreter, &answer(Some(HOST_VERSION))).is_ok());
        let error = check_package(interpreter, &answer(Some("0.0.9"))).unwrap_err();
        assert!(error.to_string().contains("`forebay` 0.0.9"), "{error}");
        assert_eq!(
            error.hint().unwrap(),
            "install it with `cargo xtask setup --into /env/bin/python`"
        );
    }
}
