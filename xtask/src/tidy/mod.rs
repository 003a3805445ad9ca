//! `cargo xtask tidy`: the rules of this repository that no compiler knows.
//!
//! [`arrows`] holds which crate may depend on which, [`lines`] what may not stand in a line, [`files`] what each file,
//! link and folder must be, [`named_tests`] whether a test that a document names is there. A rule is a sentence that one can defend; each finding names place and rule.

mod arrows;
mod files;
mod lines;
mod named_tests;

use std::fs;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{Workspace, output};

/// A text file of the repository.
struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

/// All files that are text, in the order of their paths.
struct Tree(Vec<Source>);

impl Tree {
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut sources = Vec::new();
        for path in workspace.files()? {
            let Ok(text) = String::from_utf8(fs::read(workspace.root.join(&path))?) else {
                continue;
            };
            sources.push(Source {
                path: path.to_string_lossy().into_owned(),
                text,
            });
        }
        Ok(Self(sources))
    }

    /// Whether this is a file, or a folder with files in it.
    fn has(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.0
            .iter()
            .any(|source| source.path == path || source.path.starts_with(&inside))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| Source {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
        )
    }
}

/// Prints every finding; fails where there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let tree = Tree::read(workspace)?;
    let metadata =
        output(&mut workspace.cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let mut findings = arrows::check(&metadata)?;
    findings.extend(lines::check(&tree));
    findings.extend(files::check(&tree));
    findings.extend(named_tests::check(&tree));
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", tree.0.len(), findings.len());
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
