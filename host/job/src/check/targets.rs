//! Whether sinks get in the way of each other, or of sources: rows would be lost without a word. Places are compared as they are written.

use std::path::{Component, Path, PathBuf};

use crate::diagnostic::code;
use crate::read::{Field, Findings, Section};

/// What only one may write.
#[derive(PartialEq)]
enum Place {
    Path(PathBuf),
    Stdout,
}

pub(super) fn check(root: &Section, findings: &mut Findings) {
    let sources = root.fields_of("sources");
    let sinks = root.fields_of("sinks");
    for (index, sink) in sinks.iter().enumerate() {
        let Some((place, field)) = place_of(sink) else {
            continue;
        };
        let is_here = |other: &&Field| place_of(other).is_some_and(|(other, _)| other == place);
        if let Some(first) = sinks[..index].iter().find(is_here) {
            let message = format!("`{}` writes there already", first.path);
            let hint =
                "give each sink a place of its own; `UNION ALL` in a transform makes one of both";
            field.error(code::CONFLICT, message, hint, findings);
        } else if let Some(source) = sources.iter().find(|source| reads(source, sink, &place)) {
            let message = format!("`{}` reads what this sink would write", source.path);
            let hint = "write into another file: what a job reads stays as it is";
            field.error(code::CONFLICT, message, hint, findings);
        }
    }
}

/// What a sink writes, and the key that says so.
fn place_of<'a>(sink: &Field<'a>) -> Option<(Place, Field<'a>)> {
    if let Some(path) = text_of(sink, "path") {
        return Some((Place::Path(folded(&path)), sink.table()?.field("path")?));
    }
    let to = text_of(sink, "to")?;
    (to == "stdout").then_some((Place::Stdout, sink.table()?.field("to")?))
}

fn text_of(relation: &Field, key: &str) -> Option<String> {
    let field = relation.table()?.field(key)?;
    field.text(&mut Findings::default())
}

/// Whether a source reads a file that a sink writes: by its name, in its folder, or by its pattern.
fn reads(source: &Field, sink: &Field, place: &Place) -> bool {
    let (Some(path), Place::Path(written)) = (text_of(source, "path"), place) else {
        return false;
    };
    let read = folded(&path);
    let file = if written.extension().is_some() {
        written.clone()
    } else {
        // The first one of a folder; the others are called alike.
        let format = text_of(sink, "format").unwrap_or_default();
        written.join(format!("part-00000.{format}"))
    };
    if path.ends_with('/') {
        return file.parent() == Some(&*read);
    }
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::default()
    };
    let pattern = glob::Pattern::new(&read.to_string_lossy());
    read == *written || pattern.is_ok_and(|pattern| pattern.matches_path_with(&file, options))
}

/// `./a/../b` -> `b`
fn folded(path: &str) -> PathBuf {
    let mut folded = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if folded.file_name().is_some() => {
                folded.pop();
            }
            other => folded.push(other),
        }
    }
    folded
}
