//! The text of a job file: read, parsed, checked as a whole, and searched for the place of a key.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Item, Key, TableLike};

use crate::check::{self, RELATIONS_MAX};
use crate::diagnostic::{Diagnostic, Location, Severity, code};
use crate::model::{Job, Role};
use crate::schema::nearest;
use crate::strings;

/// Largest job file: 1 MiB.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// A job file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there, is not a file, or may not be read.
    #[error("cannot read the job file `{}`", .path.display())]
    Io {
        /// As given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is not text.
    #[error("the job file `{}` is not UTF-8 text", .path.display())]
    NotText {
        /// As given.
        path: PathBuf,
    },
}

/// The text of a job file with the name that messages call it by.
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    base: PathBuf,
    text: String,
    parsed: Result<toml_edit::Document<String>, Box<Diagnostic>>,
}

impl Document {
    /// Reads and parses a job file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a text that is too large is seen to be so.
        let limit = TEXT_BYTES_MAX as u64 + 1;
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(failed)?;
        let text = if bytes.len() > TEXT_BYTES_MAX {
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            String::from_utf8(bytes).map_err(|_| ReadError::NotText {
                path: path.to_owned(),
            })?
        };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self::parse(text, path.display().to_string(), base))
    }

    /// Parses the text of a job file that messages call `file` (for standard input: `<stdin>`). Paths in it are
    /// relative to `base`. Never fails: what is wrong is told by [`Document::check`].
    pub fn parse(
        text: impl Into<String>,
        file: impl Into<String>,
        base: impl Into<PathBuf>,
    ) -> Self {
        let text = text.into();
        let parsed = parse_toml(&text);
        let mut document = Self {
            file: file.into(),
            base: base.into(),
            text,
            parsed,
        };
        if let Err(problem) = &document.parsed {
            document.parsed = Err(Box::new(document.in_file((**problem).clone())));
        }
        document
    }

    /// The text, for excerpts. [`Location::span`] points into it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file as messages call it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The folder that paths of the job are relative to.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// All problems of the job in one run, in the order of the file; only a syntax error hides others.
    /// Looks at no other file: see [`Job::check_files`].
    pub fn check(&self) -> Checked {
        let root = match &self.parsed {
            Ok(root) => root.as_table(),
            Err(problem) => {
                return Checked {
                    draft: None,
                    diagnostics: vec![(**problem).clone()],
                };
            }
        };
        let (draft, problems) = check::job(root, &self.base);
        let mut diagnostics: Vec<_> = problems
            .into_iter()
            .map(|problem| self.in_file(problem))
            .collect();
        diagnostics.sort_by_key(|problem| problem.location.as_ref().map(|place| place.span.start));
        Checked {
            draft: Some(draft),
            diagnostics,
        }
    }

    /// Gives a problem that somebody else found (a plugin, a look at the disk) its place in the file, by its key.
    #[must_use]
    pub fn locate(&self, mut problem: Diagnostic) -> Diagnostic {
        let span = self.span_of(&problem.key).unwrap_or_default();
        problem.location = Some(self.location(span));
        problem
    }

    /// Gives a problem its place inside the string that its key holds (a query that somebody else parsed): `line` and `column`, both
    /// from 1 and in characters, count in the string's value, whatever quotes and escapes the file writes it with. A place that the
    /// value does not have, and a key that holds no string, fall back to [`Document::locate`].
    #[must_use]
    pub fn locate_within(&self, mut problem: Diagnostic, line: u64, column: u64) -> Diagnostic {
        match self.span_within(&problem.key, line, column) {
            Some(span) => {
                problem.location = Some(self.location(span));
                problem
            }
            None => self.locate(problem),
        }
    }

    fn span_within(&self, key: &str, line: u64, column: u64) -> Option<Range<usize>> {
        let path = Key::parse(key).ok()?;
        let (last, outer) = path.split_last()?;
        let mut table: &dyn TableLike = self.parsed.as_ref().ok()?.as_table();
        for part in outer {
            table = table.get(part.get())?.as_table_like()?;
        }
        let value = table.get(last.get())?.as_value()?;
        let whole = value.span()?;
        let written = strings::of_string(self.text.get(whole.clone())?)?;
        let characters = written.iter().map(|(character, _)| *character);
        if !characters.eq(value.as_str()?.chars()) {
            return None;
        }
        let span = strings::place(&written, line, column)?;
        Some(whole.start + span.start..whole.start + span.end)
    }

    /// Bytes of a key such as `roles.worker.nodes`: its value, or the name of a table. If it is absent, those of
    /// its nearest parent that is there; `None` when that is the file as a whole.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let path = Key::parse(key).ok()?;
        let mut table: &dyn TableLike = self.parsed.as_ref().ok()?.as_table();
        let mut span = None;
        for part in &path {
            let Some((key, item)) = table.get_key_value(part.get()) else {
                break;
            };
            span = span_of_entry(key, item).or(span);
            let Some(inner) = item.as_table_like() else {
                break;
            };
            table = inner;
        }
        span
    }

    /// A problem whose span is known gets file, line and column.
    fn in_file(&self, mut problem: Diagnostic) -> Diagnostic {
        let span = problem
            .location
            .take()
            .map(|location| location.span)
            .unwrap_or_default();
        problem.location = Some(self.location(span));
        problem
    }

    fn location(&self, span: Range<usize>) -> Location {
        let (line, column) = strings::line_and_column(&self.text, span.start);
        Location {
            file: self.file.clone(),
            span,
            line,
            column,
        }
    }
}

/// What [`Document::check`] found.
#[derive(Clone, Debug)]
pub struct Checked {
    draft: Option<Job>,
    /// In the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// What could be read in spite of problems: defaults stand in for what could not. Roles without a valid name are left out, and so
    /// are sources, transforms and sinks without one, or without what they cannot do without. Only for finding more problems (plugins' `prepare`); `None` after a syntax error.
    pub fn draft(&self) -> Option<&Job> {
        self.draft.as_ref()
    }

    /// Which parts of the draft's dataflow say something else than the file, or nothing: whoever looks for more problems had better not look
    /// at them, nor at what reads them. `None`: nobody knows which parts there are.
    pub fn mistaken(&self) -> Option<Mistaken> {
        let draft = self.draft.as_ref()?;
        let dataflow = &draft.dataflow;
        let numbers = [
            dataflow.sources.len(),
            dataflow.transforms.len(),
            dataflow.sinks.len(),
        ];
        if numbers.into_iter().any(|number| number > RELATIONS_MAX) {
            return None;
        }
        let mut mistaken = Mistaken::default();
        let is_error = |problem: &&Diagnostic| problem.severity == Severity::Error;
        for problem in self.diagnostics.iter().filter(is_error) {
            mistaken.note(problem, draft)?;
        }
        Some(mistaken)
    }

    /// The job with its warnings, or all problems if one of them is an error.
    pub fn into_job(self) -> Result<(Job, Vec<Diagnostic>), Vec<Diagnostic>> {
        match self.draft {
            Some(job) if !has_error(&self.diagnostics) => Ok((job, self.diagnostics)),
            _ => Err(self.diagnostics),
        }
    }
}

/// See [`Checked::mistaken`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistaken {
    /// Names of sources, transforms and roles with an output.
    pub relations: BTreeSet<String>,
    /// Names of sinks.
    pub sinks: BTreeSet<String>,
}

impl Mistaken {
    fn note(&mut self, problem: &Diagnostic, draft: &Job) -> Option<()> {
        let path = Key::parse(&problem.key).unwrap_or_default();
        let path: Vec<_> = path.iter().map(Key::get).collect();
        match path.as_slice() {
            ["sources" | "transforms"] => return None,
            // Some of them may have been meant to give rows.
            ["roles"] if problem.code == code::WRONG_TYPE => return None,
            // It may have been meant to be one of the tables.
            [unknown] if problem.code == code::UNKNOWN_KEY => {
                let tables = ["sources", "transforms", "sinks", "roles"];
                if nearest(unknown, &tables).is_some() {
                    return None;
                }
            }
            // That is no mistake of the first relation, where it is told.
            _ if problem.code == code::NO_SINKS => {}
            ["sources" | "transforms", name, ..] => {
                self.note_relation(name);
            }
            ["roles", name, "output", ..] => self.note_relation(name),
            ["roles", name] | ["roles", name, "input"]
                if draft.role(name).is_none_or(Role::has_output) =>
            {
                self.note_relation(name);
            }
            // That is told of the input; where the rows would go can be looked at.
            ["sinks", _, "input"] => {}
            ["sinks", name, ..] => {
                self.sinks.insert((*name).to_owned());
            }
            _ => {}
        }
        Some(())
    }

    fn note_relation(&mut self, name: &str) {
        self.relations.insert(name.to_owned());
        // What a query makes of a name without quotes.
        self.relations.insert(name.to_lowercase());
    }
}

/// Whether one of these refuses the job.
pub fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}

/// Where a value stands; for a table, its name.
pub(crate) fn span_of_entry(key: &Key, item: &Item) -> Option<Range<usize>> {
    item.as_value()
        .and_then(toml_edit::Value::span)
        .or_else(|| key.span())
}

fn parse_toml(text: &str) -> Result<toml_edit::Document<String>, Box<Diagnostic>> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the job file is larger than {TEXT_BYTES_MAX} bytes");
        let problem = Diagnostic::error(code::TOO_LARGE, "", message);
        return Err(Box::new(
            problem.with_hint("keep data in files of its own that the job names"),
        ));
    }
    toml_edit::Document::parse(text.to_owned())
        .map_err(|error| Box::new(syntax_problem(text, &error)))
}

fn syntax_problem(text: &str, error: &toml_edit::TomlError) -> Diagnostic {
    let span = error.span().unwrap_or(text.len()..text.len());
    let mut problem = if error.message() == "duplicate key" {
        duplicate_problem(text, &span)
    } else {
        let message = format!("this is not valid TOML: {}", error.message());
        Diagnostic::error(code::SYNTAX, "", message)
    };
    problem.location = Some(Location {
        file: String::new(),
        span,
        line: 0,
        column: 0,
    });
    problem
}

fn duplicate_problem(text: &str, span: &Range<usize>) -> Diagnostic {
    let path = path_at(text, span.start);
    let name = if path.is_empty() {
        &text[span.clone()]
    } else {
        path.as_str()
    };
    let what = match path.split_once('.') {
        Some((table @ ("roles" | "sources" | "transforms" | "sinks"), name))
            if !name.contains('.') =>
        {
            format!("two {table} are named `{name}`")
        }
        _ => format!("`{name}` is given twice"),
    };
    let start = text[..span.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let before = Document::parse(&text[..start], "", "");
    let first = before
        .span_of(&path)
        .map(|first| strings::line_and_column(text, first.start).0);
    let first = first.map_or(String::new(), |line| format!(", first in line {line}"));
    Diagnostic::error(code::DUPLICATE_KEY, path, what + &first)
        .with_hint("rename one of them, or put both into one")
}

/// The full name of the key that the line around `position` gives, as far as lines alone tell.
fn path_at(text: &str, position: usize) -> String {
    let start = text[..position]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let end = text[position..]
        .find('\n')
        .map_or(text.len(), |newline| position + newline);
    let line = text[start..end].trim();
    if line.starts_with('[') {
        return header(line).unwrap_or_default();
    }
    let table = text[..start]
        .lines()
        .rev()
        .find_map(|line| header(line.trim()));
    let key = line.split('=').next().unwrap_or_default().trim();
    table.map_or(key.to_owned(), |table| format!("{table}.{key}"))
}

/// `[roles.worker]` -> `roles.worker`
fn header(line: &str) -> Option<String> {
    let inner = line.strip_prefix('[')?.split(']').next()?;
    let keys = Key::parse(inner).ok()?;
    Some(
        keys.iter()
            .map(|key| key.display_repr().into_owned())
            .collect::<Vec<_>>()
            .join("."),
    )
}
