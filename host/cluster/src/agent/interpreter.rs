//! Where the Python interpreter of a node is on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::environment::Variables;
use crate::wire::cluster::Interpreter;

/// Where an interpreter is in the folder of an environment.
const IN_ENVIRONMENT: &str = "bin/python";
/// Folders with environments, divided by `:`.
const ENVIRONMENTS: &str = "FOREBAY_ENVIRONMENTS";
const ENVIRONMENTS_OF_JOB: &str = ".forebay/environments";
const ENVIRONMENTS_OF_USER: &str = "forebay/environments";

/// No interpreter was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no Python interpreter for `{name}`; these places were tried: {}", list(.tried))]
pub struct NoInterpreter {
    name: String,
    tried: Vec<PathBuf>,
}

fn list(tried: &[PathBuf]) -> String {
    let places: Vec<String> = tried
        .iter()
        .map(|place| format!("`{}`", place.display()))
        .collect();
    places.join(", ")
}

impl NoInterpreter {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        if self.name.contains('/') {
            "give the path of an interpreter, or of an environment, on the machine of the node"
        } else {
            "make an environment at one of these places, or give the path of an interpreter"
        }
    }
}

/// Whether this machine has the interpreter that a role names (`None`: any), for a job file in the folder `base`. It is
/// not run.
pub fn check_interpreter(name: Option<&str>, base: &Path) -> Result<(), NoInterpreter> {
    let wanted = Interpreter {
        name: name.unwrap_or_default().to_owned(),
        base: base.to_string_lossy().into_owned(),
    };
    resolve(&wanted, &std::env::vars_os().collect()).map(|_found| ())
}

/// The first of the places that holds a program. The path is not resolved further: an interpreter knows its environment
/// by the path that it is called by.
pub(super) fn resolve(
    wanted: &Interpreter,
    variables: &Variables,
) -> Result<PathBuf, NoInterpreter> {
    let tried = places(wanted, variables);
    // A node starts in another folder than this one.
    let absolute = |place: &PathBuf| std::path::absolute(place).ok();
    let found = tried
        .iter()
        .filter(|place| is_program(place))
        .find_map(absolute);
    let name = if wanted.name.is_empty() {
        "python3"
    } else {
        &wanted.name
    };
    found.ok_or_else(|| NoInterpreter {
        name: name.to_owned(),
        tried,
    })
}

fn places(wanted: &Interpreter, variables: &Variables) -> Vec<PathBuf> {
    let base = (!wanted.base.is_empty()).then(|| Path::new(&wanted.base));
    if wanted.name.is_empty() {
        unnamed(base, variables)
    } else if wanted.name.contains('/') {
        let path = base.unwrap_or(Path::new("/")).join(&wanted.name);
        vec![path.join(IN_ENVIRONMENT), path]
    } else {
        let folders = environment_folders(base, variables);
        folders
            .into_iter()
            .map(|folder| folder.join(&wanted.name).join(IN_ENVIRONMENT))
            .collect()
    }
}

/// `$VIRTUAL_ENV`, `.venv` beside the job, `python3` on the path.
fn unnamed(base: Option<&Path>, variables: &Variables) -> Vec<PathBuf> {
    let active =
        variable(variables, "VIRTUAL_ENV").map(|folder| Path::new(folder).join(IN_ENVIRONMENT));
    let beside = base.map(|base| base.join(".venv").join(IN_ENVIRONMENT));
    let path = variable(variables, "PATH").map(std::env::split_paths);
    let on_path = path
        .into_iter()
        .flatten()
        .map(|folder| folder.join("python3"));
    active.into_iter().chain(beside).chain(on_path).collect()
}

/// `$FOREBAY_ENVIRONMENTS`, `.forebay/environments` from the job file upwards, the user's.
fn environment_folders(base: Option<&Path>, variables: &Variables) -> Vec<PathBuf> {
    let named = variable(variables, ENVIRONMENTS).map(std::env::split_paths);
    let upwards = base
        .into_iter()
        .flat_map(Path::ancestors)
        .map(|folder| folder.join(ENVIRONMENTS_OF_JOB));
    let data = variable(variables, "XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(Path::new(variable(variables, "HOME")?).join(".local/share")));
    let of_user = data.map(|folder| folder.join(ENVIRONMENTS_OF_USER));
    named
        .into_iter()
        .flatten()
        .chain(upwards)
        .chain(of_user)
        .collect()
}

fn variable<'a>(variables: &'a Variables, name: &str) -> Option<&'a OsStr> {
    variables
        .get(OsStr::new(name))
        .map(AsRef::as_ref)
        .filter(|value: &&OsStr| !value.is_empty())
}

/// A file that this process may run.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Machine {
        folder: tempfile::TempDir,
        variables: Variables,
    }

    impl Machine {
        fn with(programs: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for program in programs {
                let path = folder.path().join(program);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self {
                folder,
                variables: Variables::new(),
            }
        }

        fn variable(mut self, name: &str, path: &str) -> Self {
            self.variables
                .insert(name.into(), self.folder.path().join(path).into());
            self
        }

        #[track_caller]
        fn check(&self, name: &str, wanted: &str) {
            let base = self
                .folder
                .path()
                .join("jobs/mine")
                .to_string_lossy()
                .into_owned();
            let found = resolve(
                &Interpreter {
                    name: name.into(),
                    base,
                },
                &self.variables,
            );
            let text = match found {
                Ok(path) => path.display().to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(
                text.replace(&format!("{}/", self.folder.path().display()), ""),
                wanted
            );
        }
    }

    #[test]
    fn a_named_environment_is_looked_for_from_the_job_upwards() {
        let machine = Machine::with(&["jobs/.forebay/environments/tf/bin/python"]);
        machine.check("tf", "jobs/.forebay/environments/tf/bin/python");
    }

    #[test]
    fn the_variable_comes_first_and_the_user_last() {
        let programs = [
            "env/tf/bin/python",
            "jobs/mine/.forebay/environments/tf/bin/python",
        ];
        Machine::with(&programs)
            .variable("FOREBAY_ENVIRONMENTS", "env")
            .check("tf", "env/tf/bin/python");
        let of_user = "home/.local/share/forebay/environments/tf/bin/python";
        Machine::with(&[of_user])
            .variable("HOME", "home")
            .check("tf", of_user);
        let of_user = "data/forebay/environments/tf/bin/python";
        Machine::with(&[of_user])
            .variable("HOME", "home")
            .variable("XDG_DATA_HOME", "data")
            .check("tf", of_user);
    }

    #[test]
    fn a_path_may_be_an_environment_or_an_interpreter() {
        let machine = Machine::with(&["jobs/mine/venv/bin/python"]);
        machine.check("./venv", "jobs/mine/venv/bin/python");
        machine.check("venv/bin/python", "jobs/mine/venv/bin/python");
    }

    #[test]
    fn without_a_name_the_active_environment_comes_first_then_the_jobs_then_the_path() {
        let machine = Machine::with(&[
            "active/bin/python",
            "jobs/mine/.venv/bin/python",
            "usr/python3",
        ]);
        let machine = machine.variable("PATH", "usr");
        machine.check("", "jobs/mine/.venv/bin/python");
        machine
            .variable("VIRTUAL_ENV", "active")
            .check("", "active/bin/python");
        Machine::with(&["usr/python3"])
            .variable("PATH", "usr")
            .check("", "usr/python3");
    }

    #[test]
    fn the_error_lists_the_places() {
        let machine = Machine::with(&[]).variable("FOREBAY_ENVIRONMENTS", "env");
        let base = machine
            .folder
            .path()
            .join("jobs")
            .to_string_lossy()
            .into_owned();
        let error = resolve(
            &Interpreter {
                name: "tf".into(),
                base,
            },
            &machine.variables,
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("no Python interpreter for `tf`; these places were tried: "),
            "{error}"
        );
        for place in [
            "/env/tf/bin/python",
            "/jobs/.forebay/environments/tf/bin/python",
        ] {
            assert!(error.contains(place), "{error}");
        }
    }
}
