//! What the operator of this machine grants to plugins: never a matter of the job file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use forebay_plugin::Grants;

use crate::failure::Failure;
use crate::folders;

/// `--grants`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct GrantsArgument {
    /// What plugins may ask for [default: `grants.toml` in `$XDG_CONFIG_HOME/forebay`, if it is there]
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
}

impl GrantsArgument {
    /// The text of the grants, known to be valid; empty: the defaults.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        let text = match (&self.grants, folders::grants_file()) {
            (Some(file), _) => {
                fs::read_to_string(file).map_err(|error| unreadable(file, &error))?
            }
            (None, Some(file)) => match fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                text => text.map_err(|error| unreadable(&file, &error))?,
            },
            (None, None) => String::new(),
        };
        Grants::parse(&text).map_err(|error| Failure::from_input(&error))?;
        Ok(text)
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::input(format!("cannot read the grants `{}`", file.display())).caused_by(Some(error))
}
