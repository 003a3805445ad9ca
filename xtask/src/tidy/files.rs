//! What each file, link and folder must be.

use super::{Source, Tree};

/// Longer files are split by reason to change.
const LINES_MAX: usize = 600;

/// Checks the files by themselves and against each other.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let each = tree.0.iter().flat_map(|source| {
        let mut findings: Vec<String> = opening(source).into_iter().chain(length(source)).collect();
        findings.extend(links(source, tree));
        findings
    });
    each.chain(examples(tree)).collect()
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, end)| end)
}

/// A crate opens with what it is.
fn opening(source: &Source) -> Option<String> {
    let is_root = source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
    let opens = source.text.starts_with("//! ") && !source.text.starts_with("//! (to be written)");
    (is_root && !opens).then(|| {
        format!(
            "{}:1: must open with `//!`: what the crate is and what it is not",
            source.path
        )
    })
}

fn length(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let counts = ["rs", "py"].contains(&extension(&source.path));
    (counts && lines > LINES_MAX)
        .then(|| format!("{}: {lines} lines, more than {LINES_MAX}", source.path))
}

/// Every link of a page leads to a file of this repository, or out of it.
fn links(source: &Source, tree: &Tree) -> Vec<String> {
    if extension(&source.path) != "md" {
        return Vec::new();
    }
    let lines = (1..).zip(source.text.lines());
    let targets =
        lines.flat_map(|(number, line)| link_targets(line).map(move |target| (number, target)));
    let broken = targets.filter(|(_, target)| !leads_somewhere(&source.path, target, tree));
    broken
        .map(|(number, target)| {
            format!(
                "{}:{number}: the link `{target}` leads nowhere",
                source.path
            )
        })
        .collect()
}

/// What stands in `](...)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

fn leads_somewhere(page: &str, target: &str, tree: &Tree) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    resolve(page, path).is_some_and(|path| tree.has(&path))
}

/// The path of a link relative to the repository; none where it leaves it.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// An example is a folder with a README and a job file, or an operator for one.
fn examples(tree: &Tree) -> Vec<String> {
    let inside = tree
        .0
        .iter()
        .filter_map(|source| source.path.strip_prefix("examples/")?.split_once('/'));
    let mut names: Vec<&str> = inside.clone().map(|(name, _)| name).collect();
    names.dedup();
    let has = |name, wanted: fn(&str) -> bool| {
        inside.clone().any(|(of, file)| of == name && wanted(file))
    };
    let is_job =
        |file: &str| extension(file) == "toml" && file != "Cargo.toml" && !file.contains('/');
    let mut findings = Vec::new();
    for name in names {
        if !has(name, |file| file == "README.md") {
            findings.push(format!("examples/{name}: has no README.md"));
        }
        if !has(name, is_job) && !has(name, |file| file.starts_with("operator/")) {
            findings.push(format!(
                "examples/{name}: has neither a job file nor an operator"
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(check(&Tree::of(files)), expected);
    }

    #[test]
    fn a_crate_says_what_it_is() {
        check_files(&[("host/job/src/lib.rs", "//! The job file.\n")], &[]);
        let finding =
            "host/job/src/lib.rs:1: must open with `//!`: what the crate is and what it is not";
        check_files(&[("host/job/src/lib.rs", "use std::fs;\n")], &[finding]);
    }

    #[test]
    fn long_files_are_found() {
        check_files(
            &[("a.rs", &"\n".repeat(600)), ("b.md", &"\n".repeat(601))],
            &[],
        );
        check_files(
            &[("a.rs", &"\n".repeat(601))],
            &["a.rs: 601 lines, more than 600"],
        );
    }

    #[test]
    fn links_lead_to_files() {
        let page =
            "[a](../README.md#top) [b](#here) [c](https://example.org) [d](sub/) and\n[e](gone.md)";
        let files = [
            ("README.md", ""),
            ("docs/sub/x.md", ""),
            ("docs/page.md", page),
        ];
        check_files(
            &files,
            &["docs/page.md:2: the link `gone.md` leads nowhere"],
        );
        check_files(
            &[("page.md", "[a](../outside.md)")],
            &["page.md:1: the link `../outside.md` leads nowhere"],
        );
    }

    #[test]
    fn an_example_has_a_page_and_a_job_or_an_operator() {
        check_files(
            &[("examples/a/README.md", ""), ("examples/a/job.toml", "")],
            &[],
        );
        check_files(
            &[("examples/a/Cargo.toml", ""), ("examples/a/README.md", "")],
            &["examples/a: has neither a job file nor an operator"],
        );
        check_files(
            &[
                ("examples/a/operator/src/lib.rs", "//! An operator."),
                ("examples/a/README.md", ""),
            ],
            &[],
        );
    }
}
