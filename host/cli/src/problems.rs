//! Shows what is wrong with a job: with an excerpt of the file in a terminal, plain lines elsewhere, JSON for programs.

use std::fmt;
use std::io::{self, IsTerminal};

use forebay_job::{Diagnostic, Document, Severity};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

use crate::output::{Format, print_json, tell};
use crate::text::{Palette, count, neutral, neutral_in_place};

/// One problem as `--format json` shows it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "problem")]
struct ProblemLine<'a> {
    severity: Severity,
    code: &'a str,
    message: &'a str,
    key: &'a str,
    hint: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
}

impl<'a> From<&'a Diagnostic> for ProblemLine<'a> {
    fn from(problem: &'a Diagnostic) -> Self {
        Self {
            severity: problem.severity,
            code: &problem.code,
            message: &problem.message,
            key: &problem.key,
            hint: problem.hint.as_deref(),
            file: problem
                .location
                .as_ref()
                .map(|location| location.file.as_str()),
            line: problem.line(),
            column: problem.column(),
        }
    }
}

/// Shows all of them: as JSON on standard output, else on standard error.
pub(crate) fn show(problems: &[Diagnostic], document: &Document, format: Format) -> io::Result<()> {
    let theme = if Palette::of_stderr().has_colours() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    match format {
        Format::Json => problems
            .iter()
            .try_for_each(|problem| print_json(&ProblemLine::from(problem))),
        Format::Text if io::stderr().is_terminal() => problems
            .iter()
            .try_for_each(|problem| tell(&excerpt(problem, document, theme.clone()))),
        Format::Text => problems
            .iter()
            .try_for_each(|problem| tell(&plain(problem))),
    }
}

/// `3 errors, 1 warning`.
pub(crate) fn tally(problems: &[Diagnostic]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    match (errors, problems.len() - errors) {
        (0, 0) => "no problems".into(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

/// One line that editors can jump from, and the hint below it.
fn plain(problem: &Diagnostic) -> String {
    let place = problem.location.as_ref().map_or(String::new(), |location| {
        format!(
            "{}:{}:{}: ",
            neutral(&location.file),
            location.line,
            location.column
        )
    });
    let key = if problem.key.is_empty() {
        String::new()
    } else {
        format!(" `{}`", neutral(&problem.key))
    };
    let head = format!(
        "{place}{}[{}]{key}: {}",
        problem.severity,
        problem.code,
        neutral(&problem.message)
    );
    match &problem.hint {
        Some(hint) => format!("{head}\n  hint: {}", neutral(hint)),
        None => head,
    }
}

/// The place in the file, marked, with what is wrong there.
fn excerpt(problem: &Diagnostic, document: &Document, theme: GraphicalTheme) -> String {
    render(&Report::new(problem, document), theme).unwrap_or_else(|_| plain(problem))
}

fn render(report: &Report, theme: GraphicalTheme) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .without_syntax_highlighting();
    handler.render_report(&mut text, report)?;
    Ok(text.trim_end().to_owned())
}

/// A diagnostic in miette's form.
#[derive(Debug)]
struct Report {
    problem: Diagnostic,
    source: NamedSource<String>,
}

impl Report {
    fn new(problem: &Diagnostic, document: &Document) -> Self {
        let elsewhere = problem
            .location
            .as_ref()
            .filter(|place| place.file != document.file());
        let (file, text) = match elsewhere {
            // A query in a file of its own.
            Some(place) => (
                place.file.as_str(),
                std::fs::read_to_string(&place.file).unwrap_or_default(),
            ),
            None => (document.file(), document.text().to_owned()),
        };
        Self {
            problem: problem.clone(),
            source: NamedSource::new(neutral(file), neutral_in_place(&text)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&neutral(&self.problem.message))
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.problem.is_error() {
            miette::Severity::Error
        } else {
            miette::Severity::Warning
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem
            .hint
            .as_ref()
            .map(|hint| Box::new(neutral(hint)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem
            .location
            .as_ref()
            .map(|_| &self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.location.as_ref()?.span.clone();
        let label = Some(self.problem.key.clone()).filter(|key| !key.is_empty());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            label, span,
        ))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"digits\"\n\n[roles.worker]\nnods = 2\ncommand = [\"true\"]\n";

    fn problems() -> (Document, Vec<Diagnostic>) {
        let document = Document::parse(TEXT, "job.toml", "/jobs");
        let unknown = Diagnostic::error(
            "job/unknown-key",
            "roles.worker.nods",
            "a role has no key `nods`",
        )
        .with_hint("did you mean `nodes`?");
        let whole = Diagnostic::warning("job/no-effect", "", "nothing \u{1b}[2J comes of it");
        let located = vec![document.locate(unknown), whole];
        (document, located)
    }

    #[test]
    fn plain_lines_name_file_line_column_key_cause_and_hint() {
        let (_, problems) = problems();
        insta::assert_snapshot!(problems.iter().map(plain).collect::<Vec<_>>().join("\n"), @r"
        job.toml:4:8: error[job/unknown-key] `roles.worker.nods`: a role has no key `nods`
          hint: did you mean `nodes`?
        warning[job/no-effect]: nothing ␛[2J comes of it
        ");
        assert_eq!(tally(&problems), "1 error, 1 warning");
    }

    #[test]
    fn an_excerpt_marks_the_place() {
        let (document, problems) = problems();
        insta::assert_snapshot!(excerpt(&problems[0], &document, GraphicalTheme::unicode_nocolor()), @r#"
        job/unknown-key

          × a role has no key `nods`
           ╭─[job.toml:4:8]
         3 │ [roles.worker]
         4 │ nods = 2
           ·        ┬
           ·        ╰── roles.worker.nods
         5 │ command = ["true"]
           ╰────
          help: did you mean `nodes`?
        "#);
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let (_, problems) = problems();
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| serde_json::to_string(&ProblemLine::from(problem)).unwrap())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"kind":"problem","severity":"error","code":"job/unknown-key","message":"a role has no key `nods`","key":"roles.worker.nods","hint":"did you mean `nodes`?","file":"job.toml","line":4,"column":8}
        {"kind":"problem","severity":"warning","code":"job/no-effect","message":"nothing \u001b[2J comes of it","key":"","hint":null,"file":null,"line":null,"column":null}
        "#);
    }
}
