//! A look at the disk: the files that travel with a role, and whether they are there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, code};
use crate::model::{Job, Program, Role};
use crate::schema::nearest;
use crate::values::without_dots;

/// Most files that travel with one role.
pub const STAGED_FILES_MAX: usize = 1000;

/// Most bytes that travel with one role: 256 MiB.
pub const STAGED_BYTES_MAX: u64 = 256 << 20;

/// Most files and folders that one pattern may match.
const MATCHES_MAX: usize = 100_000;

/// One file that travels with a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    /// Where it lies below the folder of the job file, with `/`; the same below the folder it is staged to.
    pub relative: String,
    /// Where it lies on this machine.
    pub absolute: PathBuf,
    /// Bytes, when it was looked at.
    pub size: u64,
}

/// The files of a role cannot be staged.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A script or program that the job names is not there.
    #[error("`{}` does not exist", .path.display())]
    Missing {
        /// Relative to the folder of the job file.
        path: PathBuf,
    },
    /// A script or program that the job names is a folder, a device or the like.
    #[error("`{}` is not a file", .path.display())]
    NotFile {
        /// Relative to the folder of the job file.
        path: PathBuf,
    },
    /// A symbolic link leads out of the folder of the job file.
    #[error("`{}` leads out of the folder of the job file, to `{}`", .path.display(), .target.display())]
    Escapes {
        /// Relative to the folder of the job file.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A file name that is not UTF-8.
    #[error("the file name `{}` is not UTF-8", .path.display())]
    NotText {
        /// As found.
        path: PathBuf,
    },
    /// A pattern matches more than `STAGED_FILES_MAX` files.
    #[error("the patterns match more than {STAGED_FILES_MAX} files")]
    TooMany,
    /// The files hold more than `STAGED_BYTES_MAX` bytes.
    #[error("the files hold more than {} MiB", STAGED_BYTES_MAX >> 20)]
    TooLarge,
    /// Not a pattern; a validated job holds none of these.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// As the job file has it.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
    /// The system refuses to look.
    #[error("cannot look at `{}`", .path.display())]
    Io {
        /// What was looked at.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// `*.py` beside the script; nothing for other programs.
pub(crate) fn default_files(program: &Program) -> Vec<String> {
    let Program::Script(script) = program else {
        return Vec::new();
    };
    let folder = script
        .parent()
        .and_then(Path::to_str)
        .map(glob::Pattern::escape);
    vec![
        folder
            .filter(|folder| !folder.is_empty())
            .map_or("*.py".into(), |folder| format!("{folder}/*.py")),
    ]
}

impl Role {
    /// The files that travel with the role, sorted: its script (or the program of its command, if that lies beside
    /// the job file), and what [`Role::files`] matches below `base`. Hidden files and folders are matched only by
    /// patterns that say their dot. A pattern without a match is no error.
    pub fn staged_files(&self, base: &Path) -> Result<Vec<StagedFile>, FilesError> {
        let mut staging = Staging::new(base)?;
        if let Some(program) = self.own_file() {
            staging.add_named(program)?;
        }
        for pattern in &self.files {
            staging.add_matches(pattern)?;
        }
        Ok(staging.files.into_values().collect())
    }

    /// The file below the folder of the job file that the role runs.
    fn own_file(&self) -> Option<&Path> {
        match &self.program {
            Program::Script(script) => Some(script),
            Program::Command(words) => {
                let program = words
                    .first()
                    .filter(|program| program.contains('/'))
                    .map(Path::new);
                program.filter(|program| program.is_relative())
            }
            Program::Plugin => None,
        }
    }

    fn own_file_key(&self) -> String {
        let key = if matches!(self.program, Program::Command(_)) {
            "command"
        } else {
            "script"
        };
        format!("roles.{}.{key}", self.name)
    }
}

struct Staging<'a> {
    base: &'a Path,
    /// `base` without symbolic links.
    real_base: PathBuf,
    files: BTreeMap<String, StagedFile>,
    bytes: u64,
}

impl<'a> Staging<'a> {
    fn new(base: &'a Path) -> Result<Self, FilesError> {
        let real_base = fs::canonicalize(base).map_err(io_error(base))?;
        Ok(Self {
            base,
            real_base,
            files: BTreeMap::new(),
            bytes: 0,
        })
    }

    /// A file that the job names.
    fn add_named(&mut self, path: &Path) -> Result<(), FilesError> {
        let relative = without_dots(path);
        let absolute = self.base.join(&relative);
        match fs::metadata(&absolute) {
            Ok(metadata) if metadata.is_file() => self.add(&relative, absolute, metadata.len()),
            Ok(_) => Err(FilesError::NotFile { path: relative }),
            Err(error) if is_missing(&error) => Err(FilesError::Missing { path: relative }),
            Err(error) => Err(io_error(&absolute)(error)),
        }
    }

    /// All files that a pattern matches.
    fn add_matches(&mut self, pattern: &str) -> Result<usize, FilesError> {
        let before = self.files.len();
        for (count, path) in matches(self.base, pattern)?.enumerate() {
            if count >= MATCHES_MAX {
                return Err(FilesError::TooMany);
            }
            let path = path.map_err(|error| io_error(error.path())(error.into()))?;
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let relative = path.strip_prefix(self.base).unwrap_or(&path).to_owned();
            if metadata.is_file() {
                self.add(&relative, path, metadata.len())?;
            }
        }
        Ok(self.files.len() - before)
    }

    fn add(&mut self, relative: &Path, absolute: PathBuf, size: u64) -> Result<(), FilesError> {
        let target = fs::canonicalize(&absolute).map_err(io_error(&absolute))?;
        if !target.starts_with(&self.real_base) {
            return Err(FilesError::Escapes {
                path: relative.to_owned(),
                target,
            });
        }
        let Some(name) = relative.to_str() else {
            return Err(FilesError::NotText {
                path: relative.to_owned(),
            });
        };
        let file = StagedFile {
            relative: name.to_owned(),
            absolute,
            size,
        };
        if self.files.insert(name.to_owned(), file).is_none() {
            self.bytes = self.bytes.saturating_add(size);
        }
        if self.files.len() > STAGED_FILES_MAX {
            return Err(FilesError::TooMany);
        }
        if self.bytes > STAGED_BYTES_MAX {
            Err(FilesError::TooLarge)
        } else {
            Ok(())
        }
    }
}

fn matches(base: &Path, pattern: &str) -> Result<glob::Paths, FilesError> {
    let base = base.to_str().ok_or_else(|| FilesError::NotText {
        path: base.to_owned(),
    })?;
    let absolute = format!("{}/{pattern}", glob::Pattern::escape(base));
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    glob::glob_with(&absolute, options).map_err(|source| FilesError::Pattern {
        pattern: pattern.to_owned(),
        source,
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FilesError + use<> {
    let path = path.to_owned();
    move |source| FilesError::Io { path, source }
}

impl Job {
    /// Looks at the disk of this machine: scripts that are missing, patterns that match nothing, files that cannot be
    /// staged. Problems come without location: [`Document::locate`](crate::Document::locate) gives it.
    pub fn check_files(&self) -> Vec<Diagnostic> {
        self.roles
            .iter()
            .flat_map(|role| check_role(role, &self.base))
            .collect()
    }
}

fn check_role(role: &Role, base: &Path) -> Vec<Diagnostic> {
    match role.staged_files(base) {
        Ok(_) => idle_patterns(role, base),
        Err(error) => vec![problem(role, base, &error)],
    }
}

/// Patterns without a match, but for the one that the user did not write.
fn idle_patterns(role: &Role, base: &Path) -> Vec<Diagnostic> {
    if role.files == default_files(&role.program) {
        return Vec::new();
    }
    let is_idle = |pattern: &&String| {
        Staging::new(base)
            .and_then(|mut staging| staging.add_matches(pattern))
            .is_ok_and(|count| count == 0)
    };
    let warning = |pattern: &String| {
        let message = format!("the pattern {pattern:?} matches no file");
        Diagnostic::warning(
            code::NO_MATCH,
            format!("roles.{}.files", role.name),
            message,
        )
        .with_hint("patterns are relative to the folder of the job file")
    };
    role.files.iter().filter(is_idle).map(warning).collect()
}

fn problem(role: &Role, base: &Path, error: &FilesError) -> Diagnostic {
    let files_key = format!("roles.{}.files", role.name);
    let message = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    match error {
        FilesError::Missing { path } => {
            Diagnostic::error(code::MISSING_FILE, role.own_file_key(), message)
                .with_hint(neighbour(path, base))
        }
        FilesError::NotFile { .. } => {
            Diagnostic::error(code::MISSING_FILE, role.own_file_key(), message)
                .with_hint("give the path of a file")
        }
        FilesError::TooMany | FilesError::TooLarge => {
            Diagnostic::error(code::BAD_FILES, files_key, message)
                .with_hint("narrow the patterns; data is better read by its own path than staged")
        }
        _ => Diagnostic::error(code::BAD_FILES, files_key, message)
            .with_hint("only files inside the folder of the job file are staged"),
    }
}

/// The file that was meant, if one of a similar name lies there; else where was looked.
fn neighbour(path: &Path, base: &Path) -> String {
    let folder = base.join(path).parent().unwrap_or(base).to_owned();
    let entries = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .take(STAGED_FILES_MAX)
        .flatten();
    let names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let wanted = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match nearest(wanted, &names) {
        Some(name) => format!("did you mean `{}`?", path.with_file_name(name).display()),
        None => format!("looked in `{}`", folder.display()),
    }
}
